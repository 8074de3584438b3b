"""Perplexity of a model on given answers, and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from budgetctl.scoring.distributions import check_level, student_t_quantile


class RowLoss(NamedTuple):
    """What one answer cost the model.

    Attributes:
        nll: Sum over the counted tokens of −ln p(token | what stands before it), in nats.
        tokens: How many tokens were counted.
    """

    nll: float
    tokens: int


@dataclass(frozen=True)
class PerplexityEstimate:
    """Perplexity over rows, both ways of averaging.

    Attributes:
        token_weighted: exp(sum of nll / sum of tokens); every token counts the same.
        per_sample: Arithmetic mean over rows of exp(nll / tokens); every row counts the same, so one short row that
            the model finds strange can carry it.
        log_mean: ln(token_weighted), nats per token.
        log_se: Standard error of `log_mean` over rows.
        low: Lower end of the interval of `token_weighted`.
        high: Upper end.
        rows: How many rows.
        tokens: How many tokens.
    """

    token_weighted: float
    per_sample: float
    log_mean: float
    log_se: float
    low: float
    high: float
    rows: int
    tokens: int


def perplexity(losses: Sequence[RowLoss], level: float = 0.95) -> PerplexityEstimate:
    """Perplexity of rows, with an interval that knows that a row's tokens rise and fall together.

    With y_i the loss of row i and t_i its tokens, the mean loss per token is the ratio r = Σy / Σt, and its variance
    over n rows is that of a ratio estimator,

        n / (n − 1) · Σ (y_i − r·t_i)² / (Σt)²

    (Cochran, "Sampling Techniques", 3rd ed. 1977, section 6.4, without the finite population's correction). The
    interval is exp(r ± t·se) with Student's t of n − 1 degrees of freedom: taken on the log scale it is symmetric
    there and never below zero. Perplexity as exp of the mean cross-entropy: Jelinek et al. 1977, J. Acoustical
    Society of America 62.

    Args:
        losses: One entry per row.
        level: Confidence level of the interval, two-sided.

    Raises:
        ValueError: fewer than two rows (one gives no spread), a row without tokens, or a loss that is not finite.
    """
    check_level(level)
    if len(losses) < 2:
        raise ValueError(f"perplexity and its interval need at least two rows, got {len(losses)}")
    nll = np.array([loss.nll for loss in losses], dtype=np.float64)
    tokens = np.array([loss.tokens for loss in losses], dtype=np.float64)
    if (tokens < 1).any():
        raise ValueError(f"row {int(tokens.argmin())} has no token to count; drop it first")
    if not np.isfinite(nll).all():
        raise ValueError(f"the loss of row {int(np.isfinite(nll).argmin())} is not finite")
    rows, total = len(losses), float(tokens.sum())
    mean = float(nll.sum()) / total
    spread = rows / (rows - 1) * float(np.square(nll - mean * tokens).sum())
    error = math.sqrt(spread) / total
    reach = student_t_quantile(level, rows - 1) * error
    with np.errstate(over="ignore"):
        low, middle, high = (float(value) for value in np.exp([mean - reach, mean, mean + reach]))
        each = float(np.exp(nll / tokens).mean())
    return PerplexityEstimate(middle, each, mean, error, low, high, rows, int(total))
