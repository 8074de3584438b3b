"""1,000 simulated runs whose metric is flat: how often does noise fire a trigger?"""

from __future__ import annotations

import numpy as np
import pytest
from curves import passes, perplexity, run
from numpy.typing import NDArray

from budgetctl.forking.decide import Measurement
from budgetctl.forking.entries import parse_triggers
from budgetctl.forking.noise import surely_at_least, surely_at_most
from budgetctl.forking.triggers import WatchSettings
from budgetctl.scoring.passk import pass_at_k

RUNS, EVALUATIONS, ROWS, LEVEL = 1000, 12, 64, 0.9
# The count of runs with an error is binomial; even at exactly the stated rate it stays below this 999 times in 1,000.
MOST = 130
PLATEAUS = [{"plateau": {"patience": 3, "min_gain": 0.01}}, {"plateau": {"metric": "pass@1", "patience": 3}}]


def flat_perplexity(random: np.random.Generator) -> list[Measurement]:
    """Rows of different length and hardness, a new disturbance of each at every evaluation; the truth is always e."""
    tokens = random.integers(5, 60, ROWS)
    hardness = random.gamma(3.0, 1 / 3.0, ROWS)
    noise = 1 + 0.1 * random.standard_normal((EVALUATIONS, ROWS))
    return [perplexity(zip(row, tokens, strict=True)) for row in (tokens * hardness * noise).tolist()]


def flat_pass(random: np.random.Generator, share: float) -> list[Measurement]:
    """Prompts of different hardness, four new answers to each at every evaluation."""
    hardness = random.beta(share, 1 - share, ROWS)
    return [passes(row / 4, samples=4) for row in random.binomial(4, hardness, (EVALUATIONS, ROWS))]


def first_fires(entries: list[object], share: float = 0.2) -> dict[str, list[int]]:
    """Trigger → the evaluation it fired at, in each run where it did."""
    settings = WatchSettings(triggers=parse_triggers(entries, 1), every=8, level=LEVEL)
    random = np.random.default_rng(7)
    found: dict[str, list[int]] = {trigger.name: [] for trigger in settings.triggers}
    for _ in range(RUNS):
        curve = [list(pair) for pair in zip(flat_perplexity(random), flat_pass(random, share), strict=True)]
        for one in run(settings, curve):
            found[one.trigger.name].append(one.point.step)
    return found


def test_a_flat_noisy_curve_fires_its_plateaus_and_no_threshold_beyond_the_stated_rate() -> None:
    at_the_truth = [{"perplexity": float(np.e)}, {"pass@1": 0.2}]
    found = first_fires([*at_the_truth, *PLATEAUS])
    on_perplexity, on_pass, flat_loss, flat_share = found.values()
    assert len(on_perplexity) + len(on_pass) <= MOST
    for plateau in (flat_loss, flat_share):
        assert len(plateau) == RUNS
        assert sum(step > 3 for step in plateau) <= MOST
        assert min(plateau) == 3


def test_thresholds_a_little_beyond_a_flat_curve_never_fire() -> None:
    found = first_fires([{"perplexity": 2.2}, {"pass@1": 0.35}])
    assert list(map(len, found.values())) == [0, 0]


@pytest.mark.parametrize(("rows", "share"), [(30, 0.03), (64, 0.2), (200, 0.5)])
@pytest.mark.parametrize(("samples", "k"), [(1, 1), (4, 1), (4, 2), (4, 4)])
def test_one_test_of_a_share_keeps_its_error(rows: int, share: float, samples: int, k: int) -> None:
    random = np.random.default_rng(rows + samples + k)
    each = np.array([pass_at_k(samples, right, k) for right in range(samples + 1)])
    hardness = random.beta(2 * share, 2 * (1 - share), (4000, rows))
    values = each[random.binomial(samples, hardness)]
    truth = _mean_pass(random, share, samples, each)
    errors = sum(surely_at_least(row, truth, 0.02, samples // k) for row in values.tolist())
    assert errors <= 0.02 * 4000 + 3.1 * np.sqrt(0.02 * 4000)


def _mean_pass(random: np.random.Generator, share: float, samples: int, each: NDArray[np.float64]) -> float:
    hardness = random.beta(2 * share, 2 * (1 - share), 2_000_000)
    return float(each[random.binomial(samples, hardness)].mean())


def test_one_test_of_perplexity_keeps_its_error_although_losses_are_skewed() -> None:
    random = np.random.default_rng(1)
    runs, rows = 4000, 200
    tokens = random.integers(5, 60, (runs, rows))
    losses = tokens * random.gamma(3.0, 1 / 3.0, (runs, rows))
    errors = sum(
        surely_at_most(np.stack([loss, size], 1), float(np.e), 0.02)  # type: ignore[arg-type]
        for loss, size in zip(losses, tokens, strict=True)
    )
    assert errors <= 0.02 * runs + 3.1 * np.sqrt(0.02 * runs)
