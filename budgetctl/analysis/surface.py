"""What a score can look like as a function of SFT rows and preference pairs.

    score = base + Σ a_i h(n_sft, k_i) + Σ b_j h(n_pft, k_j) + Σ c_ij h(n_sft, w_i) h(n_pft, k_j)

with h(n, k) = n / (n + k) and all a, b, c ≥ 0. Each term saturates, no data hurts, and what pairs add
depends on the SFT rows before them: the terms in c are silent without SFT, which is the cold start. The
scales k are fixed on a logarithmic grid, so the surface is linear in its coefficients and a fit has one
optimum; the data decide how much of the gain arrives early or late.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from budgetctl.analysis.cells import FloatArray

SFT_SCALES = (50.0, 300.0, 2_000.0, 12_000.0)
PFT_SCALES = (300.0, 2_000.0, 12_000.0)
WARMUP_SCALES = (50.0, 300.0, 2_000.0)
TERMS = 1 + len(SFT_SCALES) + len(PFT_SCALES) + len(WARMUP_SCALES) * len(PFT_SCALES)


def saturation(rows: npt.ArrayLike, scale: float) -> FloatArray:
    """h(n, k): 0 without data, one half at n = k, towards 1."""
    count = np.asarray(rows, dtype=np.float64)
    return count / (count + scale)


def features(n_sft: npt.ArrayLike, n_pft: npt.ArrayLike) -> FloatArray:
    """The surface's terms at given numbers of rows.

    Args:
        n_sft: shape (n,), supervised examples.
        n_pft: shape (n,), preference pairs.

    Returns:
        Shape (n, TERMS): the constant, the SFT terms, the PFT terms, the products.
    """
    sft = [saturation(n_sft, scale) for scale in SFT_SCALES]
    pft = [saturation(n_pft, scale) for scale in PFT_SCALES]
    warm = [saturation(n_sft, scale) for scale in WARMUP_SCALES]
    products = [first * second for first in warm for second in pft]
    return np.stack([np.ones_like(sft[0]), *sft, *pft, *products], axis=-1)


def places(n_sft: npt.ArrayLike, n_pft: npt.ArrayLike) -> FloatArray:
    """Coordinates in which surfaces are about equally smooth everywhere, shape (n, 2)."""
    columns = [np.log1p(np.asarray(rows, dtype=np.float64) / 100.0) for rows in (n_sft, n_pft)]
    return np.stack(columns, axis=-1)
