"""Percentile bootstrap over prompts (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993)."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from budgetctl.scoring.distributions import check_level
from budgetctl.scoring.intervals import Interval

DEFAULT_RESAMPLES = 10_000
_WEIGHTS_PER_CHUNK = 4_000_000


def bootstrap_mean(
    scores: ArrayLike,
    prompts: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a mean, resampling whole prompts.

    Several answers to one prompt rise and fall together, so the prompt, not the answer, is what is drawn
    (a cluster bootstrap). Each resample draws as many prompts as there are, with replacement, and takes the
    mean over all answers of the drawn prompts.

    Args:
        scores: One score per answer.
        prompts: The prompt of each answer; left out, every answer is a prompt of its own.
        level: Confidence level.
        resamples: How many resamples.
        seed: Seed of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: no scores, a score that is not finite, or as many prompts as scores are not given.
    """
    sums, counts = _sums_by_prompt(_finite_row(scores), prompts)
    means = resampled_ratios(sums, counts, resamples, seed)
    return percentile_interval(means, level)


def resampled_ratios(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Bootstrap replicates of sum(numerators) / sum(denominators) over resampled rows.

    Args:
        numerators: (rows,), or (rows, several) for several ratios over the same draws.
        denominators: (rows,).
        resamples: How many.
        seed: Of the draws.

    Returns:
        (resamples,), or (resamples, several).
    """
    if resamples < 1:
        raise ValueError(f"a bootstrap needs at least one resample, got {resamples}")
    rows = len(numerators)
    random = np.random.default_rng(seed)
    equal = np.full(rows, 1.0 / rows)
    chunk = max(1, _WEIGHTS_PER_CHUNK // rows)
    replicates = []
    for start in range(0, resamples, chunk):
        drawn = random.multinomial(rows, equal, size=min(chunk, resamples - start))
        divisors = drawn @ denominators
        replicates.append(((drawn @ numerators).T / divisors).T)
    return np.concatenate(replicates)


def percentile_interval(replicates: NDArray[np.float64], level: float) -> Interval:
    """The central `level` share of bootstrap replicates."""
    check_level(level)
    low, high = np.quantile(replicates, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(low), float(high))


def _finite_row(scores: ArrayLike) -> NDArray[np.float64]:
    row = np.asarray(scores, dtype=np.float64)
    if row.ndim != 1 or row.size == 0:
        raise ValueError(f"scores must be a non-empty row of numbers, got shape {row.shape}")
    if not np.isfinite(row).all():
        raise ValueError("a score is not finite (NaN or infinite); drop or repair that answer first")
    return row


def _sums_by_prompt(
    scores: NDArray[np.float64], prompts: Sequence[Hashable] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if prompts is None:
        return scores, np.ones_like(scores)
    if len(prompts) != scores.size:
        raise ValueError(f"{scores.size} scores need as many prompts, got {len(prompts)}")
    numbers: dict[Hashable, int] = {}
    rows = np.array([numbers.setdefault(prompt, len(numbers)) for prompt in prompts])
    counts = np.bincount(rows, minlength=len(numbers)).astype(np.float64)
    return np.bincount(rows, weights=scores, minlength=len(numbers)).astype(np.float64), counts
