"""Measurements from what the dev rows gave: losses of gold answers, verdicts on generated ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from budgetctl.forking.decide import Measurement
from budgetctl.forking.noise import Losses
from budgetctl.forking.triggers import PERPLEXITY, pass_metric

LEVEL = 0.95
"""Of the recorded intervals."""


def perplexity_measurement(losses: Losses) -> Measurement:
    """Perplexity over all tokens of the dev rows' answers.

    Args:
        losses: Per row the loss of its answer in nats, summed over tokens, and the tokens; the same rows in the same
            order at every evaluation.

    Raises:
        ValueError: Fewer than two rows, a row without tokens, or a loss that is not finite.
    """
    from budgetctl.scoring.perplexity import RowLoss, perplexity  # noqa: PLC0415

    rows = [RowLoss(float(loss), int(tokens)) for loss, tokens in losses]
    found = perplexity(rows, LEVEL)
    return Measurement(
        metric=PERPLEXITY,
        value=found.token_weighted,
        low=found.low,
        high=found.high,
        se=found.log_se,
        n=found.rows,
        k=None,
        samples=None,
        strict=None,
        items=tuple((row.nll, float(row.tokens)) for row in rows),
    )


def pass_measurement(right: Sequence[Sequence[float]], k: int, strict: bool) -> Measurement:
    """Pass@k over the dev prompts.

    The interval is Wilson's on the effective number of trials (as in `budgetctl.scoring.intervals.pooled_mean`), so
    none or all right has a width.

    Args:
        right: Per prompt one flag of 0 or 1 for each of its answers; the same prompts in the same order at every
            evaluation, the same number of answers for each.
        k: How many answers a prompt may try.
        strict: Which reading the flags follow.

    Raises:
        ValueError: Fewer than two prompts, flags other than 0 and 1, or fewer than `k` answers to a prompt.
    """
    from budgetctl.scoring.intervals import wilson  # noqa: PLC0415
    from budgetctl.scoring.passk import pass_at_k  # noqa: PLC0415

    samples = min((len(flags) for flags in right), default=0)
    if len(right) < 2 or any(len(flags) != samples for flags in right):
        raise ValueError("pass@k needs at least two prompts, each with the same number of answers")
    if any(flag not in (0, 1) for flags in right for flag in flags):
        raise ValueError("pass@k needs a flag of 0 or 1 for each answer")
    items = tuple(pass_at_k(samples, int(sum(flags)), k) for flags in right)
    n = len(items)
    value = math.fsum(items) / n
    variance = math.fsum((item - value) ** 2 for item in items) / (n - 1) / n
    trials = n
    if variance > 0.0:
        trials = round(min(max(n, value * (1.0 - value) / variance), n * (samples // k)))
    interval = wilson(min(value * trials, trials), trials, LEVEL)
    return Measurement(
        metric=pass_metric(k),
        value=value,
        low=interval.low,
        high=interval.high,
        se=math.sqrt(variance),
        n=n,
        k=k,
        samples=samples,
        strict=strict,
        items=items,
    )
