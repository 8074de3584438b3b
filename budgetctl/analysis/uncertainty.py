"""How sure a cell's mean is, and whether two cells can be told apart.

Scores vary for two reasons: other test items would have been asked, and another training seed would
have given another model. All seeds answer the same items, so the two are crossed. With item means m_i
over S seeds, the variance of the grand mean is var(m_i) / n + s2 / S, where s2 is the seeds' variance
beyond what item-by-seed noise explains (the method of moments of the two-way random effects model;
Searle, Casella and McCulloch, *Variance Components*, 1992, section 4.3). Two or three seeds say little
about s2, so it is pooled over all cells of a table: the noise floor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from budgetctl.analysis.cells import CellResult, FloatArray
from budgetctl.scoring.distributions import normal_quantile, student_t_quantile


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """Between-seed standard deviation of a score, pooled over cells; `df` 0 means no replicates."""

    sd: float
    df: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval; `low` and `high` are None when nothing says how sure it is."""

    mean: float
    low: float | None
    high: float | None
    n_seeds: int
    n_items: int | None

    @property
    def half_width(self) -> float | None:
        """Half the interval's length, for "mean ± x"."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference of two cells with its interval; `paired` when taken item by item."""

    mean: float
    low: float | None
    high: float | None
    paired: bool
    n_items: int | None

    @property
    def is_real(self) -> bool | None:
        """Whether the interval excludes zero; None when there is no interval."""
        if self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0


def verdict_matrix(replicates: Sequence[CellResult]) -> tuple[tuple[str, ...], FloatArray] | None:
    """Items and verdicts, shape (seeds, items), when every seed answered the same items in one order."""
    rows = [cell.verdicts for cell in replicates]
    first = rows[0] if rows else None
    if first is None or not first.items:
        return None
    values = []
    for row in rows:
        if row is None or not (row.items is first.items or row.items == first.items):
            return None
        values.append(row.values)
    return first.items, np.vstack(values)


def seed_noise(places: Sequence[Sequence[CellResult]]) -> SeedNoise:
    """Pools the between-seed variance over places of a grid.

    Args:
        places: per place the finished cells that differ only by seed.
    """
    total, df = 0.0, 0
    for replicates in places:
        seeds = len(replicates)
        if seeds < 2:
            continue
        total += (seeds - 1) * _seed_variance(replicates)
        df += seeds - 1
    return SeedNoise(sd=math.sqrt(max(total / df, 0.0)) if df else 0.0, df=df)


def _seed_variance(replicates: Sequence[CellResult]) -> float:
    """Variance of seed means, less what item-by-seed noise explains when verdicts tell; may be negative."""
    means = np.array([_score(cell) for cell in replicates])
    variance = float(means.var(ddof=1))
    matrix = verdict_matrix(replicates)
    if matrix is None:
        return variance
    values = matrix[1]
    seeds, items = values.shape
    if items < 2:
        return variance
    residual = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    residual_mean_square = float((residual**2).sum()) / ((seeds - 1) * (items - 1))
    return float(variance - residual_mean_square / items)


def estimate(replicates: Sequence[CellResult], noise: SeedNoise, confidence: float = 0.95) -> Estimate:
    """Mean over seeds and items, with an interval that covers both.

    Scores inside [0, 1] get a Wilson interval with the effective number of items, so that it never
    leaves [0, 1] and does not vanish at 0 or 1; others a symmetric one.
    """
    mean = float(np.mean([_score(cell) for cell in replicates]))
    seeds = len(replicates)
    item_variance, n_items = _item_variance(replicates)
    seed_variance = noise.sd**2 / seeds
    if item_variance is None and noise.df == 0:
        return Estimate(mean, None, None, seeds, n_items)
    variance = (item_variance or 0.0) + seed_variance
    factor = _factor(item_variance or 0.0, seed_variance, noise, confidence)
    bounded = all(0.0 <= _score(cell) <= 1.0 for cell in replicates)
    if bounded and n_items:
        spread = mean * (1 - mean)
        effective = min(spread / variance, float(n_items * seeds)) if variance > 0 and spread > 0 else n_items
        low, high = _wilson(mean, effective, factor)
    else:
        low, high = mean - factor * math.sqrt(variance), mean + factor * math.sqrt(variance)
    return Estimate(mean, low, high, seeds, n_items)


def difference(
    left: Sequence[CellResult], right: Sequence[CellResult], noise: SeedNoise, confidence: float = 0.95
) -> Difference:
    """Left minus right: item by item where both answered the same items, else as two independent samples.

    The interval of independent samples is squared and added from those of the two means (Newcombe 1998, Statistics in
    Medicine 17, method 10; Zou and Donner 2008, ibid. 27), so it has a width also where all items of both are alike.
    """
    paired = paired_items(left, right)
    if paired is None or len(paired) < 2:
        return _independent(estimate(left, noise, confidence), estimate(right, noise, confidence))
    mean = float(paired.mean())
    seed_variance = noise.sd**2 * (1 / len(left) + 1 / len(right))
    item_variance = float(paired.var(ddof=1)) / len(paired)
    if item_variance == 0.0 and noise.sd == 0.0:
        item_variance = 1.0 / len(paired) ** 2  # identical answers: less than one item's worth is unseen
    half = _factor(item_variance, seed_variance, noise, confidence) * math.sqrt(item_variance + seed_variance)
    return Difference(mean, mean - half, mean + half, True, len(paired))


def _independent(left: Estimate, right: Estimate) -> Difference:
    mean = left.mean - right.mean
    n_items = min(left.n_items, right.n_items) if left.n_items and right.n_items else None
    if left.low is None or left.high is None or right.low is None or right.high is None:
        return Difference(mean, None, None, False, n_items)
    below = math.hypot(left.mean - left.low, right.high - right.mean)
    above = math.hypot(left.high - left.mean, right.mean - right.low)
    return Difference(mean, mean - below, mean + above, False, n_items)


def paired_items(left: Sequence[CellResult], right: Sequence[CellResult]) -> FloatArray | None:
    """Per shared item, left minus right, each averaged over its seeds; None without shared verdicts."""
    shared = shared_items(left, right)
    return None if shared is None else shared[0] - shared[1]


def shared_items(
    left: Sequence[CellResult], right: Sequence[CellResult]
) -> tuple[FloatArray, FloatArray] | None:
    """Both sides' verdicts on the items they share, each averaged over its seeds; None without shared verdicts."""
    first, second = verdict_matrix(left), verdict_matrix(right)
    if first is None or second is None:
        return None
    means = first[1].mean(axis=0), second[1].mean(axis=0)
    if first[0] is second[0] or first[0] == second[0]:
        return means
    place = {item: index for index, item in enumerate(second[0])}
    shared = [(i, place[item]) for i, item in enumerate(first[0]) if item in place]
    if not shared:
        return None
    rows, columns = (list(indices) for indices in zip(*shared, strict=True))
    return means[0][rows], means[1][columns]


def _item_variance(replicates: Sequence[CellResult]) -> tuple[float | None, int | None]:
    """Variance of the mean due to the choice of items, and the number of items."""
    matrix = verdict_matrix(replicates)
    if matrix is not None and matrix[1].shape[1] > 1:
        means = matrix[1].mean(axis=0)
        return float(means.var(ddof=1)) / len(means), len(means)
    counts = [cell.n_items for cell in replicates if cell.n_items]
    if len(counts) < len(replicates):
        return None, None
    items = min(counts)
    mean = float(np.mean([_score(cell) for cell in replicates]))
    if not 0.0 <= mean <= 1.0:
        return None, items
    return mean * (1 - mean) / items, items  # seeds share the items: not divided by their number


def _factor(item_variance: float, seed_variance: float, noise: SeedNoise, confidence: float) -> float:
    """Student's quantile with Satterthwaite's degrees of freedom: only the seeds' part is uncertain."""
    total = item_variance + seed_variance
    if noise.df == 0 or seed_variance <= 1e-9 * total:
        return normal_quantile(confidence)
    return _student(confidence, float(f"{noise.df * (total / seed_variance) ** 2:.2g}"))


@lru_cache(maxsize=1024)
def _student(confidence: float, df: float) -> float:
    return student_t_quantile(confidence, df)


def _wilson(mean: float, items: float, factor: float) -> tuple[float, float]:
    """Wilson's score interval (1927) for a proportion observed on `items` trials."""
    square = factor**2 / items
    centre = (mean + square / 2) / (1 + square)
    half = factor / (1 + square) * math.sqrt(mean * (1 - mean) / items + square / (4 * items))
    return max(0.0, min(centre - half, mean)), min(1.0, max(centre + half, mean))


def _score(cell: CellResult) -> float:
    if cell.score is None:
        raise ValueError(f"cell {cell.label} is {cell.status.value} and has no score")
    return cell.score
