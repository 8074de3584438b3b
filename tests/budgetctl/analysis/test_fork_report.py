from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from fork_studies import baseline, curve, fork, place, silent, study, verdicts
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.fork_render import render_forks
from budgetctl.analysis.fork_table import ForkTable, Prediction, fork_tables, metric_at
from budgetctl.analysis.forks import ForkResults, ForkRow, TrunkCurve

FORMATS = ("table", "md", "csv", "json", "latex")


def only(results: ForkResults) -> ForkTable:
    (table,) = fork_tables(results)
    return table


def predicted(table: ForkTable) -> dict[str, Prediction]:
    return {one.metric: one for one in table.predictions}


def test_forks_stand_in_the_order_they_fired_and_those_that_did_not_last() -> None:
    names = [line.fork.trigger for line in only(study()).lines]
    assert names == [
        "examples=64",
        "perplexity<=5",
        "perplexity<=3",
        "pass@1>=0.1",
        "pass@1>=0.2",
        "plateau(perplexity,patience=3,gain=0.01)",
        "perplexity<=2",
    ]


def test_a_shared_state_stands_below_the_one_that_names_it_even_if_listed_before() -> None:
    rows = [
        fork("pass@1>=0.1", 14, 0.4, metric="pass@1", same_as="perplexity<=3"),
        fork("perplexity<=3", 14, 0.4),
    ]
    table = only(ForkResults(rows))
    assert [line.fork.trigger for line in table.lines] == ["perplexity<=3", "pass@1>=0.1"]
    assert "as above" in render_forks([table], "table").splitlines()[4]
    assert len(table.states) == 1


def test_each_fork_stands_beside_the_same_split_trained_from_scratch() -> None:
    table = only(study())
    by_name = {line.fork.trigger: line for line in table.lines}
    gap = by_name["perplexity<=5"].gap
    assert gap is not None and gap.paired and gap.mean == pytest.approx(0.01)
    assert gap.is_real is False
    assert by_name["pass@1>=0.1"].same_split is by_name["perplexity<=3"].same_split
    assert by_name["pass@1>=0.2"].gap is None
    text = render_forks([table], "table")
    assert "0.300 ±0.065≈" in text and "(paired by item)" in text


def test_a_difference_beyond_noise_has_no_tie_mark() -> None:
    rows = [fork("perplexity<=5", 10, 0.8)]
    table = only(ForkResults(rows, (), [baseline("same-split", 0.3, "perplexity<=5")]))
    assert table.lines[0].gap is not None and table.lines[0].gap.is_real
    assert "0.300 ±0.065\n" in render_forks([table], "table")


def test_without_verdicts_scores_are_compared_by_their_items() -> None:
    rows = [replace(fork("perplexity<=5", 10, 0.5), verdicts=None)]
    same = replace(baseline("same-split", 0.48, "perplexity<=5"), verdicts=None)
    gap = only(ForkResults(rows, (), [same])).lines[0].gap
    assert gap is not None and not gap.paired and gap.is_real is False


def test_baselines_of_other_trunks_and_methods_stay_away() -> None:
    strangers = [
        baseline("same-split", 0.9, "perplexity<=5", **place(seed=1)),
        baseline("same-split", 0.9, "perplexity<=5", method="kto"),
        baseline("pft-only", 0.9, method="kto"),
        baseline("sft-only", 0.9, base="other"),
    ]
    table = only(ForkResults([fork("perplexity<=5", 10, 0.5)], (), strangers))
    assert table.baselines == () and table.lines[0].same_split is None


def test_the_same_static_run_is_listed_once_and_rather_with_its_score() -> None:
    twins = [baseline("sft-only", None), baseline("sft-only", 0.3), baseline("sft-only", 0.4, n_sft=256)]
    table = only(ForkResults([fork("perplexity<=5", 10, 0.5)], (), twins))
    assert [one.score for one in table.baselines] == [0.3, 0.4]


def test_when_nothing_fired_the_report_says_so_with_the_best_values() -> None:
    rows = [
        silent("perplexity<=2", value=2.4),
        silent("pass@1>=0.9", metric="pass@1", value=0.35),
        silent("examples=900", metric=None, value=None),
    ]
    results = ForkResults(rows, [curve()], [baseline("sft-only", 0.35)])
    text = render_forks(fork_tables(results), "table")
    assert "No trigger fired: there is nothing to fork from." in text
    assert text.count("did not fire") == 3
    assert "best 2.40 (2.28–2.54)" in text and "best 0.350" in text
    assert "order of the final scores" not in text
    for format_ in FORMATS:
        assert "perplexity" in render_forks(fork_tables(results), format_)


def test_a_study_that_has_not_run_does_not_claim_that_nothing_fired() -> None:
    waiting = silent(
        "perplexity<=2", metric=None, value=None, status=CellStatus.MISSING, reason="not run yet"
    )
    text = render_forks(fork_tables(ForkResults([waiting])), "table")
    assert "No trigger fired" not in text and "did not fire" not in text
    assert "perplexity<=2: not run yet" in text


def test_one_fork_orders_nothing() -> None:
    table = only(ForkResults([fork("perplexity<=5", 10, 0.5)], [curve()]))
    assert all(one.agreement.value is None for one in table.predictions)
    assert "1 finished fork is too few" in render_forks([table], "table")


def test_the_order_is_judged_over_states_with_a_score_and_perplexity_is_turned() -> None:
    found = predicted(only(study()))
    assert list(found) == ["perplexity", "pass@1", "pass@4", "examples"]
    for one in found.values():
        # Five states, one of which has no score yet; the state with two names counts once.
        assert one.agreement.n == 4
        assert one.agreement.value == 1
    text = render_forks(fork_tables(study()), "table")
    assert "final scores of 4 forks" in text and "so few forks make rough intervals" in text
    assert "in 4.2 % of orders" in text


def test_scores_that_fall_with_training_make_a_negative_agreement() -> None:
    steps = (2, 4, 6, 9, 12)
    rows = [fork(f"examples={16 * step}", step, 0.5 - step / 100, metric=None, value=None) for step in steps]
    found = predicted(only(ForkResults(rows, [curve()])))
    assert found["perplexity"].agreement.value == -1
    assert found["examples"].agreement.value == -1
    assert "perplexity −1.00" in render_forks(fork_tables(ForkResults(rows, [curve()])), "md")


def test_the_metric_at_a_fork_between_evaluations_is_the_last_one_before() -> None:
    trunk = curve()
    at = {point.step: point.value for point in trunk.points if point.metric == "pass@1"}
    assert metric_at(trunk, "pass@1", 5) == at[4]
    assert metric_at(trunk, "pass@1", 6) == at[6]
    assert metric_at(trunk, "pass@1", -1) is None
    assert metric_at(trunk, "pass@9", 5) is None


def test_money_that_is_left_is_shown_beside_the_pairs_it_buys() -> None:
    rows = [fork("perplexity<=5", 10, 0.5, remaining=352.0, n_pft=352, budget=992.0)]
    table = render_forks(fork_tables(ForkResults(rows, currency="$")), "md")
    assert "left" not in table.splitlines()[2]
    rows = [fork("perplexity<=5", 10, 0.5, remaining=352.5, n_pft=176, budget=992.5)]
    table = render_forks(fork_tables(ForkResults(rows, currency="$")), "md")
    assert "| left | pairs |" in table and "| 352.50 | 176 |" in table and "992.50 \\$" in table


def test_seeds_are_told_apart_and_pooled_for_the_order() -> None:
    rows = [fork("perplexity<=5", 8 + 2 * seed, 0.3 + seed / 10, seed=seed) for seed in range(3)]
    table = only(ForkResults(rows, [curve(seed) for seed in range(3)]))
    assert table.seeds == (0, 1, 2) and len(table.trunks) == 3
    assert "perplexity<=5 (seed 2)" in render_forks([table], "table")
    assert predicted(table)["examples"].agreement.n == 3


def test_methods_tasks_and_budgets_have_tables_of_their_own() -> None:
    rows = [
        fork("perplexity<=5", 10, 0.5, method=method, budget=budget)
        for method in ("dpo", "kto")
        for budget in (256.0, 512.0)
    ]
    tables = fork_tables(ForkResults(rows))
    assert [(table.method, table.budget) for table in tables] == [
        ("dpo", 256),
        ("dpo", 512),
        ("kto", 256),
        ("kto", 512),
    ]


def test_csv_and_json_read_back() -> None:
    tables = fork_tables(study())
    rows = list(csv.DictReader(io.StringIO(render_forks(tables, "csv"))))
    assert [row["kind"] for row in rows] == ["fork"] * 7 + ["same-split"] * 3 + ["sft-only", "pft-only"]
    named = {row["trigger"]: row for row in rows if row["kind"] == "fork"}
    assert float(named["perplexity<=3"]["score"]) == 0.4
    assert float(named["perplexity<=3"]["same_split_score"]) == 0.405
    assert (named["perplexity<=3"]["examples"], named["perplexity<=3"]["n_sft"]) == ("224", "192")
    assert named["perplexity<=2"]["score"] == "" and named["perplexity<=2"]["fired"] == "False"
    (document,) = json.loads(render_forks(tables, "json"))
    assert document["forks"][3]["same_as"] == "perplexity<=3"
    assert document["predictions"][0] == {
        "metric": "perplexity", "spearman": 1.0, "low": 1.0, "high": 1.0, "chance": pytest.approx(1 / 24), "forks": 4,
    }  # fmt: skip
    assert len(document["curves"][0]["points"]) == 39
    assert document["forks"][0]["status"] == "done"


@pytest.mark.parametrize("width", [80, 99, 100, 120, 160])
def test_a_terminal_is_not_overrun_and_loses_nothing(width: int) -> None:
    rows = [*study().rows, fork("examples=96", 6, 0.25, value=38.05)]
    table = only(
        ForkResults(rows, study().trunks, [*study().baselines, baseline("same-split", 0.25, "examples=96")])
    )
    text = render_forks([table], "table", width=width)
    assert max(map(len, text.splitlines())) <= width
    for words in ("gain=0.01)", "±0.065≈", "same split", "perplexity", "(36.15–40.33)", "did not fire"):
        assert words in text, words
    assert text.count("±0.065") == 10  # five forks, three splits, two baselines


@given(name=st.text(min_size=1, max_size=20))
def test_no_name_breaks_a_format(name: str) -> None:
    rows = [replace(row, task=name, base=f"模型 {name}") for row in study().rows]
    tables = fork_tables(ForkResults(rows, [replace(curve(), task=name, base=f"模型 {name}")]))
    assert json.loads(render_forks(tables, "json"))[0]["task"] == name
    assert "\x1b" not in render_forks(tables, "table")
    body = [line for line in render_forks(tables, "md").split("\n") if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in body} == {6}
    latex = "\n".join(line for line in render_forks(tables, "latex").split("\n") if not line.startswith("%"))
    assert latex.count("{") - latex.count("\\{") == latex.count("}") - latex.count("\\}")


def test_no_forks_make_no_tables() -> None:
    assert fork_tables(ForkResults()) == []


def test_rows_know_their_place() -> None:
    row: ForkRow = fork("examples=64", 4, 0.5)
    trunk: TrunkCurve = curve()
    assert row.place == trunk.place == baseline("sft-only", 0.1).place == ("tiny", "arith", 256.0, 0)
    assert row.counts_examples and not fork("perplexity<=3", 4, 0.5).counts_examples
    assert verdicts(0.5).values.mean() == 0.5
