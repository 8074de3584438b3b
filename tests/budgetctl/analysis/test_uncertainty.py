from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from analysis_grids import verdict_cell
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.analysis.cells import CellResult, Verdicts
from budgetctl.analysis.uncertainty import SeedNoise, difference, estimate, paired_items, seed_noise

NO_NOISE = SeedNoise(0.0, 0)


def test_one_seed_of_binary_items_has_the_wilson_interval() -> None:
    # Wilson 1927 for 8 of 10 at 95 %: (0.490, 0.943), a textbook example.
    cell = CellResult("b", "t", "dpo", 100, 1.0, score=0.8, n_items=10)
    found = estimate([cell], NO_NOISE)
    assert (found.low, found.high) == (pytest.approx(0.490, abs=1e-3), pytest.approx(0.943, abs=1e-3))


@given(right=st.integers(0, 40), n=st.just(40), sd=st.floats(0, 0.2))
def test_the_interval_holds_the_mean_and_stays_between_0_and_1(right: int, n: int, sd: float) -> None:
    cell = verdict_cell([1.0] * right + [0.0] * (n - right))
    found = estimate([cell], SeedNoise(sd, 4 if sd else 0))
    assert found.low is not None and found.high is not None
    assert 0.0 <= found.low <= found.mean <= found.high <= 1.0
    assert found.high - found.low > 0.01


def test_a_score_without_items_or_replicates_has_no_interval() -> None:
    found = estimate([CellResult("b", "t", "dpo", 100, 1.0, score=0.4)], NO_NOISE)
    assert (found.mean, found.low, found.high, found.half_width) == (0.4, None, None, None)


def test_seed_noise_is_found_again() -> None:
    """Scores with a known seed deviation and known item noise give that deviation back."""
    rng = np.random.default_rng(1)
    hardness = rng.uniform(0.1, 0.9, size=400)
    places = []
    for _ in range(150):
        shifts = rng.normal(0, 0.05, size=3)
        places.append(
            [
                verdict_cell((rng.random(400) < np.clip(hardness + shift, 0, 1)).astype(float))
                for shift in shifts
            ]
        )
    noise = seed_noise(places)
    assert noise.df == 300
    assert noise.sd == pytest.approx(0.05, rel=0.15)


def test_intervals_cover_the_truth_over_seeds_and_items() -> None:
    """Nominal 95 %: new items and new seeds each time, the seeds' noise pooled over twelve cells."""
    rng = np.random.default_rng(2)
    covered = trials = 0
    for _ in range(120):
        truth = rng.uniform(0.2, 0.8, size=12)
        hardness = rng.normal(0, 0.15, size=150)
        places = []
        for level in truth:
            rows = [rng.random(150) < np.clip(level + hardness + rng.normal(0, 0.04), 0, 1) for _ in range(2)]
            places.append([verdict_cell(row.astype(float), seed=seed) for seed, row in enumerate(rows)])
        noise = seed_noise(places)
        for level, replicates in zip(truth, places, strict=True):
            found = estimate(replicates, noise)
            assert found.low is not None and found.high is not None
            covered += found.low <= level <= found.high
            trials += 1
    assert 0.92 <= covered / trials <= 0.985


def test_pairing_sees_a_difference_that_separate_intervals_hide() -> None:
    hard = [1.0] * 60 + [0.0] * 60
    better = [1.0] * 60 + [1.0] * 9 + [0.0] * 51
    left, right = [verdict_cell(better)], [verdict_cell(hard)]
    paired = difference(left, right, NO_NOISE)
    assert paired.paired and paired.is_real
    unpaired = difference(
        [CellResult("b", "t", "dpo", 1, 1.0, score=69 / 120, n_items=120)],
        [CellResult("b", "t", "dpo", 1, 0.5, score=0.5, n_items=120)],
        NO_NOISE,
    )
    assert not unpaired.paired and unpaired.is_real is False


def test_items_are_paired_by_name_not_by_place() -> None:
    left, right = verdict_cell([1, 0, 1]), verdict_cell([1, 0, 1])
    assert right.verdicts is not None
    turned = type(right.verdicts)(("item2", "item9", "item0"), np.array([1.0, 0.0, 1.0]))
    moved = CellResult("tiny", "arith", "dpo", 100, 0.5, score=2 / 3, n_items=3, verdicts=turned)
    found = paired_items([left], [moved])
    assert found is not None and found.tolist() == [0.0, 0.0]


def test_identical_answers_are_not_told_apart() -> None:
    same = difference([verdict_cell([1, 0, 1, 0])], [verdict_cell([1, 0, 1, 0])], NO_NOISE)
    assert same.mean == 0 and same.is_real is False


@pytest.mark.parametrize(("left", "right"), [([1] * 12, [1] * 24), ([0] * 5, [0] * 5), ([1] * 4, [0] * 4)])
def test_independent_samples_have_a_width_also_where_all_answers_are_alike(
    left: list[int], right: list[int]
) -> None:
    """The left items have other names than the right ones."""
    cells = [verdict_cell(left), verdict_cell(right)]
    for side, cell in enumerate(cells):
        assert cell.verdicts is not None
        items = tuple(f"side{side}-{n}" for n in range(len(cell.verdicts.items)))
        cells[side] = replace(cell, verdicts=Verdicts(items, cell.verdicts.values))
    found = difference([cells[0]], [cells[1]], NO_NOISE)
    assert not found.paired
    assert found.low is not None and found.high is not None
    assert found.low <= found.mean <= found.high
    assert found.high - found.low > 1 / len(left)


def test_the_interval_of_independent_samples_is_newcombes() -> None:
    """His example (1998, table II): 56/70 against 48/80 differ by 0.2, 0.0524 to 0.3339."""
    left = CellResult("b", "t", "dpo", 1, 1.0, score=56 / 70, n_items=70)
    right = CellResult("b", "t", "dpo", 1, 0.5, score=48 / 80, n_items=80)
    found = difference([left], [right], NO_NOISE)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))


def test_independent_intervals_cover_the_true_difference() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(600):
        first, second = rng.uniform(0.02, 0.98, size=2)
        scores = rng.binomial((20, 30), (first, second)) / (20, 30)
        left, right = (
            CellResult("b", "t", "dpo", 1, 1.0, score=float(score), n_items=n)
            for score, n in zip(scores, (20, 30), strict=True)
        )
        found = difference([left], [right], NO_NOISE)
        assert found.low is not None and found.high is not None
        covered += found.low <= first - second <= found.high
    assert covered >= 0.92 * 600
