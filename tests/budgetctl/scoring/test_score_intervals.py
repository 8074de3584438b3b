import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.scoring.distributions import (
    normal_quantile,
    regularised_incomplete_beta,
    student_t_quantile,
    student_t_two_sided_tail,
)
from budgetctl.scoring.intervals import pooled_mean, wilson

# Printed in any table of Student's distribution (two-sided 0.95).
STUDENT_95 = {1: 12.7062, 2: 4.30265, 5: 2.57058, 10: 2.22814, 30: 2.04227, 120: 1.97993}


@pytest.mark.parametrize(("degrees", "expected"), STUDENT_95.items())
def test_student_quantile_agrees_with_the_printed_table(degrees: int, expected: float) -> None:
    assert student_t_quantile(0.95, degrees) == pytest.approx(expected, rel=1e-5)


@given(st.floats(0.5, 0.999), st.floats(0.6, 5000))
def test_student_quantile_inverts_the_tail(level: float, degrees: float) -> None:
    assert student_t_two_sided_tail(student_t_quantile(level, degrees), degrees) == pytest.approx(1 - level)


@given(st.integers(1, 40), st.integers(0, 40), st.floats(0.01, 0.99))
def test_incomplete_beta_is_a_binomial_tail(successes: int, failures: int, share: float) -> None:
    n = successes + failures
    direct = sum(math.comb(n, j) * share**j * (1 - share) ** (n - j) for j in range(successes, n + 1))
    assert regularised_incomplete_beta(successes, failures + 1, share) == pytest.approx(direct, abs=1e-12)


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0.5, 0.999))
def test_wilson_ends_are_where_the_score_test_just_rejects(n: int, share: float, level: float) -> None:
    successes = round(share * n)
    interval, z = wilson(successes, n, level), normal_quantile(level)
    for end in (interval.low, interval.high):
        if 0.0 < end < 1.0:
            standard_error = math.sqrt(end * (1 - end) / n)
            assert abs(successes / n - end) / standard_error == pytest.approx(z, rel=1e-6)
    assert 0.0 <= interval.low <= successes / n <= interval.high <= 1.0


def test_wilson_of_a_worked_example() -> None:
    interval = wilson(15, 50)  # the example of many textbooks: 30 % of 50
    assert (interval.low, interval.high) == (pytest.approx(0.191, abs=5e-4), pytest.approx(0.438, abs=5e-4))


@pytest.mark.parametrize(
    ("successes", "n", "level", "message"),
    [(1, 0, 0.95, "at least one trial"), (4, 3, 0.95, "between 0 and n=3"), (1, 3, 95, "0.95, not 95")],
)
def test_wilson_refuses_impossible_input(successes: int, n: int, level: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wilson(successes, n, level)


def test_one_seed_of_zeros_and_ones_is_close_to_wilson() -> None:
    scores = [1.0] * 300 + [0.0] * 700
    estimate, direct = pooled_mean([scores]), wilson(300, 1000)
    assert (estimate.low, estimate.high) == (
        pytest.approx(direct.low, abs=2e-4),
        pytest.approx(direct.high, abs=2e-4),
    )
    assert (estimate.mean, estimate.n, estimate.seeds) == (0.3, 1000, 1)


def test_one_seed_of_measurements_is_students_interval() -> None:
    values = np.array([2.0, 4.0, 4.5, 7.0, 9.0])
    estimate = pooled_mean([values])
    half = student_t_quantile(0.95, 4) * values.std(ddof=1) / math.sqrt(5)
    assert (estimate.low, estimate.high) == (
        pytest.approx(values.mean() - half),
        pytest.approx(values.mean() + half),
    )


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_perfect_or_empty_score_keeps_a_width(score: float) -> None:
    estimate = pooled_mean(np.full((3, 100), score))
    assert estimate.mean == score
    assert estimate.high - estimate.low > 0.02


@pytest.mark.parametrize(
    ("seeds", "items", "seed_spread", "item_spread"),
    [(3, 200, 0.0, 0.5), (3, 200, 0.1, 0.5), (5, 100, 0.3, 0.3), (2, 300, 0.02, 0.4)],
)
def test_pooled_interval_covers_the_truth(
    seeds: int, items: int, seed_spread: float, item_spread: float
) -> None:
    random = np.random.default_rng(1)
    trials, covered = 600, 0
    for _ in range(trials):
        table = (
            random.normal(0, seed_spread, (seeds, 1))
            + random.normal(0, item_spread, (1, items))
            + random.normal(0, 0.4, (seeds, items))
        )
        estimate = pooled_mean(table)
        covered += estimate.low <= 0.0 <= estimate.high
    # 600 trials at 95 %: below 0.92 happens by chance once in a thousand runs; it may be wider, not narrower.
    assert covered / trials >= 0.92


def test_pooled_interval_of_accuracies_covers_the_truth() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(500):
        ability, difficulty = random.normal(0, 0.3, (3, 1)), random.normal(0, 2, (1, 250))
        chance = 1 / (1 + np.exp(-(1.0 + ability + difficulty)))
        estimate = pooled_mean((random.random((3, 250)) < chance).astype(float))
        covered += estimate.low <= TRUE_SHARE <= estimate.high
    assert covered / 500 >= 0.92


def _true_share() -> float:
    draws = np.random.default_rng(0).normal(1.0, math.hypot(0.3, 2.0), 2_000_000)
    return float((1 / (1 + np.exp(-draws))).mean())


TRUE_SHARE = _true_share()


def test_seed_spread_widens_the_interval() -> None:
    random = np.random.default_rng(3)
    items = random.normal(0, 1, (1, 500)) + random.normal(0, 0.1, (3, 500))
    agreeing, apart = pooled_mean(items), pooled_mean(items + np.array([[-1.0], [0.0], [1.0]]))
    assert apart.half_width > 5 * agreeing.half_width


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "non-empty row"),
        ([[]], "non-empty row"),
        ([[1.0, 0.0], [1.0]], r"lengths \[1, 2\]"),
        ([[float("nan"), 1.0]], "not finite"),
        ([[0.3]], "at least two items"),
    ],
)
def test_pooled_mean_refuses_what_it_cannot_pool(table: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pooled_mean(table)
