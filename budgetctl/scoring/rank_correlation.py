"""Spearman's rank correlation, of one group of pairs or averaged over several, with a bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from budgetctl.scoring.bootstrap import percentile_interval

FEWEST = 3
"""Pairs of a group below which its rank correlation says nothing."""
FEWEST_FOR_INTERVAL = 4
_RESAMPLES = 4000
_MOST_ORDERS = math.factorial(7)
_COMPARISONS_PER_CHUNK = 4_000_000

Floats = NDArray[np.float64]
Pairs = tuple[Floats, Floats]


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation of `n` pairs in `groups` groups.

    Attributes:
        value: −1 to 1; None where no group has three pairs whose sides both vary.
        low: Lower end of the percentile interval; None where the pairs do not allow one.
        high: Upper end.
        chance: How often pairs put together at random agree at least as well; None like `value`.
        n: How many pairs it rests on; without a value, how many there are.
        groups: In how many groups they are.
    """

    value: float | None
    low: float | None
    high: float | None
    chance: float | None
    n: int
    groups: int = 1


def spearman(
    first: ArrayLike,
    second: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> RankCorrelation:
    """Correlation of ranks, ties sharing their mean rank (Spearman 1904, Amer. J. Psychology 15).

    Pairs of different groups are not compared: what makes a whole group higher on both sides (a seed) would pass for
    agreement. The correlation is taken within each group, and the groups' plain mean is the value.

    The interval draws groups, and then pairs within each group drawn, so that it covers both what other groups and
    what other pairs would have given; resamples in which one side does not vary are left out. With a handful of pairs
    it is rough, and it has no width where every order is perfect; so `chance` stands beside it, the one-sided
    permutation test within groups, over all orders if there are few enough, else over random ones.

    Args:
        first: One number per pair.
        second: The other.
        groups: What each pair belongs to; None puts them all into one group.
        level: Confidence level.
        seed: Seed of the resampling.

    Raises:
        ValueError: The sides are of different lengths, or hold a value that is not finite.
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    names = [0] * left.size if groups is None else list(groups)
    if left.ndim != 1 or left.shape != right.shape or len(names) != left.size:
        raise ValueError(
            f"a rank correlation needs pairs, got shapes {left.shape} and {right.shape} in {len(names)} groups"
        )
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("a value is not finite (NaN or infinite); drop that pair first")
    places = [np.array([at for at, name in enumerate(names) if name == one]) for one in dict.fromkeys(names)]
    telling = [pairs for place in places if _tells(pairs := (left[place], right[place]))]
    if not telling:
        return RankCorrelation(None, None, None, None, left.size, len(places))
    value = float(np.mean([_correlations(one[None], other[None])[0] for one, other in telling]))
    n = sum(one.size for one, _ in telling)
    chance = _chance(telling, value, seed)
    if n < FEWEST_FOR_INTERVAL:
        return RankCorrelation(value, None, None, chance, n, len(telling))
    interval = percentile_interval(_resampled(telling, seed), level)
    return RankCorrelation(value, interval.low, interval.high, chance, n, len(telling))


def _tells(pairs: Pairs) -> bool:
    """Whether a group orders anything."""
    return pairs[0].size >= FEWEST and all(len(np.unique(side)) > 1 for side in pairs)


def _resampled(groups: Sequence[Pairs], seed: int) -> Floats:
    """Mean correlations of groups drawn with replacement, their pairs drawn with replacement."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(groups), (_RESAMPLES, len(groups)))
    found = np.empty(drawn.shape)
    for number, (left, right) in enumerate(groups):
        wanted = drawn == number
        found[wanted] = _resampled_group(left, right, int(wanted.sum()), random)
    known = ~np.isnan(found)
    counts = known.sum(axis=1)
    return np.asarray(
        np.where(known, found, 0.0).sum(axis=1)[counts > 0] / counts[counts > 0], dtype=np.float64
    )


def _resampled_group(left: Floats, right: Floats, times: int, random: np.random.Generator) -> Floats:
    """Correlations of so many resamples of pairs; NaN where one side does not vary."""
    n = left.size
    chunk = max(1, _COMPARISONS_PER_CHUNK // (n * n))
    found = [np.empty(0)]
    for start in range(0, times, chunk):
        drawn = random.integers(0, n, (min(chunk, times - start), n))
        found.append(_correlations(left[drawn], right[drawn]))
    return np.concatenate(found)


def _chance(groups: Sequence[Pairs], value: float, seed: int) -> float:
    """Share of orders within the groups whose mean correlation is at least `value`, the observed one among them."""
    random = np.random.default_rng(seed)
    every = math.prod(math.factorial(left.size) for left, _ in groups) <= _MOST_ORDERS
    sums = np.zeros(1)
    for left, right in groups:
        own, ranks = _ranks(left[None])[0], _ranks(right[None])[0]
        if every:
            orders = np.array(list(permutations(ranks)))
        else:
            shuffled = random.permuted(np.tile(ranks, (_RESAMPLES - 1, 1)), axis=1)
            orders = np.vstack([ranks, shuffled])
        own = own - own.mean()
        found = orders @ own / np.sqrt((own**2).sum() * ((ranks - ranks.mean()) ** 2).sum())
        sums = (sums[:, None] + found).ravel() if every else sums + found
    return float(np.mean(sums / len(groups) >= value - 1e-9))


def _correlations(first: Floats, second: Floats) -> Floats:
    """Row by row; NaN where one side does not vary."""
    left, right = _ranks(first), _ranks(second)
    left -= left.mean(axis=1, keepdims=True)
    right -= right.mean(axis=1, keepdims=True)
    size = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        together: Floats = np.clip((left * right).sum(axis=1) / size, -1.0, 1.0)
    return together


def _ranks(rows: Floats) -> Floats:
    below = (rows[:, :, None] > rows[:, None, :]).sum(axis=2)
    same = (rows[:, :, None] == rows[:, None, :]).sum(axis=2)
    ranks: Floats = below + (same + 1) / 2
    return ranks
