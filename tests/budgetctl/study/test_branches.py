"""Plans that grow: exact budgets of forks, one key for everybody, one branch for one state."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.errors import UsageError
from budgetctl.study.branches import grown, rest_of
from budgetctl.study.build import plan_study
from budgetctl.study.plan import Plan, PlannedCell
from budgetctl.study.recipe import parse_recipe
from store import Store

FORKS: dict[str, Any] = {
    "every": 32,
    "dev_size": 16,
    "triggers": [{"perplexity": [6, 4]}, {"at": [64, 100]}],
    "baselines": "matched",
}
RECIPE: dict[str, Any] = {
    "name": "forks",
    "base": "tiny",
    "task": "arith",
    "budgets": [128],
    "shares": [],
    "sft": {"epochs": 2, "batch_size": 8},
    "base_settings": {"steps": 2},
    "data": {"options": {"train": 800, "dev": 16, "test": 16}},
    "forks": FORKS,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def planned(store: Store, **changes: Any) -> Plan:
    return plan_study(parse_recipe({**RECIPE, **changes}), store)


def forks_of(plan: Plan) -> dict[str, str]:
    return {branch.axes["fork"]: branch.fork for branch in plan.branches}


def facts(distinct: int, same_as: str = "", fired: bool = True) -> dict[str, Any]:
    return {"fired": fired, "distinct": distinct, "same_as": same_as}


def cells_named(plan: Plan, part: str) -> list[PlannedCell]:
    return [cell for cell in plan.cells if part in cell.name]


prices = st.fractions(min_value=Fraction(1, 20), max_value=20, max_denominator=20)


@given(st.fractions(min_value=1, max_value=5000, max_denominator=10), st.integers(0, 4000), prices, prices)
def test_a_fork_gets_exactly_what_its_distinct_rows_leave(
    budget: Fraction, distinct: int, price_sft: Fraction, price_pft: Fraction
) -> None:
    rest = rest_of(budget, distinct, price_sft, price_pft)
    if rest is None:
        assert distinct * price_sft > budget
        return
    assert rest.n_sft == distinct
    assert distinct * price_sft + rest.n_pft * price_pft + rest.left_over == budget
    assert 0 <= rest.left_over < price_pft
    assert rest.spent + rest.left_over == budget


def test_nothing_grows_before_a_fork_is_published(store: Store) -> None:
    plan = planned(store)
    assert grown(plan, lambda fork: None) == plan
    assert grown(plan, lambda fork: facts(64, fired=False)) == plan
    assert set(forks_of(plan)) == {"perplexity<=6", "perplexity<=4", "examples=64", "examples=100"}
    assert not cells_named(plan, "fork:")


def test_a_published_fork_adds_its_branch_with_the_exact_rest_of_the_budget(store: Store) -> None:
    plan = planned(store)
    fork = forks_of(plan)["perplexity<=6"]
    bigger = grown(plan, {fork: facts(40)}.get)
    (cell,) = cells_named(bigger, "fork:perplexity<=6")
    assert (cell.axes["n_sft"], cell.axes["n_pft"], cell.axes["left_over"]) == (40, 88, 0)
    pairs, tuned = (bigger.stages[cell.stages[role]] for role in ("pft-data", "pft"))
    assert pairs.identity["size"] == 88
    assert tuned.parents["policy"] == fork
    assert tuned.parents["data"] == pairs.key
    assert bigger.stages[cell.stages["gen"]].parents["checkpoint"] == tuned.key
    assert bigger.stages[cell.stages["eval"]].parents["gen"] == cell.stages["gen"]
    (same,) = cells_named(bigger, "same-split:perplexity<=6")
    assert bigger.stages[same.stages["sft-data"]].identity["size"] == 40
    assert same.stages["pft-data"] == cell.stages["pft-data"], "both arms learn from the very same pairs"
    assert list(bigger.stages)[: len(plan.stages)] == list(plan.stages)


def test_growing_again_or_in_another_order_changes_nothing(store: Store) -> None:
    plan = planned(store)
    forks = forks_of(plan)
    known = {forks["perplexity<=6"]: facts(32), forks["perplexity<=4"]: facts(96)}
    at_once = grown(plan, known.get)
    first = grown(plan, {forks["perplexity<=4"]: facts(96)}.get)
    assert set(grown(first, known.get).stages) == set(at_once.stages)
    assert grown(at_once, known.get) == at_once
    stored = Plan.from_document(json.loads(json.dumps(plan.document())))
    assert grown(stored, known.get) == at_once


def test_triggers_that_name_one_state_share_one_branch(store: Store) -> None:
    plan = planned(store)
    forks = forks_of(plan)
    known = {forks["perplexity<=6"]: facts(64, same_as="perplexity<=4")}
    assert grown(plan, known.get) == plan, "the state is trained from under its own name"
    known[forks["perplexity<=4"]] = facts(64)
    bigger = grown(plan, known.get)
    (easy,), (hard,) = (cells_named(bigger, f"/fork:perplexity<={t}") for t in (6, 4))
    assert easy.result == hard.result
    assert easy.axes["fork"] != hard.axes["fork"]


def test_a_fork_that_used_the_whole_budget_is_measured_as_it_is(store: Store) -> None:
    plan = planned(store)
    fork = forks_of(plan)["examples=100"]
    bigger = grown(plan, {fork: facts(128)}.get)
    (cell,) = cells_named(bigger, "/fork:examples=100")
    assert "pft" not in cell.stages
    assert bigger.stages[cell.stages["gen"]].parents["checkpoint"] == fork


def test_a_fork_before_the_first_step_is_the_base_itself(store: Store) -> None:
    plan = planned(store)
    bigger = grown(plan, {forks_of(plan)["perplexity<=6"]: facts(0)}.get)
    (same,) = cells_named(bigger, "same-split:perplexity<=6")
    assert "sft" not in same.stages
    assert "policy" not in bigger.stages[same.stages["pft"]].parents
    assert cells_named(bigger, "/fork:perplexity<=6")[0].axes["n_pft"] == 128
    bigger.document()


def test_a_fork_dearer_than_the_budget_has_no_branch(store: Store) -> None:
    plan = planned(store, cost={"sft": 4, "pft": 1, "currency": "usd"}, budgets=[400])
    fork = forks_of(plan)["examples=64"]
    assert grown(plan, {fork: facts(101)}.get) == plan
    (cell,) = cells_named(grown(plan, {fork: facts(64)}.get), "/fork:examples=64")
    assert cell.axes["n_pft"] == 400 - 4 * 64
    assert cell.axes["share"] == pytest.approx(0.64)


def test_the_whole_trunk_is_the_sft_only_baseline(store: Store) -> None:
    plan = planned(store)
    (alone,) = cells_named(plan, "sft-only")
    assert alone.axes["n_sft"] == 128
    assert not cells_named(plan, "/s1/")
    assert len(cells_named(plan, "/s0/")) == 1
    shorter = planned(store, forks={**FORKS, "sft_budget": 96})
    assert len(cells_named(shorter, "/s1/")) == 1


def test_test_rows_never_decide(store: Store) -> None:
    plan = planned(store)
    (trunk,) = (payload for payload in plan.stages.values() if payload.stage == "trunk")
    assert plan.stages[trunk.parents["dev"]].identity["split"] == "dev"


def test_the_forgiving_reading_decides_where_it_is_asked_for(store: Store, shared_data: Path) -> None:
    rows = {"task": "gsm8k", "data": {"path": str(shared_data / "gsm8k")}}
    readings = []
    for settings in ({}, {"strict": True}, {"strict": False}):
        plan = planned(store, **rows, forks={**FORKS, **settings})
        (key,) = (key for key, payload in plan.stages.items() if payload.stage == "trunk")
        readings.append((plan.stages[key].identity["watch"]["strict"], key))
    assert [strict for strict, _ in readings] == [True, True, False]
    assert readings[0] == readings[1] and readings[1][1] != readings[2][1]
    with pytest.raises(UsageError, match="task arith reads answers in one way only"):
        planned(store, forks={**FORKS, "strict": False})


def test_a_trunk_cannot_spend_more_than_the_budget(store: Store) -> None:
    with pytest.raises(UsageError, match=r"sft_budget is 500, more than the budget of 128"):
        planned(store, forks={**FORKS, "sft_budget": 500})


def test_a_trunk_needs_a_budget_for_one_demonstration(store: Store) -> None:
    with pytest.raises(UsageError, match=r"forks\.sft_budget is 0\.3 examples, which buys no demonstration"):
        planned(store, forks={**FORKS, "sft_budget": 0.3})
    with pytest.raises(UsageError, match=r"the budget is 2 usd, which buys no demonstration at 4 each"):
        planned(store, cost={"sft": 4, "pft": 1, "currency": "usd"}, budgets=[2])


def test_shares_may_be_empty_only_beside_forks(store: Store) -> None:
    with pytest.raises(UsageError, match="shares is empty"):
        planned(store, forks=None)
