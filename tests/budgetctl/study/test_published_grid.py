"""The study's whole grid over datasets of the published sizes, in the hub's layout: planned before anything runs."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.errors import UsageError
from budgetctl.study.build import plan_study
from budgetctl.study.recipe import parse_recipe
from store import Store

SFT_ROWS, PAIRS = 29_980, 19_890
BUDGETS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
SHARES = (1, 0.75, 0.5, 0.25, 0.1, 0.01, 0)


def turns(question: str, answer: str):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


@pytest.fixture(scope="module")
def hub_folders(tmp_path_factory):
    """Rows with the columns of the published datasets; pair prompts are a part of the SFT prompts, as published."""
    root = tmp_path_factory.mktemp("hub")
    sft = [
        {
            "id": f"s{n}",
            "prompt": f"task {n}",
            "messages": turns(f"task {n}", f"done {n}"),
            "constraints": ["c"],
        }
        for n in range(SFT_ROWS)
    ]
    pairs = [
        {"id": f"p{n}", "prompt": f"task {n}", "chosen": turns(f"task {n}", f"well {n}"),
         "rejected": turns(f"task {n}", f"badly {n}"), "chosen_model": "a", "rejected_model": "b"}
        for n in range(PAIRS)
    ]  # fmt: skip
    prompts = [
        {"key": n, "prompt": f"check {n}", "instruction_id_list": ["punctuation:no_comma"],
         "kwargs": [{"num_words": None}]}
        for n in range(541)
    ]  # fmt: skip
    for name, file, rows in (
        ("tulu-3-sft-personas-instruction-following", "data/train-00000-of-00001.parquet", sft),
        ("tulu-3-pref-personas-instruction-following", "data/train-00000-of-00001.parquet", pairs),
        ("IFEval", "data/train-00000-of-00001.parquet", prompts),
    ):
        path = root / name / file
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    return root


def recipe(hub_folders, **changes):
    return parse_recipe(
        {
            "name": "published", "base": "tiny", "task": "tuluif", "budgets": list(BUDGETS), "shares": list(SHARES),
            "data": {"path": str(hub_folders), "overlap": "shared"}, **changes,
        }
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store", create=True)


def test_every_cell_of_the_grid_gets_exactly_its_rows(hub_folders, store):
    possible = [budget for budget in BUDGETS if budget < 20_000]
    plan = plan_study(recipe(hub_folders, budgets=possible), store)
    cells = [cell for cell in plan.cells if cell.axes["method"]]
    assert len(cells) == len(possible) * len(SHARES)
    for cell, (budget, share) in zip(cells, itertools.product(possible, SHARES), strict=True):
        axes = cell.axes
        assert axes["n_sft"] + axes["n_pft"] == budget
        assert abs(axes["n_sft"] - share * budget) <= 0.5
        assert axes["left_over"] == 0
        for role, count in (("sft-data", axes["n_sft"]), ("pft-data", axes["n_pft"])):
            if count:
                assert plan.stages[cell.stages[role]].identity["size"] == count
            else:
                assert role not in cell.stages


def test_cells_that_cannot_be_had_fail_in_the_plan(hub_folders, store):
    with pytest.raises(UsageError) as caught:
        plan_study(recipe(hub_folders, budgets=[20_000]), store)
    sentences = str(caught.value).splitlines()
    assert len(sentences) == 2
    assert "b20000/s0/" in sentences[0]
    assert "has 19890 preference pairs, and 20000 are asked for" in sentences[0]


def test_disjoint_sides_fail_only_where_prompts_run_out(hub_folders, store):
    data = {"path": str(hub_folders), "overlap": "disjoint"}
    plan_study(recipe(hub_folders, budgets=[10_000], data=data), store)
    with pytest.raises(UsageError) as caught:
        plan_study(recipe(hub_folders, budgets=[20_000], data=data), store)
    text = str(caught.value)
    assert "b20000/s0/" in text
    assert "b20000/s0.75/" not in text


def test_money_that_does_not_divide_leaves_its_rest(hub_folders, store):
    plan = plan_study(
        recipe(hub_folders, budgets=[1001], shares=[1, 0.5, 0], cost={"sft": 4, "pft": 3, "currency": "usd"}),
        store,
    )
    counts = [(c.axes["n_sft"], c.axes["n_pft"], c.axes["left_over"]) for c in plan.cells if c.axes["method"]]
    assert counts == [(250, 0, 1.0), (125, 167, 0.0), (0, 333, 2.0)]
