"""Two checkpoints on the same prompts: is the difference more than noise?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from budgetctl.scoring.bootstrap import (
    DEFAULT_RESAMPLES,
    percentile_interval,
    resampled_ratios,
    smoothed_means,
)
from budgetctl.scoring.intervals import Interval
from budgetctl.scoring.perplexity import RowLoss


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test.

    Attributes:
        only_first: Prompts that only the first checkpoint has right.
        only_second: Prompts that only the second has right.
        p_value: Two-sided.
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference, second minus first, over prompts.

    Attributes:
        first: Mean score of the first checkpoint.
        second: Mean score of the second.
        difference: `second` − `first`.
        interval: Smoothed bootstrap over prompts.
        prompts: How many prompts.
    """

    first: float
    second: float
    difference: float
    interval: Interval
    prompts: int

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out zero."""
        return 0.0 not in self.interval


def mcnemar_exact(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Exact two-sided McNemar test on flags of 0 and 1.

    Under the null hypothesis each of the n prompts where the two disagree favours either with probability ½, so
    the p-value is that of a fair coin: min(1, 2·P(X ≤ min(b, c))), X ~ Binomial(n, ½) (McNemar 1947,
    Psychometrika 12; the exact form is Edwards 1948). With no disagreement it is 1.

    Raises:
        ValueError: the two are not of the same length, are empty, or hold something other than 0 and 1.
    """
    left, right = _pair(first, second)
    if not (np.isin(left, (0.0, 1.0)).all() and np.isin(right, (0.0, 1.0)).all()):
        raise ValueError("McNemar's test needs flags of 0 and 1; use paired_bootstrap for other scores")
    only_first = int(((left == 1.0) & (right == 0.0)).sum())
    only_second = int(((left == 0.0) & (right == 1.0)).sum())
    disagreeing = only_first + only_second
    lower = min(only_first, only_second)
    tail = ways = 1
    for wins in range(lower):
        ways = ways * (disagreeing - wins) // (wins + 1)
        tail += ways
    # Whole numbers throughout: 2^n overflows a float beyond n = 1023.
    p_value = 1.0 if 2 * tail >= 1 << disagreeing else 2 * tail / (1 << disagreeing)
    return McNemar(only_first, only_second, p_value)


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Percentile interval of the mean difference, each prompt taken with both its scores.

    A bootstrap over prompts, smoothed (`bootstrap.smoothed_means`) so that it has a width also where the two differ by
    the same on every prompt, or on none. With several answers a prompt, give each prompt's mean.

    Args:
        first: One score per prompt, within 0 … 1.
        second: One score per prompt, the prompts in the same order.
        level: Confidence level.
        resamples: How many resamples.
        seed: Seed of the resampling.

    Raises:
        ValueError: the two are not of the same length, are empty or hold scores that are not finite.
    """
    left, right = _pair(first, second)
    differences = right - left
    replicates = smoothed_means(differences, -1.0, 1.0, resamples, seed)
    return PairedDifference(
        first=float(left.mean()),
        second=float(right.mean()),
        difference=float(differences.mean()),
        interval=percentile_interval(replicates, level),
        prompts=differences.size,
    )


@dataclass(frozen=True)
class PerplexityRatio:
    """Perplexity of the first over that of the second, on the same rows.

    Attributes:
        first: Token-weighted perplexity of the first on the shared rows.
        second: Of the second.
        ratio: `first` / `second`; below 1 the first finds the answers likelier.
        interval: Percentile bootstrap over rows, of the ratio.
        rows: How many rows both have.
    """

    first: float
    second: float
    ratio: float
    interval: Interval
    rows: int

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out one."""
        return 1.0 not in self.interval

    def as_json(self) -> dict[str, float | int | bool]:
        """As flat data."""
        return {
            "left": self.first, "right": self.second, "ratio": self.ratio, "low": self.interval.low,
            "high": self.interval.high, "rows": self.rows, "real": self.distinguishable,
        }  # fmt: skip

    def as_text(self) -> str:
        """For a terminal."""
        better = "first" if self.ratio < 1 else "second"
        verdict = f"the {better} is better" if self.distinguishable else "the two cannot be told apart"
        return (
            f"first   perplexity {self.first:.4g}\nsecond  perplexity {self.second:.4g}\n"
            f"ratio {self.ratio:.4g} (95 %: {self.interval.low:.4g} to {self.interval.high:.4g}, bootstrap over "
            f"{self.rows} shared rows)\n{verdict}\n"
        )


def perplexity_ratio(
    first: Sequence[RowLoss],
    second: Sequence[RowLoss],
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> PerplexityRatio:
    """Compare two token-weighted perplexities, drawing rows with both their losses.

    The ratio is exp(Σy1/Σt1 − Σy2/Σt2), each resample taking both sums over the same drawn rows.

    Args:
        first: One loss per row.
        second: The same rows in the same order; token counts may differ where each side scores its own answers.
        level: Confidence level.
        resamples: How many resamples.
        seed: Seed of the resampling.

    Raises:
        ValueError: the two are not of the same length, or hold no rows or no tokens.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"the same rows from both are needed; got {len(first)} and {len(second)}")
    sums = [
        np.array([[loss.nll, loss.tokens] for loss in side], dtype=np.float64) for side in (first, second)
    ]
    means = [float(side[:, 0].sum() / side[:, 1].sum()) for side in sums]
    drawn = [resampled_ratios(side[:, 0], side[:, 1], resamples, seed) for side in sums]
    difference = percentile_interval(drawn[0] - drawn[1], level)
    interval = Interval(float(np.exp(difference.low)), float(np.exp(difference.high)))
    return PerplexityRatio(
        float(np.exp(means[0])),
        float(np.exp(means[1])),
        float(np.exp(means[0] - means[1])),
        interval,
        len(first),
    )


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape or left.size == 0:
        raise ValueError(
            "a paired comparison needs one score per prompt from both, on the same prompts; "
            f"got shapes {left.shape} and {right.shape}"
        )
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("a score is not finite (NaN or infinite); drop or repair that prompt first")
    return left, right
