"""`data plan` says what `run --only data` will then do."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections import Counter

import pytest
from huggingface_hub import constants

from budgetctl.console import SilentReporter
from budgetctl.data import cutting, lengths
from budgetctl.data.hub_fetch import FrozenRevisions
from budgetctl.errors import UsageError
from budgetctl.stages.catalog import stage_from
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution
from budgetctl.study.build import plan_study
from budgetctl.study.data_plan import cell_rows, to_table
from budgetctl.study.recipe import parse_recipe
from store import Store

COMMIT = "a" * 40
SMALL = {"train": 200, "dev": 10, "test": 10}


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def recipe(small_base):
    def make(**changes):
        content = {
            "name": "t", "base": str(small_base), "task": "arith", "budgets": [60], "shares": [1, 0.5, 0],
            "data": {"options": SMALL}, **changes,
        }  # fmt: skip
        return parse_recipe(content)

    return make


def counts(rows):
    return [(row.n_sft, row.n_pft, row.left_over) for row in rows]


def prepare(recipe, store, stage="data"):
    """Run a recipe's stages of one kind, and what they need."""
    plan = plan_study(recipe, store).only(stage)
    execution = Execution(sources=plan.sources, device="cpu", threads=1)
    for payload in plan.stages.values():
        execute(stage_from(payload), store, execution, SilentReporter())


def test_examples_and_money_are_known_at_once(recipe, store):
    assert counts(cell_rows(recipe(), store)) == [(60, 0, 0), (30, 30, 0), (0, 60, 0)]
    priced = recipe(cost={"sft": 7, "pft": 4, "currency": "usd"})
    assert counts(cell_rows(priced, store)) == [(8, 0, 4), (4, 8, 0), (0, 15, 0)]


def test_cells_that_cannot_be_had_stand_beside_those_that_can(recipe, store):
    rows = cell_rows(recipe(budgets=[60, 300]), store)
    assert [bool(row.refused) for row in rows] == [False, False, False, True, True, True]
    assert "arith has 200 SFT rows, and 300 are asked for" in rows[3].refused
    assert "overlap: disjoint cannot be kept" in rows[4].refused
    table = to_table(rows)
    assert table.count("cannot be had:") == 3
    assert table.endswith("6 cells, 3 of them cannot be had")


def test_tokens_are_counted_by_the_stage_just_as_the_plan_counted_them(recipe, store):
    study = recipe(budgets=[9000], cost={"currency": "tokens"})
    before = cell_rows(study, store)
    assert counts(before) == [(None, 0, None), (None, None, None), (0, None, None)]
    assert "3 cells are counted when" in to_table(before)
    prepare(study, store, "base")
    planned = counts(cell_rows(study, store))
    for n_sft, n_pft, left in planned:
        assert n_sft + n_pft > 3
        assert 0 <= left < 9000
    prepare(study, store)
    assert counts(cell_rows(study, store)) == planned
    cards = [json.loads(a.path("card.json").read_text()) for a in store.artifacts("data") if "token_budget" in
             json.loads(a.path("card.json").read_text())]  # fmt: skip
    assert len(cards) == 4
    for card in cards:
        told = card["token_budget"]
        assert told["tokens_spent"] + told["tokens_left_over"] == told["tokens"]


def test_token_budgets_beyond_the_source_are_refused_where_they_can_be_counted(recipe, store):
    study = recipe(budgets=[10_000_000], cost={"currency": "tokens"}, shares=[1])
    assert cell_rows(study, store)[0].refused == ""
    prepare(study, store, "base")
    assert "tokens in 200 SFT rows, and 10000000 are asked for" in cell_rows(study, store)[0].refused
    with pytest.raises(UsageError, match=r"s1/seed0 cannot be had: .* 10000000 are asked for"):
        plan_study(study, store)


def test_rows_that_are_too_long_are_counted_where_the_base_is_there(recipe, store):
    limited = {"data": {"options": SMALL, "max_tokens": 128}, "budgets": [150], "shares": [1]}
    assert cell_rows(recipe(**limited), store)[0].refused == ""
    prepare(recipe(**limited), store, "base")
    assert "rows longer than 128 tokens" in cell_rows(recipe(**limited), store)[0].refused
    with pytest.raises(UsageError, match="rows longer than 128 tokens"):
        plan_study(recipe(**limited), store)


def test_each_pool_is_counted_and_ranked_once_for_all_cells(recipe, store, monkeypatch):
    study = recipe(budgets=list(range(4000, 8000, 100)), cost={"currency": "tokens"})
    prepare(study, store, "base")
    done = Counter()

    def noting(name, real):
        def noted(*given):
            done[name] += 1
            return real(*given)

        return noted

    monkeypatch.setattr(lengths, "counter_of", noting("counted", lengths.counter_of))
    monkeypatch.setattr(cutting, "ranked", noting("ranked", cutting.ranked))
    plan_study(study, store)
    assert done == {"counted": 2, "ranked": 2}  # SFT rows and pairs


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A hub's cache on this machine with one dataset."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    def put(*parts):
        folder = tmp_path / "cache" / "datasets--o--mine" / "snapshots" / COMMIT
        folder.mkdir(parents=True, exist_ok=True)
        for part in parts:
            rows = [{"q": f"question {part} {n}", "a": "yes"} for n in range(15)]
            (folder / part).write_text("".join(json.dumps(row) + "\n" for row in rows))

    return put


def of_the_hub(recipe, revision="main", **splits):
    columns = {"prompt": "q", "answer": "a", "reference": "a"}
    own = {"hub": "o/mine", "revision": revision, "columns": columns, "splits": {"train": "train", **splits}}
    return recipe(task="gsm8k", budgets=[40], shares=[1], data={"options": {"sft": own, "eval": own}})


PARTS = ("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl")


def test_hub_datasets_that_were_fetched_before_are_looked_into(recipe, store, hub_cache):
    study = of_the_hub(recipe)
    hub_cache(*PARTS)
    plan_study(study, store)  # which commit the branch stands for is not known yet
    source = study.data.supplies(study.tasks, FrozenRevisions(store.root))["gsm8k"].sft
    FrozenRevisions(store.root).freeze(source, COMMIT)
    with pytest.raises(UsageError, match="o/mine has 30 SFT rows, and 40 are asked for"):
        plan_study(study, store)
    assert "o/mine has 30 SFT rows" in cell_rows(study, store)[0].refused


def test_a_cache_that_may_lack_files_of_a_declared_commit_is_not_believed(recipe, store, hub_cache):
    study, asked = of_the_hub(recipe, COMMIT), of_the_hub(recipe, COMMIT, test="test")
    plan_study(study, store)
    hub_cache(PARTS[0])
    plan_study(study, store)
    hub_cache(PARTS[1])
    plan_study(asked, store)
    with pytest.raises(UsageError, match="o/mine has 30 SFT rows, and 40 are asked for"):
        plan_study(study, store)


def test_rows_that_the_context_cannot_hold_never_fit(recipe, store):
    limited = recipe(data={"options": SMALL, "max_tokens": 4096}, budgets=[180], shares=[1])
    prepare(limited, store, "base")
    assert "rows longer than 128 tokens" in cell_rows(limited, store)[0].refused


def test_the_table_writes_numbers_in_full(recipe, store):
    costs = {"sft": 20_000.01, "pft": 1e6, "currency": "usd"}
    table = to_table(cell_rows(recipe(budgets=[1_234_567], shares=[1], cost=costs), store))
    assert "1,234,567" in table
    assert f"{1_234_567 - 61 * 20_000.01:,.2f}" in table


CHEAP = {"budgets": [3, 20], "shares": [1, 0.5, 0], "cost": {"sft": 12.5, "pft": 3.1, "currency": "usd"}}
NOTHING = "3 usd buy no row at share {}: a demonstration costs 12.5, a pair 3.1"


def test_a_cell_that_buys_nothing_is_refused_and_stands_in_the_table(recipe, store):
    rows = cell_rows(recipe(**CHEAP), store)
    assert [row.refused for row in rows] == [
        *(NOTHING.format(share) for share in ("1", "0.5", "0")),
        "",
        "",
        "",
    ]
    with pytest.raises(UsageError) as caught:
        plan_study(recipe(**CHEAP), store)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[1].endswith(f"arith/dpo/b3/s0.5/seed0 cannot be had: {NOTHING.format('0.5')}")


def test_a_trunk_that_buys_nothing_is_refused(recipe, store):
    forks = {"every": 64, "triggers": [{"examples": 8}]}
    with pytest.raises(UsageError, match=r"the budget is 3 usd, which buys no demonstration at 12\.5 each"):
        plan_study(recipe(**{**CHEAP, "shares": [], "forks": forks}), store)


@pytest.fixture
def command(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "{name: t, base: tiny, task: arith, budgets: [10, 9000], shares: [1, 0.5]}"
    )

    def run(*words):
        line = [sys.executable, "-m", "budgetctl", "data", "plan", "--grid", str(tmp_path / "r.yaml"), *words]
        return subprocess.run(
            [*line, "--store", str(tmp_path / "s")], capture_output=True, text=True, check=False
        )

    return run


def test_the_command_prints_a_table_json_or_csv(command):
    shown, as_json, as_csv = command(), command("--json"), command("--csv")
    assert (shown.returncode, as_json.returncode, as_csv.returncode) == (0, 0, 0)
    assert "4 cells, 2 of them cannot be had" in shown.stdout
    documents = json.loads(as_json.stdout)
    assert [(one["n_sft"], one["n_pft"], one["left_over"]) for one in documents[:2]] == [
        (10, 0, 0),
        (5, 5, 0),
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert [row["refused"] for row in rows] == [one["refused"] for one in documents]
    assert command("--json", "--csv").returncode == 2
