from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.scoring.passk import pass_at_each_k, pass_at_k


@given(st.data(), st.integers(1, 200))
def test_estimator_is_the_formula_in_whole_numbers(data: st.DataObject, samples: int) -> None:
    correct, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    direct = 1 - Fraction(comb(samples - correct, k), comb(samples, k))
    assert pass_at_k(samples, correct, k) == pytest.approx(float(direct), abs=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_estimator_is_the_share_of_subsets_with_a_right_answer(
    flags: list[bool], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(flags)))
    subsets = list(combinations(flags, k))
    assert pass_at_k(len(flags), sum(flags), k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_estimator_is_unbiased() -> None:
    random = np.random.default_rng(0)
    estimates = [pass_at_k(10, int(random.binomial(10, 0.2)), 3) for _ in range(20_000)]
    assert np.mean(estimates) == pytest.approx(1 - 0.8**3, abs=0.01)


@pytest.mark.parametrize(
    ("samples", "correct", "k", "message"),
    [
        (4, 2, 5, "pass@5 needs at least 5 answers"),
        (4, 2, 0, "k of at least 1"),
        (4, 5, 1, "5 right answers of 4"),
    ],
)
def test_impossible_requests_are_refused(samples: int, correct: int, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pass_at_k(samples, correct, k)


def test_pass_at_one_is_the_accuracy_and_grows_with_k() -> None:
    right = (np.random.default_rng(1).random((60, 16)) < 0.3).astype(float)
    results = pass_at_each_k(right, [1, 2, 4, 8, 16])
    assert results[0].value == pytest.approx(right.mean())
    values = [result.value for result in results]
    assert values == sorted(values)
    assert results[-1].value == pytest.approx(right.max(axis=1).mean())
    for result in results:
        assert result.interval.low <= result.value <= result.interval.high
        assert result.prompts == 60


def test_prompts_may_have_different_numbers_of_answers_but_not_fewer_than_k() -> None:
    assert pass_at_each_k([[1, 0], [0, 0, 1]], [2])[0].value == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(ValueError, match="pass@3 needs"):
        pass_at_each_k([[1, 0], [0, 0, 1]], [3])
    with pytest.raises(ValueError, match="at least one prompt"):
        pass_at_each_k([], [1])
    with pytest.raises(ValueError, match="0 or 1"):
        pass_at_each_k([[0.5, 1.0]], [1])


def test_interval_covers_the_true_value() -> None:
    random = np.random.default_rng(2)
    truth = np.mean([1 - (1 - p) ** 4 for p in random.beta(1, 3, 200_000)])
    covered = 0
    for _ in range(100):
        chance = random.beta(1, 3, (150, 1))
        right = (random.random((150, 8)) < chance).astype(float)
        result = pass_at_each_k(right, [4], resamples=1000)[0]
        covered += result.interval.low <= truth <= result.interval.high
    assert covered >= 87  # 95 expected; fewer than 87 of 100 happens by chance once in a thousand


def test_prompts_that_are_all_alike_keep_an_interval() -> None:
    (none,) = pass_at_each_k([[0, 0]] * 10, [2])
    (all_right,) = pass_at_each_k([[1, 1]] * 10, [2])
    assert (none.value, none.interval.low) == (0.0, 0.0)
    assert 0.2 < none.interval.high < 0.35
    assert all_right.interval.low == pytest.approx(1 - none.interval.high)


@pytest.mark.parametrize(
    ("right", "k"),
    [([[1, 1, 1, 1, 0, 0, 0, 0]], 1), ([[1, 0]] * 5, 1), ([[1, 0]] * 5, 2), ([[1, 0, 0, 0]] * 3, 2)],
)
def test_few_prompts_with_equal_values_keep_an_interval(right: list[list[int]], k: int) -> None:
    (found,) = pass_at_each_k(right, [k])
    assert found.interval.low <= found.value <= found.interval.high
    assert found.interval.high - found.interval.low > 1 / (len(right) + 1)


@pytest.mark.parametrize(("prompts", "samples", "k"), [(2, 4, 2), (5, 8, 4), (10, 8, 1), (24, 16, 4)])
@pytest.mark.parametrize("shape", [(0.2, 1.8), (0.5, 0.5), (2.0, 2.0), (50.0, 50.0)])
def test_few_prompts_still_cover_the_true_value(
    prompts: int, samples: int, k: int, shape: tuple[float, float]
) -> None:
    random = np.random.default_rng(4)
    truth = np.mean(1 - (1 - random.beta(*shape, 200_000)) ** k)
    covered = 0
    for _ in range(200):
        right = (random.random((prompts, samples)) < random.beta(*shape, (prompts, 1))).astype(float)
        (found,) = pass_at_each_k(right, [k], resamples=800)
        covered += found.interval.low <= truth <= found.interval.high
    assert covered >= 178  # 190 expected of 95 %; fewer than 178 happens by chance once in a thousand


def test_several_k_share_their_draws() -> None:
    flags = np.random.default_rng(3).integers(0, 2, size=(30, 8))
    together = pass_at_each_k(flags, [1, 4, 8], resamples=500)
    alone = [pass_at_each_k(flags, [k], resamples=500)[0] for k in (1, 4, 8)]
    for shared, single in zip(together, alone, strict=True):
        assert shared.value == pytest.approx(single.value)
        assert (shared.interval.low, shared.interval.high) == pytest.approx(
            (single.interval.low, single.interval.high)
        )
