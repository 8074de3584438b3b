"""The `fork` stage: one state of a trunk, by the trigger that asked for it, as a checkpoint of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from budgetctl.errors import UsageError
from budgetctl.forking.triggers import Trigger
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext


class Anneal(Frozen):
    """Let the learning rate fall to zero over some more rows, as an SFT run of the fork's size would have."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Of the examples the trunk had processed at the fork: how many more are trained on, in whole steps."""


class ForkIdentity(Frozen):
    """Which state, and whether it is annealed."""

    trigger: Trigger
    anneal: Anneal | None = None


@dataclass(frozen=True)
class ForkStage:
    """A checkpoint to start preference finetuning from; ends well, without one, if the trigger never fired."""

    name: ClassVar[str] = "fork"
    revision: ClassVar[int] = 1

    identity: ForkIdentity
    trunk: str
    base: str | None = None
    """The trunk's own base; needed with `anneal`, as is `data`."""
    data: str | None = None
    """The trunk's own rows."""

    def __post_init__(self) -> None:
        annealed = self.identity.anneal is not None
        if (self.base is not None) != annealed or (self.data is not None) != annealed:
            raise UsageError(
                "an annealed fork needs its trunk's base and rows; any other needs its trunk alone"
            )

    @property
    def parents(self) -> Mapping[str, str]:
        parents = {"trunk": self.trunk}
        if self.base is not None and self.data is not None:
            parents |= {"base": self.base, "data": self.data}
        return parents

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        raise NotImplementedError
