"""What a score can look like as a function of SFT rows and preference pairs.

    score = base + Σ a_i H(n_sft, k_i) + Σ b_ij H(n_pft, k_j) g(n_sft, w_i) + Σ c_ij H(n_pft, k_j) (1 - g(n_sft, w_i))

with g(n, k) = n / (n + k), and H = g for pairs but n² / (n² + k²) for SFT rows, whose gain sets in with a
threshold (a few optimiser steps do nothing). All of a, b, c are ≥ 0. So

- every gain saturates, and no cell is worse than the untrained base model;
- what pairs add depends on the SFT rows before them: the terms in b are silent without SFT (the cold
  start), those in c say that pairs can stand in for SFT rows, and help less once those are there.

The scales are fixed on logarithmic grids, so the surface is linear in its coefficients, and the data
decide how much of a gain arrives early or late.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from budgetctl.analysis.cells import FloatArray

SFT_SCALES = (50.0, 150.0, 450.0, 1_300.0, 4_000.0, 12_000.0)
PFT_SCALES = (300.0, 1_000.0, 3_500.0, 12_000.0)
WARM_SCALES = (60.0, 200.0, 700.0)
COLD_SCALES = (60.0, 200.0, 700.0, 3_000.0, 12_000.0)
GAINS = len(SFT_SCALES) + len(PFT_SCALES) * (len(WARM_SCALES) + len(COLD_SCALES))
TERMS = 1 + GAINS


def saturation(rows: npt.ArrayLike, scale: float) -> FloatArray:
    """g(n, k): 0 without data, one half at n = k, towards 1."""
    count = np.asarray(rows, dtype=np.float64)
    return count / (count + scale)


def threshold(rows: npt.ArrayLike, scale: float) -> FloatArray:
    """The same with a slow start: n² / (n² + k²)."""
    square = np.asarray(rows, dtype=np.float64) ** 2
    return square / (square + scale**2)


def features(n_sft: npt.ArrayLike, n_pft: npt.ArrayLike) -> FloatArray:
    """The surface's terms at given numbers of rows.

    Args:
        n_sft: shape (n,), supervised examples.
        n_pft: shape (n,), preference pairs.

    Returns:
        Shape (n, TERMS): the constant, then the terms of a, b and c.
    """
    sft = [threshold(n_sft, scale) for scale in SFT_SCALES]
    pft = [saturation(n_pft, scale) for scale in PFT_SCALES]
    warm = [saturation(n_sft, scale) for scale in WARM_SCALES]
    cold = [1.0 - saturation(n_sft, scale) for scale in COLD_SCALES]
    products = [first * second for first in (*warm, *cold) for second in pft]
    return np.stack([np.ones_like(sft[0]), *sft, *products], axis=-1)


def places(n_sft: npt.ArrayLike, n_pft: npt.ArrayLike) -> FloatArray:
    """Coordinates in which surfaces are about equally smooth everywhere, shape (n, 2)."""
    columns = [np.log1p(np.asarray(rows, dtype=np.float64) / 100.0) for rows in (n_sft, n_pft)]
    return np.stack(columns, axis=-1)


def expected_gains(sft: float, warm: float, cold: float) -> tuple[float, ...]:
    """Spreads a gain that each family may reach in all evenly over its terms, shape (GAINS,)."""
    pairs = len(PFT_SCALES)
    return (
        *[sft / len(SFT_SCALES)] * len(SFT_SCALES),
        *[warm / (pairs * len(WARM_SCALES))] * (pairs * len(WARM_SCALES)),
        *[cold / (pairs * len(COLD_SCALES))] * (pairs * len(COLD_SCALES)),
    )
