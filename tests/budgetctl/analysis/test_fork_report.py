from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from html import unescape

import pytest
from fork_studies import baseline, curve, fork, place, silent, study, verdicts
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.fork_predictions import Prediction, metric_at
from budgetctl.analysis.fork_render import render_forks
from budgetctl.analysis.fork_table import ForkTable, fork_tables
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


def seeds_study() -> ForkResults:
    """Three seeds: two triggers that always fire, one that fires twice and once shares a state, one that never does."""
    rows, baselines = [], []
    for seed, (early, late, gain) in enumerate([(8, 14, 0.0), (10, 16, 0.06), (12, 18, -0.03)]):
        rows += [
            fork("perplexity<=5", early, 0.30 + gain, seed=seed, key=f"early{seed}", value=4 + seed / 10),
            fork("perplexity<=3", late, 0.50 + gain, seed=seed, key=f"late{seed}", value=2.9),
            silent("perplexity<=2", seed=seed),
        ]
        rows += [
            [
                fork(
                    "pass@1>=0.1",
                    late,
                    0.50 + gain,
                    metric="pass@1",
                    value=0.2,
                    same_as="perplexity<=3",
                    seed=seed,
                ),
                fork("pass@1>=0.1", late + 1, 0.70, metric="pass@1", value=0.3, seed=seed, key="own"),
                silent("pass@1>=0.1", metric="pass@1", value=0.05, seed=seed),
            ][seed]
        ]
        baselines += [
            baseline("same-split", 0.31 + gain, "perplexity<=5", seed=seed, key=f"split{seed}"),
            baseline("same-split", 0.80 + gain, "perplexity<=3", seed=seed, key=f"splitlate{seed}"),
            baseline("pft-only", 0.10, seed=seed, key=f"pft{seed}"),
        ]
    return ForkResults(rows, [curve(seed) for seed in range(3)], baselines)


def test_several_seeds_make_one_row_per_trigger_with_means_over_the_seeds_that_fired() -> None:
    table = only(seeds_study())
    assert [mean.trigger for mean in table.means] == [
        "perplexity<=5", "pass@1>=0.1", "perplexity<=3", "perplexity<=2"
    ]  # fmt: skip
    early, shared, late, never = table.means
    assert (early.fired, shared.fired, never.fired) == (3, 2, 0)
    assert early.examples is not None and (early.examples.mean, early.examples.least) == (160, 128)
    assert early.score is not None and early.score.mean == pytest.approx(0.31)
    assert (early.score.n_seeds, early.score.n_items) == (3, 200)
    assert shared.score is not None and shared.score.mean == pytest.approx(0.6), "its own seeds: 0.5 and 0.7"
    assert shared.same_as == "", "only in one of its two seeds is its state that of another trigger"
    assert early.gap is not None and early.gap.mean == pytest.approx(-0.01) and early.gap.is_real is False
    assert late.gap is not None and late.gap.is_real
    text = unescape(render_forks([table], "md"))
    assert "| perplexity<=5 | 3 of 3 | 160 (128–192) | 4.10 (4.00–4.20) | 96 (64–128) | 0.310 ±" in text
    assert "| pass@1>=0.1 | 2 of 3 |" in text
    assert "| perplexity<=2 | 0 of 3 |  | best 2.40 |  | did not fire |" in text
    assert "| PFT only |  | 0 |  | 256 | 0.100 ±" in text
    assert text.count("seed 1") == 0
    assert "mean over the seeds that fired" in text and "a seed moves a score by 0.0" in text


def test_intervals_cover_seeds_and_runs_count_once_in_their_noise() -> None:
    table = only(seeds_study())
    (alone,) = (
        line.fork for line in table.lines if (line.fork.trigger, line.fork.seed) == ("perplexity<=5", 0)
    )
    assert alone.score_low is not None and alone.score_high is not None
    # early, late, their splits, PFT only: two each; of the shared trigger one run is left
    assert table.noise.df == 10
    assert 0.03 < table.noise.sd < 0.0458, "less than what moves four of the five, as nothing moves the fifth"
    early = table.means[0].score
    assert early is not None and early.half_width is not None
    of_items = 1.96 * (0.31 * 0.69 / 200) ** 0.5
    assert early.half_width > of_items, "seeds come on top of items"


def test_shared_states_of_every_seed_stand_as_above() -> None:
    rows = [
        row
        for seed in range(2)
        for row in (
            fork("pass@1>=0.1", 14, 0.4, metric="pass@1", same_as="perplexity<=3", seed=seed),
            fork("perplexity<=3", 14, 0.4, seed=seed),
        )
    ]
    table = only(ForkResults(rows))
    assert [(mean.trigger, mean.same_as) for mean in table.means] == [
        ("perplexity<=3", ""), ("pass@1>=0.1", "perplexity<=3")
    ]  # fmt: skip
    assert render_forks([table], "table").splitlines()[4].count("as above") == 2


def test_what_is_not_done_in_some_seeds_is_said() -> None:
    waiting = silent(
        "perplexity<=5", metric=None, value=None, status=CellStatus.MISSING, reason="not run yet", seed=2
    )
    rows = [fork("perplexity<=5", 8, 0.3), fork("perplexity<=5", 9, None, seed=1), waiting]
    text = unescape(render_forks(fork_tables(ForkResults(rows)), "md"))
    assert "| perplexity<=5 | 2 of 2, 1 open | 136 (128–144) |" in text
    assert "0.300 ±0.063 \\[1/2\\] |" in text
    assert "not yet more than one seed each" in text
    (undecided,) = fork_tables(ForkResults([replace(waiting, seed=seed) for seed in (0, 1)]))
    assert "| 0 of 0, 2 open |" in render_forks([undecided], "md")


def test_seeds_and_their_means_in_csv_and_json() -> None:
    tables = fork_tables(seeds_study())
    rows = list(csv.DictReader(io.StringIO(render_forks(tables, "csv"))))
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in {row["kind"] for row in rows}}
    assert len(by_kind["fork"]) == 12 and len(by_kind["pft-only"]) == 3, "the seeds' own rows stay"
    first, *_, never = by_kind["fork over seeds"]
    assert (first["trigger"], first["seed"], first["base"], first["currency"]) == (
        "perplexity<=5",
        "",
        "tiny",
        "examples",
    )
    assert (float(first["examples"]), first["examples_least"], first["examples_most"]) == (160, "128", "192")
    assert (first["fired_seeds"], first["scored_seeds"], float(first["score"])) == (
        "3",
        "3",
        pytest.approx(0.31),
    )
    assert (never["fired_seeds"], never["score"]) == ("0", "")
    (alone,) = by_kind["pft-only over seeds"]
    assert (alone["seeds"], float(alone["score"])) == ("3", pytest.approx(0.1))
    (document,) = json.loads(render_forks(tables, "json"))
    assert len(document["forks"]) == 12
    over = document["over_seeds"]
    assert over["seeds"] == [0, 1, 2] and over["seed_noise"]["df"] == 10
    assert over["forks"][0]["n_pft"] == {"mean": 96, "least": 64, "most": 128}
    assert over["forks"][0]["same_split_score"] == pytest.approx(0.32)


def test_the_order_is_judged_within_each_seeds_trunk() -> None:
    """Seeds whose every fork is later and better do not make examples foretell the order of forks."""
    rows = [
        fork(
            f"examples={place}",
            4 * seed + place,
            0.3 + seed / 10 - place / 100,
            seed=seed,
            metric=None,
            value=None,
        )
        for seed in range(3)
        for place in (1, 2, 3)
    ]
    table = only(ForkResults(rows, [curve(seed) for seed in range(3)]))
    found = predicted(table)["examples"].agreement
    assert (found.value, found.n, found.groups) == (-1, 9, 3)
    assert "(Spearman within a trunk, mean over 3 trunks; 1 is the same order)" in render_forks(
        [table], "table", width=160
    )
    few = only(ForkResults([row for row in rows if row.trigger != "examples=3"], table.trunks))
    assert "6 finished forks are too few in 3 trunks" in render_forks([few], "md")


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
        "trunks": 1,
    }  # fmt: skip
    assert len(document["curves"][0]["points"]) == 39
    assert document["forks"][0]["status"] == "done"


@pytest.mark.parametrize("width", [80, 99, 100, 120, 160])
def test_several_seeds_fit_a_terminal_too(width: int) -> None:
    text = render_forks([only(seeds_study())], "table", width=width)
    assert max(map(len, text.splitlines())) <= width
    for words in ("2 of", "(128–192)", "(4.00–4.20)", "±0.077≈", "same split", "did not fire", "[1/2]"):
        assert words in text, words
    assert text.count("±") >= 8


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
