"""What a cell buys, in every unit."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.data.amount import Tokens
from budgetctl.errors import UsageError
from budgetctl.study.budget import Prices
from budgetctl.study.build import plan_study
from budgetctl.study.purchase import purchase
from budgetctl.study.recipe import parse_recipe
from store import Store

TOKENS = Prices(currency="tokens")
shares = st.integers(0, 1000).map(lambda n: Fraction(n, 1000))


@given(st.integers(1, 10**9), shares)
def test_a_token_budget_is_split_exactly(budget, share):
    bought = purchase(budget, share, TOKENS)
    sft, pft = (side.budget if isinstance(side, Tokens) else 0 for side in (bought.sft, bought.pft))
    assert sft + pft == budget == bought.axes["cost"]
    assert abs(sft - share * budget) <= Fraction(1, 2)
    assert (bought.axes["tokens_sft"], bought.axes["tokens_pft"]) == (sft, pft)
    assert (bought.axes["n_sft"], bought.axes["n_pft"]) == (None if sft else 0, None if pft else 0)


@given(st.integers(1, 10**9), st.data())
def test_a_larger_share_never_gives_the_demonstrations_fewer_tokens(budget, data):
    low, high = sorted([data.draw(shares), data.draw(shares)])
    left, right = (purchase(budget, share, TOKENS).axes["tokens_sft"] for share in (low, high))
    assert left <= right


def test_the_pure_arms_buy_one_side_only():
    assert purchase(1000, 1, TOKENS).pft is None
    assert purchase(1000, 0, TOKENS).sft is None
    assert purchase(100, 1, Prices()).axes["n_pft"] == 0


@pytest.mark.parametrize(("budget", "share"), [(10.5, 0.5), (0, 0.5), (10, 1.5)])
def test_what_is_no_token_budget(budget, share):
    with pytest.raises(UsageError, match=r"whole number|above 0|between 0"):
        purchase(budget, share, TOKENS)


def recipe(**changes):
    return parse_recipe(
        {
            "name": "t",
            "base": "tiny",
            "task": "arith",
            "budgets": [4000],
            "cost": {"currency": "tokens"},
            **changes,
        }
    )


def test_prices_of_tokens_are_refused():
    with pytest.raises(UsageError, match="budgets in tokens take no prices"):
        recipe(cost={"currency": "tokens", "sft": 2})


def test_a_study_in_tokens_is_planned_before_anything_is_there(tmp_path):
    plan = plan_study(recipe(shares=[1, 0.25, 0]), Store.open(tmp_path / "s", create=True))
    cells = {cell.axes["share"]: cell for cell in plan.cells if cell.axes["method"]}
    sft, pft = (plan.stages[cells[0.25].stages[role]] for role in ("sft-data", "pft-data"))
    assert (sft.identity["size"], sft.identity["token_budget"]) == (None, 1000)
    assert pft.identity["token_budget"] == 3000
    assert pft.identity["apart_from"]["token_budget"] == 1000
    assert sft.parents == pft.parents == {"base": cells[1].stages["base"]}
    assert "pft-data" not in cells[1].stages
    assert "sft-data" not in cells[0].stages
    other = plan_study(recipe(shares=[0.26]), Store.open(tmp_path / "s"))
    assert not {sft.key, pft.key} & set(other.stages)
