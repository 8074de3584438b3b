"""The rule that fires triggers: a deterministic function of the evaluations it has seen.

A resumed run feeds its stored evaluations to a new `Decider` and is where it was. Nothing fires on a point estimate:
docs/decisions/0701-forks-decided-beyond-noise.md says which noise is meant, and what was not chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from budgetctl.forking.noise import Losses, perplexity_gain, share_gain, surely_at_least, surely_at_most
from budgetctl.forking.triggers import (
    PERPLEXITY,
    ExamplesTrigger,
    PassTrigger,
    PerplexityTrigger,
    PlateauTrigger,
    Threshold,
    Trigger,
    WatchSettings,
)


@dataclass(frozen=True)
class Point:
    """Where a run stands.

    Attributes:
        step: Optimizer steps done.
        examples: Rows processed, a row of a second epoch counted again.
        distinct: Different rows processed.
        epoch: Passes over the rows, with its fraction.
        learning_rate: Of the last step.
    """

    step: int
    examples: int
    distinct: int
    epoch: float
    learning_rate: float


@dataclass(frozen=True)
class Measurement:
    """One metric at one evaluation, on dev rows.

    Attributes:
        metric: `perplexity` or `pass@k`.
        value: The estimate.
        low: Lower end of its two-sided 95 % interval, for the record; triggers are decided on `items`.
        high: Upper end.
        se: Standard error; of perplexity, that of its logarithm.
        n: How many dev rows.
        k: Answers that a prompt may try; None for perplexity.
        samples: Answers generated for each prompt; None for perplexity.
        strict: Whether the strict reading counted; None for perplexity.
        items: Per dev row, in the same order at every evaluation: the pass@k estimate in [0, 1], or of perplexity
            the pair (loss of the answer in nats, its tokens).
    """

    metric: str
    value: float
    low: float
    high: float
    se: float
    n: int
    k: int | None
    samples: int | None
    strict: bool | None
    items: Sequence[float] | Losses


@dataclass(frozen=True)
class Fired:
    """A trigger that fired.

    Attributes:
        trigger: Which.
        same_as: Name of the trigger under which this state is saved; empty for that trigger itself.
        point: Where the run stood.
        measurement: What it was decided on; of a count of examples, what was measured there, if anything.
    """

    trigger: Trigger
    same_as: str
    point: Point
    measurement: Measurement | None


@dataclass(frozen=True)
class Outcome:
    """What became of a trigger.

    Attributes:
        trigger: Which.
        fired: How it fired; None when it did not.
        best: The best value seen of its metric; None for a count of examples, or when nothing was measured.
        best_at: Where that was.
    """

    trigger: Trigger
    fired: Fired | None
    best: Measurement | None
    best_at: Point | None


class Decider:
    """Fires each trigger of a watch at most once.

    The chance that noise fires any threshold during the run is at most 1 − level: it is split evenly over the planned
    evaluations and the metrics that have thresholds. Each plateau likewise takes noise for a gain at most so often.

    Args:
        watch: The triggers.
        evaluations: How many evaluations the whole run makes, the first and the last included.
    """

    def __init__(self, watch: WatchSettings, evaluations: int) -> None:
        self._watch = watch
        self._planned = evaluations
        self._seen = 0
        metrics = {trigger.needs for trigger in watch.thresholds}
        self._threshold_error = (1.0 - watch.level) / (evaluations * max(len(metrics), 1))
        self._plateaus = {
            trigger: _Plateau(trigger, (1.0 - watch.level) / evaluations)
            for trigger in watch.triggers
            if isinstance(trigger, PlateauTrigger)
        }
        self._fired: dict[Trigger, Fired] = {}
        self._best: dict[str, tuple[Measurement, Point]] = {}

    def see(self, point: Point, measurements: Sequence[Measurement]) -> list[Fired]:
        """Take in an evaluation, or a point without one, and say what fires there, in the watch's order.

        Raises:
            ValueError: There are more evaluations than were planned, or their dev prompts differ.
        """
        if measurements:
            self._seen += 1
        if self._seen > self._planned:
            raise ValueError(
                f"evaluation {self._seen} at step {point.step}: only {self._planned} were planned"
            )
        found = {measurement.metric: measurement for measurement in measurements}
        for measurement in measurements:
            best = self._best.get(measurement.metric)
            if best is None or _better(measurement, best[0]):
                self._best[measurement.metric] = measurement, point
        passed = [
            trigger
            for trigger in self._watch.triggers
            if trigger not in self._fired and self._passes(trigger, point, found)
        ]
        state = self._saved_at(point.step) or _canonical(passed)
        any_measurement = next(iter(measurements), None)
        fired = [
            Fired(
                trigger,
                "" if trigger.name == state else state,
                point,
                any_measurement if trigger.needs is None else found[trigger.needs],
            )
            for trigger in passed
        ]
        self._fired |= {one.trigger: one for one in fired}
        return fired

    def outcomes(self) -> list[Outcome]:
        """Every trigger of the watch, fired or not."""
        return [
            Outcome(trigger, self._fired.get(trigger), *self._best.get(trigger.needs or "", (None, None)))
            for trigger in self._watch.triggers
        ]

    def _passes(self, trigger: Trigger, point: Point, found: dict[str, Measurement]) -> bool:
        if isinstance(trigger, ExamplesTrigger):
            return point.examples >= trigger.at
        measurement = found.get(trigger.needs or "")
        if measurement is None:
            return False
        if isinstance(trigger, PlateauTrigger):
            return self._plateaus[trigger].see(measurement)
        return _beyond_threshold(trigger, measurement, self._threshold_error)

    def _saved_at(self, step: int) -> str:
        """The trigger under which the state of a step is already saved."""
        saved = (one for one in self._fired.values() if one.point.step == step and not one.same_as)
        return next((one.trigger.name for one in saved), "")


class _Plateau:
    """Follows one metric from gain to gain."""

    def __init__(self, trigger: PlateauTrigger, error: float) -> None:
        self._trigger = trigger
        self._error = error
        self._best: Measurement | None = None
        self._without = 0

    def see(self, now: Measurement) -> bool:
        """Whether the metric has stopped gaining."""
        if self._best is None:
            self._best = now
            return False
        if self._gained(self._best, now):
            self._best, self._without = now, 0
        else:
            self._without += 1
        return self._without >= self._trigger.patience

    def _gained(self, best: Measurement, now: Measurement) -> bool:
        if now.metric == PERPLEXITY:
            gain, beyond = perplexity_gain(_losses(best), _losses(now), self._error)
        else:
            gain, beyond = share_gain(_shares(best), _shares(now), self._error)
        return beyond and gain >= self._trigger.min_gain


def _beyond_threshold(trigger: Threshold, measurement: Measurement, error: float) -> bool:
    if isinstance(trigger, PerplexityTrigger):
        return surely_at_most(_losses(measurement), trigger.at_most, error)
    attempts = (measurement.samples or 1) // trigger.k
    return surely_at_least(_shares(measurement), trigger.at_least, error, attempts)


def _canonical(passed: Sequence[Trigger]) -> str:
    """Which of the triggers that fire together names the state: the hardest threshold, else the first."""
    thresholds = [trigger for trigger in passed if isinstance(trigger, PerplexityTrigger | PassTrigger)]
    if not thresholds:
        return passed[0].name if passed else ""
    return min((t for t in thresholds if t.needs == thresholds[0].needs), key=_ease).name


def _ease(trigger: Threshold) -> float:
    """The lower, the harder among thresholds of one metric."""
    return trigger.at_most if isinstance(trigger, PerplexityTrigger) else -trigger.at_least


def _better(now: Measurement, best: Measurement) -> bool:
    return now.value < best.value if now.metric == PERPLEXITY else now.value > best.value


def _losses(measurement: Measurement) -> Losses:
    return cast("Losses", measurement.items)


def _shares(measurement: Measurement) -> Sequence[float]:
    return cast("Sequence[float]", measurement.items)
