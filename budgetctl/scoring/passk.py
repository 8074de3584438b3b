"""Pass@k: the chance that at least one of k answers to a prompt is right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from budgetctl.scoring.bootstrap import DEFAULT_RESAMPLES, percentile_interval, smoothed_means
from budgetctl.scoring.intervals import Interval


@dataclass(frozen=True)
class PassAtK:
    """Pass@k over prompts.

    Attributes:
        k: How many answers a prompt may try.
        value: Mean over prompts.
        interval: Smoothed bootstrap over prompts (`bootstrap.smoothed_means`), which has a width also where all prompts
            have the same value.
        prompts: How many prompts.
    """

    k: int
    value: float
    interval: Interval
    prompts: int


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of pass@k from `samples` answers of which `correct` are right.

    1 − C(n−c, k) / C(n, k) (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1),
    as the product over i = n−c+1 … n of (1 − k/i), which does not overflow.

    Raises:
        ValueError: `k` is not within 1 … `samples` (k answers cannot be drawn from fewer), or `correct` is not
            within 0 … `samples`.
    """
    if not 1 <= k <= samples:
        raise ValueError(
            f"pass@{k} needs at least {max(k, 1)} answers a prompt and k of at least 1, got {samples}"
        )
    if not 0 <= correct <= samples:
        raise ValueError(f"{correct} right answers of {samples} are impossible")
    if samples - correct < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(samples - correct + 1, samples + 1)))


def pass_at_each_k(
    right: Sequence[ArrayLike] | NDArray[np.float64],
    ks: Sequence[int],
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> list[PassAtK]:
    """Pass@k for several k, each with the percentile interval of a bootstrap over prompts.

    Args:
        right: For each prompt one flag (0 or 1) per answer; prompts may have different numbers of answers.
        ks: Which k.
        level: Confidence level.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap; prompts have the same weights for every k.

    Raises:
        ValueError: no prompts, flags other than 0 and 1, or a k beyond the answers of some prompt.
    """
    flags = [np.asarray(row, dtype=np.float64) for row in right]
    if not flags:
        raise ValueError("pass@k needs at least one prompt")
    if not all(np.isin(row, (0.0, 1.0)).all() for row in flags):
        raise ValueError(
            "pass@k needs a flag of 0 or 1 per answer; turn other scores into right or wrong first"
        )
    values = np.array([[pass_at_k(row.size, int(row.sum()), k) for k in ks] for row in flags])
    replicates = smoothed_means(values, 0.0, 1.0, resamples, seed)
    return [
        PassAtK(
            k, float(values[:, place].mean()), percentile_interval(replicates[:, place], level), len(flags)
        )
        for place, k in enumerate(ks)
    ]
