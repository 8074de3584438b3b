"""The share of right verdicts where several belong to one prompt, with an interval that knows it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from budgetctl.scoring.distributions import normal_quantile
from budgetctl.scoring.intervals import Interval, wilson_interval


@dataclass(frozen=True)
class ClusteredShare:
    """A share of verdicts.

    Attributes:
        value: Sum of the verdicts over their number.
        interval: See `clustered_share`.
        n: How many verdicts.
        prompts: How many prompts they belong to.
    """

    value: float
    interval: Interval
    n: int
    prompts: int


def clustered_share(sums: ArrayLike, counts: ArrayLike, level: float = 0.95) -> ClusteredShare:
    """Share of right verdicts over all prompts, with Wilson's interval on the effective number of verdicts.

    With s_i the sum of prompt i's verdicts and m_i their number, the share is the ratio p = Σs / Σm, whose variance is
    that of a ratio of sums over prompts (Cochran, "Sampling Techniques", 3rd ed. 1977, section 6.4),

        V = Σ (s_i − p·m_i)² / (Σm)².

    Few prompts can be alike by chance, and one prompt always is, so V alone would promise too much. It is mixed with
    the largest variance that p allows, that of prompts whose verdicts all agree (Kish, "Survey Sampling", 1965,
    section 8.2), which weighs as much as one of the n prompts:

        V' = ((n − 1)·V + p(1 − p)·Σm² / (Σm)²) / n.

    p(1 − p) / V' is the effective number of verdicts, never more than there are, in the place of Wilson's n (Dean and
    Pagano 2015, J. Survey Statistics and Methodology 3). With one verdict of 0 or 1 a prompt it is n, and the interval
    Wilson's own; with one prompt it is 1; it has a width whatever the verdicts are.

    Args:
        sums: Per prompt, the sum of its verdicts, each within 0 … 1.
        counts: Per prompt, how many verdicts.
        level: Confidence level.

    Raises:
        ValueError: there are no prompts, one has no verdicts, or a sum outside 0 … its count.
    """
    totals, sizes = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if totals.ndim != 1 or totals.shape != sizes.shape or totals.size == 0:
        raise ValueError(
            f"a share needs one sum and one count a prompt, got {totals.shape} and {sizes.shape}"
        )
    if (sizes < 1).any() or not ((totals >= 0) & (totals <= sizes)).all():
        raise ValueError(
            "every prompt needs a verdict, and the sum of its verdicts lies between 0 and their number"
        )
    prompts, n = totals.size, float(sizes.sum())
    value = float(totals.sum()) / n
    spread, alike = value * (1.0 - value), float(np.square(sizes).sum()) / n**2
    effective = 1.0 / alike
    if spread > 0.0:
        seen = float(np.square(totals - value * sizes).sum()) / n**2
        effective = min(n, spread * prompts / ((prompts - 1) * seen + spread * alike))
    interval = wilson_interval(value, effective, normal_quantile(level))
    return ClusteredShare(value, interval, int(n), prompts)
