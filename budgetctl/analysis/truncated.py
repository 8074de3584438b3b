"""Draws from normal distributions cut off below zero, many at once."""

from __future__ import annotations

import numpy as np

from budgetctl.analysis.cells import FloatArray

_FAR = 0.45  # beyond this many deviations below zero, the exponential proposal accepts more often


def sample_above_zero(rng: np.random.Generator, mean: FloatArray, sd: FloatArray) -> FloatArray:
    """One draw per entry of N(mean, sd²) given that it is ≥ 0.

    Plain rejection where zero lies left of or near the mean, else Robert's exponential rejection
    (C. P. Robert, "Simulation of truncated normal variables", Statistics and Computing 5, 1995).

    Args:
        rng: source of randomness.
        mean: shape (n,), any sign.
        sd: shape (n,), positive.
    """
    bound = -mean / sd
    result = np.empty_like(bound)
    near = np.flatnonzero(bound < _FAR)
    while near.size:
        drawn = rng.standard_normal(near.size)
        accepted = drawn >= bound[near]
        result[near[accepted]] = drawn[accepted]
        near = near[~accepted]
    far = np.flatnonzero(bound >= _FAR)
    while far.size:
        low = bound[far]
        rate = (low + np.sqrt(low**2 + 4.0)) / 2.0
        drawn = low + rng.standard_exponential(far.size) / rate
        accepted = rng.random(far.size) <= np.exp(-0.5 * (drawn - rate) ** 2)
        result[far[accepted]] = drawn[accepted]
        far = far[~accepted]
    return np.maximum(mean + sd * result, 0.0)
