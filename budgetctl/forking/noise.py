"""Is a metric beyond a threshold, or better than before, by more than chance?

Every function answers for a stated one-sided error: how often chance alone may make it say yes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Losses = Sequence[tuple[float, float]]
"""Per dev row the loss of its answer, summed over tokens in nats, and how many tokens those were."""


def surely_at_most(losses: Losses, perplexity: float, error: float) -> bool:
    """Whether the rows' perplexity is at most a threshold beyond the noise.

    The mean loss per token is a ratio of sums with the standard error of `budgetctl.scoring.perplexity`. Losses are
    skewed to the right, which makes Student's t too sure on just this side. So the statistic is corrected for the
    skewness g of the rows' residuals by Hall's transformation, T + gT²/(3√n) + g²T³/(27n) + g/(6√n) (P. Hall, "On the
    removal of skewness by transformation", J. R. Statist. Soc. B 54, 1992), which never falls as T rises, and only
    where it asks for more evidence than T itself.

    Args:
        losses: At least two rows.
        perplexity: The threshold.
        error: One-sided error.
    """
    import numpy as np  # noqa: PLC0415

    loss, tokens = _columns(losses)
    mean, residuals, se = _ratio(loss, tokens)
    distance = mean - math.log(perplexity)
    if se == 0.0:
        return distance <= 0.0
    statistic = distance / se
    centred = residuals - residuals.mean()
    skewness = float(np.mean(centred**3)) / float(np.mean(centred**2)) ** 1.5
    g = skewness / math.sqrt(len(loss))
    corrected = statistic + g * statistic**2 / 3 + g**2 * statistic**3 / 27 + g / 6
    return bool(max(statistic, corrected) <= -student_bound(error, len(loss) - 1))


def surely_at_least(values: Sequence[float], share: float, error: float, attempts: int = 1) -> bool:
    """Whether the mean of values in [0, 1] is at least a share beyond the noise.

    The exact binomial tail P(X ≥ x) at the threshold, the test behind Clopper and Pearson's interval (Biometrika 26,
    1934), with a width at none and at all right. Several answers a prompt say more than one; the number of trials is
    then p(1 − p) over the variance of the mean between prompts, scaled by (z/t)² because that variance is itself
    estimated (Korn and Graubard, Survey Methodology 24, 1998), within `n` and `n · attempts`.

    Args:
        values: One per prompt: right or wrong, or the pass@k estimate from several answers; at least two.
        share: The threshold.
        error: One-sided error.
        attempts: How many independent tries stand behind one value: samples // k.
    """
    import numpy as np  # noqa: PLC0415

    row = np.asarray(values, dtype=np.float64)
    mean = float(row.mean())
    if mean <= share:
        return False
    trials = float(row.size)
    variance = float(row.var(ddof=1)) / row.size
    if attempts > 1 and variance > 0.0:
        scale = normal_bound(error) / student_bound(error, row.size - 1)
        trials = min(max(trials, mean * (1.0 - mean) / variance * scale**2), trials * attempts)
    from budgetctl.scoring.distributions import regularised_incomplete_beta  # noqa: PLC0415

    successes = mean * trials
    return regularised_incomplete_beta(successes, trials - successes + 1.0, share) <= error


def perplexity_gain(before: Losses, now: Losses, error: float) -> tuple[float, bool]:
    """How far the logarithm of perplexity fell, and whether it fell beyond the noise.

    Raises:
        ValueError: The two were not measured on the same rows.
    """
    _same_prompts(before, now)
    old, tokens = _columns(before)
    new, _ = _columns(now)
    gain, _, se = _ratio(old - new, tokens)
    return gain, _beyond(gain, se, len(old), error)


def share_gain(before: Sequence[float], now: Sequence[float], error: float) -> tuple[float, bool]:
    """How far a mean rose, and whether it rose beyond the noise, prompt by prompt.

    Raises:
        ValueError: The two were not measured on the same prompts.
    """
    import numpy as np  # noqa: PLC0415

    _same_prompts(before, now)
    rises = np.asarray(now, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    gain = float(rises.mean())
    return gain, _beyond(gain, float(rises.std(ddof=1)) / math.sqrt(rises.size), rises.size, error)


@lru_cache(maxsize=256)
def student_bound(error: float, degrees: int) -> float:
    """The one-sided quantile of Student's t that is passed with probability `error`."""
    from budgetctl.scoring.distributions import student_t_quantile  # noqa: PLC0415

    return 0.0 if error >= 0.5 else student_t_quantile(1.0 - 2.0 * error, degrees)


def normal_bound(error: float) -> float:
    """The one-sided quantile of the normal distribution that is passed with probability `error`."""
    return NormalDist().inv_cdf(1.0 - error)


def _beyond(gain: float, se: float, n: int, error: float) -> bool:
    """Student's t on differences of pairs.

    Without a change the differences are symmetric about 0, and t then keeps its error (B. Efron, "Student's t-test
    under symmetry conditions", J. Am. Statist. Assoc. 64, 1969).
    """
    return gain > student_bound(error, n - 1) * se


def _columns(losses: Losses) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np  # noqa: PLC0415

    table: Any = np.array(losses, dtype=np.float64)
    return table[:, 0], table[:, 1]


def _ratio(
    loss: NDArray[np.float64], tokens: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], float]:
    """Sum of losses over sum of tokens, the rows' residuals, and its standard error."""
    total = float(tokens.sum())
    mean = float(loss.sum()) / total
    residuals = loss - mean * tokens
    n = len(loss)
    return mean, residuals, math.sqrt(n / (n - 1) * float(residuals @ residuals)) / total


def _same_prompts(before: Sequence[object], now: Sequence[object]) -> None:
    if len(before) != len(now):
        raise ValueError(
            f"a gain needs the same dev prompts at both evaluations; got {len(before)} and {len(now)}"
        )
