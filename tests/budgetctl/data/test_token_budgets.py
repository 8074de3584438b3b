"""Budgets in tokens: exact, nested, and never more than was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgetctl.data.amount import Tokens
from budgetctl.data.cutting import Order, cut
from budgetctl.data.errors import ShortageError
from budgetctl.data.pool import Pool
from budgetctl.data.prepare import card

costs_of_rows = st.lists(st.integers(1, 300), min_size=1, max_size=80)
seeds = st.integers(0, 2**31)


def pool(costs: list[int]) -> Pool:
    names = [f"p{number}" for number in range(len(costs))]
    return Pool(names, [name.encode() for name in names], costs, costs)


@settings(deadline=None)
@given(costs_of_rows, seeds, st.lists(st.integers(1, 30_000), min_size=2, max_size=6))
def test_larger_token_budgets_contain_smaller_ones(costs, seed, budgets):
    previous: list[int] = []
    for budget in sorted(budgets):
        try:
            chosen = cut(pool(costs), "sft", Tokens(budget), Order(seed), "demo")
        except ShortageError:
            assert budget < max(costs) or budget > sum(costs)
            continue
        assert chosen[: len(previous)] == previous
        previous = chosen


@settings(deadline=None)
@given(costs_of_rows, seeds, st.data(), st.sampled_from(["front", "back"]))
def test_the_next_row_would_cost_more_than_is_left(costs, seed, data, end):
    budget = data.draw(st.integers(max(costs), sum(costs)))
    order = Order(seed, end)
    rows = pool(costs)
    ranking = cut(rows, "pref", None, order, "demo")
    chosen = cut(rows, "pref", Tokens(budget), order, "demo")
    told = card(rows, chosen, "pref", Tokens(budget))["token_budget"]
    assert chosen == ranking[: len(chosen)]
    assert told["tokens_spent"] == sum(costs[row] for row in chosen)
    assert told["tokens_spent"] + told["tokens_left_over"] == told["tokens"] == budget
    assert told["tokens_left_over"] >= 0
    if len(chosen) < len(costs):
        assert costs[ranking[len(chosen)]] > told["tokens_left_over"]


@given(costs_of_rows, seeds, st.integers(1, 10_000))
def test_more_tokens_than_there_are_is_an_error_that_counts_them(costs, seed, more):
    asked = sum(costs) + more
    with pytest.raises(
        ShortageError, match=f"demo has {sum(costs)} tokens in {len(costs)} SFT rows, and {asked} are"
    ):
        cut(pool(costs), "sft", Tokens(asked), Order(seed), "demo")


def test_all_tokens_of_a_source_can_be_bought():
    assert sorted(cut(pool([5, 6, 7]), "sft", Tokens(18), Order(0), "demo")) == [0, 1, 2]


def test_a_budget_below_the_first_row_is_an_error():
    with pytest.raises(
        ShortageError, match="9 tokens buy nothing of demo: the first of its SFT rows takes 10"
    ):
        cut(pool([10, 10]), "sft", Tokens(9), Order(0), "demo")
