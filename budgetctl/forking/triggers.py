"""Triggers: the states of a training run from which another one shall start, and how the run is watched.

Example counts are rows processed: steps × batch size, a row of a second epoch counted again. A count that is no
multiple of the batch size means the first whole step at or after it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from budgetctl.schema import Frozen

PERPLEXITY = "perplexity"
Metric = Annotated[str, StringConstraints(pattern=r"^(perplexity|pass@[1-9][0-9]*)$")]


def pass_metric(k: int) -> str:
    """Name of the pass@k metric."""
    return f"pass@{k}"


def metric_k(metric: str) -> int | None:
    """The k of a pass@k metric; None for perplexity."""
    return int(metric.removeprefix("pass@")) if metric.startswith("pass@") else None


def plain_number(value: float) -> str:
    """The shortest text that reads back as the same number, whole numbers without a point."""
    return repr(float(value)).removesuffix(".0")


class PerplexityTrigger(Frozen):
    """Fires when the perplexity of the dev rows' answers is surely at or below a threshold."""

    kind: Literal["perplexity"] = "perplexity"
    at_most: float = Field(gt=1)
    """The threshold; perplexity never goes below 1."""

    @property
    def name(self) -> str:
        """Readable and unique."""
        return f"perplexity<={plain_number(self.at_most)}"

    @property
    def needs(self) -> str | None:
        """The metric it is decided on."""
        return PERPLEXITY


class PassTrigger(Frozen):
    """Fires when pass@k on the dev prompts is surely at or above a threshold."""

    kind: Literal["pass"] = "pass"
    k: int = Field(default=1, ge=1)
    """How many answers a prompt may try."""
    at_least: float = Field(gt=0, lt=1)
    """The threshold, strictly between 0 and 1; a metric that shall only be logged belongs into `monitors`."""

    @property
    def name(self) -> str:
        """Readable and unique."""
        return f"{pass_metric(self.k)}>={plain_number(self.at_least)}"

    @property
    def needs(self) -> str | None:
        """The metric it is decided on."""
        return pass_metric(self.k)


class PlateauTrigger(Frozen):
    """Fires when a metric has made no visible gain for some evaluations."""

    kind: Literal["plateau"] = "plateau"
    metric: Metric = PERPLEXITY
    """`perplexity`, `pass@1`, `pass@4`, …"""
    patience: int = Field(default=3, ge=1)
    """How many evaluations in a row may pass without a gain; the first one it can fire at is number patience + 1."""
    min_gain: float = Field(default=0.0, ge=0)
    """A smaller gain counts as none, even where it is beyond the noise. Of pass@k the rise, 0.01 for one point in a
    hundred; of perplexity the fall of its logarithm, 0.01 for about one per cent."""

    @property
    def name(self) -> str:
        """Readable and unique."""
        return f"plateau({self.metric},patience={self.patience},gain={plain_number(self.min_gain)})"

    @property
    def needs(self) -> str | None:
        """The metric it is decided on."""
        return self.metric


class ExamplesTrigger(Frozen):
    """Fires after a number of examples, whatever the metrics say."""

    kind: Literal["examples"] = "examples"
    at: int = Field(ge=1)
    """Rows processed; rounded up to whole steps."""

    @property
    def name(self) -> str:
        """Readable and unique."""
        return f"examples={self.at}"

    @property
    def needs(self) -> str | None:
        """No metric."""
        return None


Threshold = PerplexityTrigger | PassTrigger
Trigger = Annotated[
    PerplexityTrigger | PassTrigger | PlateauTrigger | ExamplesTrigger, Field(discriminator="kind")
]


class WatchSettings(Frozen):
    """How a training run is watched, and at which of its states it may be forked."""

    triggers: tuple[Trigger, ...] = ()
    """The states to keep, each at most once."""
    every: int = Field(ge=1)
    """Examples between two evaluations; one more is made before the first step and one after the last."""
    level: float = Field(default=0.9, ge=0.5, lt=1)
    """One-sided confidence of a run: the chance that noise fires any threshold of it is at most 1 − level."""
    samples: int = Field(default=4, ge=1)
    """Answers per dev prompt for pass@k, at least the largest k."""
    temperature: float = Field(default=0.7, ge=0)
    """Of those answers; above 0 where a prompt gets several."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """How long an answer may get; None takes the task's own limit."""
    strict: bool = True
    """Whether pass@k counts by the task's strict reading."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What generates the answers."""
    keep_state: bool = False
    """Keep optimizer, schedule and random states at the forks, so that they can be annealed."""
    monitors: tuple[Metric, ...] = ()
    """Metrics that are measured and logged but fire nothing."""

    @model_validator(mode="after")
    def _consistent(self) -> WatchSettings:
        names = [trigger.name for trigger in self.triggers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the trigger {twice} is listed twice")
        largest = max(self.ks, default=0)
        if largest > self.samples:
            raise ValueError(
                f"pass@{largest} needs at least {largest} answers a prompt, but samples is {self.samples}"
            )
        if self.ks and self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples is {self.samples} at temperature 0, which gives the same answer every time; "
                "set samples to 1 or the temperature above 0"
            )
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """What each evaluation has to measure: the triggers' metrics first, each once."""
        needed = [trigger.needs for trigger in self.triggers if trigger.needs is not None]
        return tuple(dict.fromkeys([*needed, *self.monitors]))

    @property
    def ks(self) -> tuple[int, ...]:
        """The k of every pass@k that is measured; empty when nothing has to be generated."""
        return tuple(k for k in map(metric_k, self.metrics) if k is not None)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The triggers that compare a metric with a fixed value."""
        return tuple(t for t in self.triggers if isinstance(t, PerplexityTrigger | PassTrigger))
