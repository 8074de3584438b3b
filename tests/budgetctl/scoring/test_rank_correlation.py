from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.scoring.rank_correlation import spearman

NUMBERS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=20)


def test_known_correlations() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 40, 30]).value == pytest.approx(0.8)
    # Ties share their mean rank: ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]).value == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert spearman([1, 2, 3], [3, 2, 1]).value == -1


def test_too_few_or_equal_values_say_nothing() -> None:
    for pairs in ([], [(1, 2)], [(1, 2), (2, 1)], [(1, 1), (1, 2), (1, 3)]):
        found = spearman([a for a, _ in pairs], [b for _, b in pairs])
        assert (found.value, found.low, found.high, found.chance) == (None, None, None, None)
        assert found.n == len(pairs)
    three = spearman([1, 2, 3], [1, 2, 3])
    assert (three.value, three.low) == (1, None)


def test_the_chance_of_an_order_counts_permutations() -> None:
    assert spearman([1, 2, 3, 4], [1, 2, 3, 4]).chance == pytest.approx(1 / 24)
    assert spearman([1, 2, 3], [1, 3, 2]).chance == pytest.approx(3 / 6)
    assert spearman(range(40), range(40)).chance == pytest.approx(1 / 4000)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]).chance == 1


@given(NUMBERS)
def test_only_the_order_matters(pairs: list[tuple[int, int]]) -> None:
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    found = spearman(left, right)
    assert spearman([np.exp(a) for a in left], right) == found
    mirrored = spearman([-a for a in left], right)
    if found.value is None:
        assert mirrored.value is None
        return
    assert mirrored.value == pytest.approx(-found.value)
    assert -1 <= found.value <= 1 and found.chance is not None and 0 < found.chance <= 1
    if found.low is not None and found.high is not None:
        assert -1 <= found.low <= found.high <= 1


def test_the_interval_holds_the_true_correlation_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        left = random.standard_normal(20)
        right = 0.7 * left + np.sqrt(1 - 0.49) * random.standard_normal(20)
        found = spearman(left, right)
        assert found.low is not None and found.high is not None
        held += found.low <= 6 / np.pi * np.arcsin(0.35) <= found.high
    assert 85 <= held <= 100


@pytest.mark.parametrize(("left", "right"), [([1, 2, 3], [1, 2]), ([1, 2, float("nan")], [1, 2, 3])])
def test_what_makes_no_pairs_is_refused(left: list[float], right: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs|not finite"):
        spearman(left, right)


def trunks(random: np.random.Generator, count: int, forks: int) -> tuple[list[float], list[float], list[int]]:
    """Trunks that are higher or lower as a whole on both sides, and in which the order of forks says nothing."""
    of_trunk = 2 * random.standard_normal((count, 1))
    left, right = (of_trunk + random.standard_normal((count, forks)) for _ in range(2))
    return list(left.ravel()), list(right.ravel()), [trunk for trunk in range(count) for _ in range(forks)]


def test_pairs_of_several_trunks_are_not_independent_and_within_trunks_the_level_holds() -> None:
    """Between trunks both sides agree, within none. Taken together, chance looks like agreement in most studies."""
    random = np.random.default_rng(0)
    studies = 150
    sure, covered = {"pooled": 0, "within": 0}, {"pooled": 0, "within": 0}
    for _ in range(studies):
        left, right, of = trunks(random, count=3, forks=5)
        for how, found in (("pooled", spearman(left, right)), ("within", spearman(left, right, of))):
            assert found.chance is not None and found.low is not None and found.high is not None
            sure[how] += found.chance <= 0.05
            covered[how] += found.low <= 0 <= found.high
    assert sure["pooled"] > 0.4 * studies and covered["pooled"] < 0.7 * studies
    assert sure["within"] <= 0.09 * studies and covered["within"] >= 0.93 * studies


def test_the_interval_covers_trunks_that_differ_in_how_well_they_are_foretold() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        agreements = np.clip(0.5 * random.standard_normal((4, 1)), -0.99, 0.99)
        left = random.standard_normal((4, 6))
        right = agreements * left + np.sqrt(1 - agreements**2) * random.standard_normal((4, 6))
        found = spearman(left.ravel(), right.ravel(), [trunk for trunk in range(4) for _ in range(6)])
        assert found.low is not None and found.high is not None
        held += found.low <= 0 <= found.high
    assert held >= 90


def test_the_mean_over_groups_that_say_something() -> None:
    found = spearman([1, 2, 3, 4, 9, 8, 7, 5, 5], [1, 2, 3, 4, 1, 3, 2, 1, 2], [*"aaaa", *"bbb", *"cc"])
    assert found.value == pytest.approx((1 - 0.5) / 2), "two pairs of c order nothing"
    assert (found.n, found.groups) == (7, 2)
    small = spearman([1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 2, 3], [*"aaabbb"])
    assert small.chance == pytest.approx(1 / 36), "both orders at once"
    nothing = spearman([1, 2, 1, 2], [1, 2, 1, 2], [*"aabb"])
    assert (nothing.value, nothing.n, nothing.groups) == (None, 4, 2)
    assert spearman(range(9), range(9), ["one"] * 9) == spearman(range(9), range(9))
    with pytest.raises(ValueError, match="in 2 groups"):
        spearman([1, 2, 3], [1, 2, 3], ["a", "b"])
