from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.errors import UsageError
from budgetctl.study.budget import Prices, split_budget

decimals = st.integers(1, 10_000).map(lambda n: Fraction(n, 100))
shares = st.integers(0, 100).map(lambda n: Fraction(n, 100))


@given(budget=st.integers(1, 10**6), share=shares)
def test_a_budget_in_examples_is_spent_exactly(budget: int, share: Fraction) -> None:
    split = split_budget(budget, share, Prices())
    assert split.n_sft + split.n_pft == budget
    assert split.left_over == 0
    assert abs(split.n_sft - share * budget) <= Fraction(1, 2)


@given(budget=decimals.filter(lambda b: b >= 1), share=shares, sft=decimals, pft=decimals)
def test_money_is_never_overspent_and_what_is_left_buys_nothing(
    budget: Fraction, share: Fraction, sft: Fraction, pft: Fraction
) -> None:
    split = split_budget(budget, share, Prices(sft, pft, "usd"))
    assert split.n_sft * sft + split.n_pft * pft + split.left_over == budget
    assert split.n_sft >= 0
    assert split.n_pft >= 0
    assert 0 <= split.left_over < (sft if share == 1 else pft)


@given(budget=st.integers(1, 10**6), sft=decimals, pft=decimals)
def test_share_one_buys_no_pairs_and_share_zero_no_demonstrations(
    budget: int, sft: Fraction, pft: Fraction
) -> None:
    prices = Prices(sft, pft, "usd")
    assert split_budget(budget, 1, prices).n_pft == 0
    assert split_budget(budget, 0, prices).n_sft == 0


@given(budget=st.integers(1, 10**5), low=shares, high=shares, sft=decimals, pft=decimals)
def test_a_larger_share_never_buys_fewer_demonstrations(
    budget: int, low: Fraction, high: Fraction, sft: Fraction, pft: Fraction
) -> None:
    prices = Prices(sft, pft, "usd")
    low, high = sorted((low, high))
    assert split_budget(budget, low, prices).n_sft <= split_budget(budget, high, prices).n_sft


@pytest.mark.parametrize(
    ("budget", "share", "prices", "n_sft", "n_pft", "left_over"),
    [
        (250, 0.01, Prices(), 3, 247, 0),  # 2.5 rounds up
        (100, 0.1, Prices(), 10, 90, 0),
        (5000, 0.25, Prices(Fraction(4), Fraction(1), "usd"), 313, 3748, 0),  # 312.5 rounds up
        (10, 1, Prices(Fraction(4), Fraction(1), "usd"), 2, 0, 2),
        (10, 0.9, Prices(Fraction(4), Fraction(3), "usd"), 2, 0, 2),
        (1, 0.5, Prices(Fraction("0.1"), Fraction("0.3"), "usd"), 5, 1, Fraction("0.2")),
    ],
)  # fmt: skip
def test_worked_examples(
    budget: float, share: float, prices: Prices, n_sft: int, n_pft: int, left_over: float
) -> None:
    split = split_budget(budget, share, prices)
    assert (split.n_sft, split.n_pft, split.left_over) == (n_sft, n_pft, left_over)


@pytest.mark.parametrize("share", [-0.01, 1.01, "much"])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="share is"):
        split_budget(100, share, Prices())


def test_a_budget_must_be_positive() -> None:
    with pytest.raises(UsageError, match="budget is 0"):
        split_budget(0, 0.5, Prices())


def test_a_price_must_be_positive() -> None:
    with pytest.raises(UsageError, match="price of one pft row is 0"):
        Prices(Fraction(1), Fraction(0))
