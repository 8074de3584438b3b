from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.scoring.paired import mcnemar_exact, paired_bootstrap

flags = st.integers(1, 60).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 1), min_size=size, max_size=size)] * 2)
)


@given(flags)
def test_mcnemar_is_the_sign_test_on_the_disagreeing_prompts(pair: tuple[list[int], list[int]]) -> None:
    first, second = pair
    result = mcnemar_exact(first, second)
    disagreeing = sum(a != b for a, b in zip(first, second, strict=True))
    wins = sum(a > b for a, b in zip(first, second, strict=True))
    as_extreme = sum(
        comb(disagreeing, other)
        for other in range(disagreeing + 1)
        if abs(2 * other - disagreeing) >= abs(2 * wins - disagreeing)
    )
    assert result.p_value == pytest.approx(as_extreme / 2**disagreeing)
    assert (result.only_first, result.only_second) == (wins, disagreeing - wins)


@given(flags)
def test_mcnemar_does_not_depend_on_the_order_of_the_two(pair: tuple[list[int], list[int]]) -> None:
    assert mcnemar_exact(*pair).p_value == mcnemar_exact(pair[1], pair[0]).p_value


def test_mcnemar_of_a_worked_example() -> None:
    result = mcnemar_exact([1] * 2 + [0] * 8, [0] * 2 + [1] * 8)  # 2 against 8: 2·(1+10+45)/1024
    assert result.p_value == pytest.approx(112 / 1024)


def test_mcnemar_holds_its_level_and_survives_thousands_of_prompts() -> None:
    random = np.random.default_rng(0)
    rejected = sum(
        mcnemar_exact(random.integers(0, 2, 400), random.integers(0, 2, 400)).p_value < 0.05
        for _ in range(500)
    )
    assert rejected / 500 <= 0.08
    first = np.repeat([1, 0], 4000)
    assert mcnemar_exact(first, 1 - first).p_value == 1.0
    assert 0.0 < mcnemar_exact(np.ones(900), np.zeros(900)).p_value < 1e-200


def test_paired_interval_is_narrow_where_the_two_agree() -> None:
    random = np.random.default_rng(1)
    difficulty = random.uniform(0.1, 0.8, 2000)
    first, second = (difficulty + shift + random.normal(0, 0.1, 2000) for shift in (0.0, 0.01))
    result = paired_bootstrap(first, second)
    unpaired = paired_bootstrap(first, random.permutation(second))
    assert result.difference == pytest.approx(result.second - result.first)
    assert result.distinguishable
    assert not unpaired.distinguishable
    assert result.interval.half_width == pytest.approx(1.96 * np.std(second - first) / 2000**0.5, rel=0.1)


@pytest.mark.parametrize("difference", [-1.0, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("prompts", [1, 2, 5, 50])
def test_a_difference_that_is_the_same_on_every_prompt_has_a_width(difference: float, prompts: int) -> None:
    first = np.full(prompts, max(0.0, -difference))
    interval = paired_bootstrap(first, first + difference).interval
    assert interval.low <= difference <= interval.high
    assert interval.high - interval.low > 1.5 / (prompts + 1)


def test_paired_comparisons_refuse_scores_of_different_prompts() -> None:
    with pytest.raises(ValueError, match=r"same prompts; got shapes \(2,\) and \(3,\)"):
        paired_bootstrap([1, 0], [1, 0, 1])
    with pytest.raises(ValueError, match="flags of 0 and 1"):
        mcnemar_exact([0.5], [1.0])
    with pytest.raises(ValueError, match="not finite"):
        paired_bootstrap([float("nan")], [1.0])
    with pytest.raises(ValueError, match="one score per prompt"):
        mcnemar_exact([], [])
