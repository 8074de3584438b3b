"""Confidence intervals for one score: Wilson for a share, a pooled mean over seeds and items."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from budgetctl.scoring.distributions import normal_quantile, student_t_quantile


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def half_width(self) -> float:
        """Half the distance between the two ends."""
        return (self.high - self.low) / 2.0


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: The mean over all seeds and items.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Items per seed (not items times seeds).
        seeds: How many seeds were pooled.
        level: Confidence level of the interval.
    """

    mean: float
    low: float
    high: float
    n: int
    seeds: int
    level: float = 0.95

    @property
    def half_width(self) -> float:
        """Half the distance between the two ends."""
        return (self.high - self.low) / 2.0


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share of `n` independent trials.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22. Unlike
    p ± z·sqrt(p(1−p)/n) it stays inside [0, 1] and has a width at 0 and at n successes.

    Args:
        successes: How many trials succeeded, 0 to `n`; a mean of partial scores times `n` is accepted.
        n: How many trials.
        level: Confidence level.

    Raises:
        ValueError: `n` is not positive, or `successes` is outside 0 … `n`.
    """
    if n <= 0:
        raise ValueError(f"an interval needs at least one trial, got n={n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n={n}, got {successes}")
    return wilson_interval(successes / n, float(n), normal_quantile(level))


def wilson_interval(share: float, n: float, quantile: float) -> Interval:
    """Wilson's interval around a share of `n` trials, which need not be a whole number."""
    weight = quantile * quantile / n
    centre = (share + weight / 2.0) / (1.0 + weight)
    spread = quantile / (1.0 + weight) * math.sqrt(share * (1.0 - share) / n + weight / (4.0 * n))
    low = 0.0 if share == 0.0 else max(0.0, centre - spread)
    high = 1.0 if share == 1.0 else min(1.0, centre + spread)
    return Interval(low, high)


def pooled_mean(
    per_seed_item_scores: Sequence[ArrayLike] | NDArray[np.float64], level: float = 0.95
) -> Estimate:
    """Mean of one score over several training seeds, with an interval for a new seed *and* new items.

    The scores form a seeds × items table: y[s, i] = μ + seed_s + item_i + noise_si, seeds and items both
    drawn at random (a crossed two-way random-effects model). The variance of the grand mean is estimated
    from the table's mean squares as

        V = (MS_seed + MS_item − MS_rest) / (S·I),

    (each of MS_seed and MS_item holds the residual variance once, so it is taken off once), and never less
    than the larger of MS_seed/(S·I) and MS_item/(S·I): a component that comes out negative by chance does
    not narrow the interval. The quantile is Student's t with Satterthwaite's degrees of freedom for that
    sum, because three seeds estimate a spread badly (Searle, Casella, McCulloch, "Variance Components",
    1992, chapters 4 and 5; Satterthwaite 1946, Biometrics Bulletin 2). With one seed the seed spread cannot
    be seen: the interval is then that of the items alone, and `seeds == 1` says so.

    When every score is 0 or 1 the interval is Wilson's with the effective number of trials p(1−p)/V in the
    place of n (Dean and Pagano 2015, J. Survey Statistics and Methodology 3), so it stays in [0, 1] and
    keeps a width at 0 % and 100 %; otherwise it is mean ± t·sqrt(V).

    Args:
        per_seed_item_scores: One row of item scores per seed; all rows hold the same items in the same
            order.
        level: Confidence level.

    Raises:
        ValueError: no seed or no item, rows of different lengths, a score that is not finite, or a single
            item whose score is not 0 or 1 (nothing then tells its spread).
    """
    table = _as_table(per_seed_item_scores)
    seeds, items = table.shape
    mean = float(table.mean())
    binary = bool(np.isin(table, (0.0, 1.0)).all())
    if items == 1 and not binary:
        raise ValueError("one item gives no spread: an interval needs at least two items")
    variance, degrees = _variance_of_grand_mean(table)
    quantile = student_t_quantile(level, degrees) if degrees else normal_quantile(level)
    if binary:
        bernoulli = mean * (1.0 - mean)
        effective = min(bernoulli / variance, float(seeds * items)) if variance > 0.0 else float(items)
        interval = wilson_interval(mean, effective, quantile)
    else:
        spread = quantile * math.sqrt(variance)
        interval = Interval(mean - spread, mean + spread)
    return Estimate(mean, interval.low, interval.high, n=items, seeds=seeds, level=level)


def _as_table(per_seed_item_scores: Sequence[ArrayLike] | NDArray[np.float64]) -> NDArray[np.float64]:
    rows = [np.asarray(row, dtype=np.float64) for row in per_seed_item_scores]
    if not rows or any(row.ndim != 1 for row in rows) or rows[0].size == 0:
        raise ValueError("scores must be one non-empty row of numbers per seed")
    lengths = sorted({row.size for row in rows})
    if len(lengths) > 1:
        raise ValueError(f"every seed must be scored on the same items; rows have lengths {lengths}")
    table = np.stack(rows)
    if not np.isfinite(table).all():
        raise ValueError("a score is not finite (NaN or infinite); drop or repair that item first")
    return table


def _variance_of_grand_mean(table: NDArray[np.float64]) -> tuple[float, float]:
    """Variance of the mean of a seeds × items table, and its Satterthwaite degrees of freedom.

    The degrees of freedom are 0 where the table has no spread that could tell any.
    """
    seeds, items = table.shape
    grand = table.mean()
    seed_means, item_means = table.mean(axis=1), table.mean(axis=0)
    parts: list[tuple[float, int, int]] = []
    if items > 1:
        parts.append((seeds * float(np.square(item_means - grand).sum()) / (items - 1), items - 1, 1))
    if seeds > 1:
        parts.append((items * float(np.square(seed_means - grand).sum()) / (seeds - 1), seeds - 1, 1))
    if seeds > 1 and items > 1:
        rest = table - seed_means[:, None] - item_means[None, :] + grand
        freedom = (seeds - 1) * (items - 1)
        parts.append((float(np.square(rest).sum()) / freedom, freedom, -1))
    total = sum(sign * square for square, _, sign in parts)
    floor = max((square for square, _, sign in parts if sign > 0), default=0.0)
    if floor <= 0.0:
        return 0.0, 0.0
    if total < floor:
        freedom = next(free for square, free, sign in parts if sign > 0 and square == floor)
        return floor / (seeds * items), float(freedom)
    degrees = total * total / sum(square * square / free for square, free, _ in parts)
    return total / (seeds * items), degrees
