"""Spearman's rank correlation with a bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from budgetctl.scoring.bootstrap import percentile_interval

FEWEST = 3
"""Pairs below which a rank correlation says nothing."""
FEWEST_FOR_INTERVAL = 4
_RESAMPLES = 4000
_MOST_FOR_ALL_ORDERS = 7
_COMPARISONS_PER_CHUNK = 4_000_000


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation of `n` pairs.

    Attributes:
        value: −1 to 1; None with fewer than three pairs, or when one side does not vary.
        low: Lower end of the percentile interval; None where the pairs do not allow one.
        high: Upper end.
        chance: How often pairs put together at random agree at least as well; None like `value`.
        n: How many pairs.
    """

    value: float | None
    low: float | None
    high: float | None
    chance: float | None
    n: int


def spearman(first: ArrayLike, second: ArrayLike, level: float = 0.95, seed: int = 0) -> RankCorrelation:
    """Correlation of ranks, ties sharing their mean rank (Spearman 1904, Amer. J. Psychology 15).

    The interval resamples pairs; resamples in which one side does not vary are left out. With a handful of pairs it is
    rough, and it has no width where the order is perfect; so `chance` stands beside it, the one-sided permutation
    test, over all permutations of up to seven pairs and over random ones of more.

    Args:
        first: One number per pair.
        second: The other.
        level: Confidence level.
        seed: Seed of the resampling.

    Raises:
        ValueError: The two are of different lengths, or hold a value that is not finite.
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"a rank correlation needs pairs, got shapes {left.shape} and {right.shape}")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("a value is not finite (NaN or infinite); drop that pair first")
    n = left.size
    if n < FEWEST:
        return RankCorrelation(None, None, None, None, n)
    value = float(_correlations(left[None], right[None])[0])
    if np.isnan(value):
        return RankCorrelation(None, None, None, None, n)
    if n < FEWEST_FOR_INTERVAL:
        return RankCorrelation(value, None, None, _chance(left, right, value, seed), n)
    random = np.random.default_rng(seed)
    chunk = max(1, _COMPARISONS_PER_CHUNK // (n * n))
    found = []
    for start in range(0, _RESAMPLES, chunk):
        drawn = random.integers(0, n, (min(chunk, _RESAMPLES - start), n))
        found.append(_correlations(left[drawn], right[drawn]))
    replicates = np.concatenate(found)
    interval = percentile_interval(replicates[~np.isnan(replicates)], level)
    return RankCorrelation(value, interval.low, interval.high, _chance(left, right, value, seed), n)


def _chance(left: NDArray[np.float64], right: NDArray[np.float64], value: float, seed: int) -> float:
    """Share of permutations whose correlation is at least `value`, the observed one among them."""
    n = left.size
    ranks = _ranks(right[None])[0]
    if n <= _MOST_FOR_ALL_ORDERS:
        orders = np.array(list(permutations(ranks)))
    else:
        random = np.random.default_rng(seed)
        shuffled = random.permuted(np.tile(ranks, (_RESAMPLES - 1, 1)), axis=1)
        orders = np.vstack([ranks, shuffled])
    own = _ranks(left[None])[0]
    own = own - own.mean()
    size = np.sqrt((own**2).sum() * ((ranks - ranks.mean()) ** 2).sum())
    return float(np.mean(orders @ own / size >= value - 1e-9))


def _correlations(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row; NaN where one side does not vary."""
    left, right = _ranks(first), _ranks(second)
    left -= left.mean(axis=1, keepdims=True)
    right -= right.mean(axis=1, keepdims=True)
    size = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        together: NDArray[np.float64] = np.clip((left * right).sum(axis=1) / size, -1.0, 1.0)
    return together


def _ranks(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    below = (rows[:, :, None] > rows[:, None, :]).sum(axis=2)
    same = (rows[:, :, None] == rows[:, None, :]).sum(axis=2)
    ranks: NDArray[np.float64] = below + (same + 1) / 2
    return ranks
