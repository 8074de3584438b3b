"""Made-up metric curves with the noise of real dev rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from budgetctl.forking.decide import Decider, Fired, Measurement, Point
from budgetctl.forking.triggers import WatchSettings

BATCH = 8


def point(number: int) -> Point:
    """The place of evaluation `number` of a run over 40 rows."""
    examples = BATCH * number
    return Point(number, examples, min(examples, 40), examples / 40, 1e-3 / (1 + number))


def perplexity(losses: Iterable[Sequence[float]]) -> Measurement:
    """A measurement of (loss, tokens) rows without its interval, which decides nothing and takes long."""
    rows = tuple((float(loss), float(tokens)) for loss, tokens in losses)
    value = float(np.exp(sum(loss for loss, _ in rows) / sum(tokens for _, tokens in rows)))
    return Measurement("perplexity", value, value, value, 0.1, len(rows), None, None, None, rows)


def passes(items: Iterable[float], k: int = 1, samples: int = 1) -> Measurement:
    """A measurement of pass@k, likewise."""
    values = tuple(float(item) for item in items)
    value = float(np.mean(values))
    return Measurement(f"pass@{k}", value, value, value, 0.1, len(values), k, samples, True, values)


def sure_perplexity(value: float, rows: int = 40) -> Measurement:
    """Nearly free of noise: rows differ by a thousandth."""
    return perplexity(((np.log(value) + 1e-3 * (-1) ** row) * 10, 10) for row in range(rows))


def right(share: float, rows: int = 1000) -> Measurement:
    """So many prompts answered right, the first ones."""
    return passes([1.0] * round(share * rows) + [0.0] * (rows - round(share * rows)))


def run(watch: WatchSettings, curve: Sequence[Sequence[Measurement]]) -> list[Fired]:
    """Everything that fires along a run."""
    decider = Decider(watch, len(curve))
    return [fired for number, seen in enumerate(curve) for fired in decider.see(point(number), seen)]
