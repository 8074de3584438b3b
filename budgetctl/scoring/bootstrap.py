"""Bootstraps over prompts: resampled (Efron and Tibshirani 1993), and smoothed for scores within bounds."""

import numpy as np
from numpy.typing import NDArray

from budgetctl.scoring.distributions import check_level
from budgetctl.scoring.intervals import Interval

DEFAULT_RESAMPLES = 10_000
_WEIGHTS_PER_CHUNK = 4_000_000


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


def smoothed_means(
    values: NDArray[np.float64], lowest: float, highest: float, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Bayesian bootstrap replicates of a mean over prompts, with one prompt more that nobody has seen.

    Resampling prompts that are alike shows no spread, although other prompts may be unlike them. Here the prompts
    get random weights (Rubin 1981, "The Bayesian bootstrap", Annals of Statistics 9), and so does a further one, of
    the lowest value in one half of the replicates and of the highest in the other: a Dirichlet process whose prior
    weighs as much as one prompt and knows only the bounds (Ferguson 1973, Annals of Statistics 1). For n values of
    which s are 1 and the others 0, the replicates are half from Beta(s, n − s + 1) and half from Beta(s + 1, n − s),
    which is the mid-P distribution of a share (Lancaster 1961, JASA 56).

    Args:
        values: (prompts,), or (prompts, several) for several means over the same draws.
        lowest: What a prompt can show at least.
        highest: What it can show at most.
        resamples: How many; rounded up to an even number.
        seed: Of the draws.

    Returns:
        (resamples,), or (resamples, several).
    """
    if resamples < 1:
        raise ValueError(f"a bootstrap needs at least one resample, got {resamples}")
    prompts, draws = len(values), -(-resamples // 2)
    random = np.random.default_rng(seed)
    chunk = max(1, _WEIGHTS_PER_CHUNK // (prompts + 1))
    replicates = []
    for start in range(0, draws, chunk):
        weights = random.standard_exponential((min(chunk, draws - start), prompts + 1))
        weights /= weights.sum(axis=1, keepdims=True)
        seen = weights[:, 1:] @ values
        replicates += [(seen.T + weights[:, 0] * bound).T for bound in (lowest, highest)]
    return np.concatenate(replicates)


def percentile_interval(replicates: NDArray[np.float64], level: float) -> Interval:
    """The central `level` share of bootstrap replicates."""
    check_level(level)
    low, high = np.quantile(replicates, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(low), float(high))
