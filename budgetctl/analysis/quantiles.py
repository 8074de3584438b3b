"""Quantiles of the normal and Student's t distribution, without scipy."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
_LARGE_DF = 400.0


def normal_quantile(probability: float) -> float:
    """The value below which a standard normal variable falls with the given probability."""
    return _NORMAL.inv_cdf(probability)


@lru_cache(maxsize=512)
def student_quantile(probability: float, df: float) -> float:
    """The same for Student's t with `df` degrees of freedom, to about six digits for p up to 0.9999.

    The density, with the substitution t = tan(u) sqrt(df), is proportional to cos(u)^(df - 1) on a
    finite interval, so its integral is a plain sum.
    """
    if df <= 0:
        raise ValueError(f"Student's t needs positive degrees of freedom, got {df}")
    if math.isinf(df) or df > _LARGE_DF:
        return normal_quantile(probability)
    if df <= 1:
        return math.tan(math.pi * (probability - 0.5))
    edges = np.linspace(-math.pi / 2, math.pi / 2, 20001)
    density = np.maximum(np.cos(edges), 0.0) ** (df - 1)
    steps = (density[1:] + density[:-1]) / 2
    cumulative = np.concatenate([[0.0], np.cumsum(steps)])
    angle = float(np.interp(probability, cumulative / cumulative[-1], edges))
    return math.tan(angle) * math.sqrt(df)
