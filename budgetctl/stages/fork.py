"""The `fork` stage: one state of a trunk, by the trigger that asked for it, as a checkpoint of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from budgetctl.errors import UsageError
from budgetctl.forking.records import FORKS_FILE, ForkRecord, read_forks
from budgetctl.forking.triggers import Trigger
from budgetctl.schema import Frozen
from budgetctl.stages.sft import demonstrations_of
from budgetctl.stages.stage import Metric, StageContext, payload_of
from budgetctl.stages.trunk import TrunkIdentity

if TYPE_CHECKING:
    from store import Artifact

FORK_FILE = "fork.json"
ANNEALED_METRICS = (
    "annealed_examples", "distinct", "steps", "first_loss", "last_loss", "resumed_at_step", "train_s", "device",
)  # fmt: skip
"""What an annealed fork says beyond its record."""


class Anneal(Frozen):
    """Let the learning rate fall to zero over some more rows, as an SFT run of the fork's size would have."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Of the examples the trunk had processed at the fork: how many more are trained on, in whole steps. New rows
    among them count towards the fork's budget."""

    def examples_after(self, examples: int) -> int:
        """How many more are trained on, before they are rounded up to whole steps."""
        return math.ceil(round(self.share * examples, 6))


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
        """Publish the state, annealed if asked; or, for a trigger that never fired, what came nearest.

        Raises:
            UsageError: The trunk does not watch for the trigger, kept no optimizer states, or has another base or
                other rows.
            InterruptedRunError: It was asked to stop; the next attempt goes on.
        """
        import json  # noqa: PLC0415

        trunk = context.parents["trunk"]
        if FORKS_FILE not in trunk.files:
            raise UsageError(f"{trunk.key[:12]} is a {trunk.stage} artifact; a fork starts from a trunk")
        records = read_forks(trunk.path(FORKS_FILE))
        record = self._record(records)
        text = json.dumps(asdict(record), indent=1, allow_nan=False)
        (context.draft.files / FORK_FILE).write_text(text + "\n", encoding="utf-8")
        names = ("trigger", "fired", "same_as", "step", "examples", "distinct", "epoch", "learning_rate")
        found: dict[str, Metric] = {name: getattr(record, name) for name in names}
        found |= {
            name: getattr(record, name) for name in ("metric", "value", "low", "high", "n", "k", "strict")
        }
        found["annealed_examples"] = 0
        if record.folder is None:
            context.reporter.say(f"fork: {record.trigger} never fired; there is nothing to fork from")
            return found
        if self.identity.anneal is None or not record.learning_rate:
            for name in trunk.files:
                if name.startswith(f"{record.folder}/adapter_"):
                    context.draft.link(trunk.path(name), name.rsplit("/", 1)[-1])
            return found
        return {**found, **self._annealed(context, record, records, self.identity.anneal)}

    def _record(self, records: Sequence[ForkRecord]) -> ForkRecord:
        wanted = self.identity.trigger.name
        record = next((record for record in records if record.trigger == wanted), None)
        if record is None:
            watched = ", ".join(record.trigger for record in records) or "nothing"
            raise UsageError(f"trunk {self.trunk[:12]} watched for {watched}, not for {wanted}")
        return record

    def _annealed(
        self, context: StageContext, record: ForkRecord, records: Sequence[ForkRecord], anneal: Anneal
    ) -> Mapping[str, Metric]:
        from budgetctl.stages.training_job import run_training  # noqa: PLC0415
        from budgetctl.training.job import Annealing  # noqa: PLC0415
        from budgetctl.training.order import RowOrder  # noqa: PLC0415

        trunk = context.parents["trunk"]
        if any(trunk.parents[role] != key for role, key in self.parents.items() if role != "trunk"):
            raise UsageError(
                f"trunk {trunk.key[:12]} was trained over another base, or on other rows, than named here"
            )
        known = self._twin(context, {other.trigger for other in records if other.folder == record.folder})
        if known is not None:
            for name in known.files:
                if name != FORK_FILE:
                    context.draft.link(known.path(name), name)
            return {name: known.metrics[name] for name in ANNEALED_METRICS if name in known.metrics}
        state = f"{record.folder}/state"
        if not any(name.startswith(f"{state}/") for name in trunk.files):
            raise UsageError(
                f"trunk {trunk.key[:12]} kept no optimizer states to anneal from; run it with keep_state: true, or "
                "fork without anneal"
            )
        assert record.examples is not None
        assert record.learning_rate is not None
        of_trunk = TrunkIdentity.model_validate(trunk.identity)
        falling = {"learning_rate": record.learning_rate, "schedule": "linear", "warmup": 0.0}
        optimizer = of_trunk.settings.optimizer.model_copy(update=falling)
        settings = of_trunk.settings.model_copy(update={"optimizer": optimizer})
        trained = run_training(
            context,
            of_trunk.template,
            settings,
            of_trunk.seed,
            trunk.path(str(record.folder)),
            demonstrations_of(context.parents["data"]),
            annealing=Annealing(
                state=trunk.path(state),
                after=record.examples,
                examples=anneal.examples_after(record.examples),
            ),
        )
        rows, more = int(str(trained["rows"])), int(str(trained["examples"]))
        order = RowOrder(rows, settings.epochs, settings.batch_size, of_trunk.seed)
        kept = {name: trained[name] for name in ANNEALED_METRICS if name in trained}
        return {**kept, "annealed_examples": more, "distinct": order.distinct(record.examples + more)}

    def _twin(self, context: StageContext, names: AbstractSet[str]) -> Artifact | None:
        """A published fork of another trigger that names the same state, annealed in the same way."""
        triggers = TrunkIdentity.model_validate(context.parents["trunk"].identity).watch.triggers
        for trigger in triggers:
            if trigger.name in names and trigger != self.identity.trigger:
                identity = ForkIdentity(trigger=trigger, anneal=self.identity.anneal)
                key = payload_of(ForkStage(identity, self.trunk, self.base, self.data)).key
                if context.store.has(key):
                    return context.store.artifact(key, deep=True)
        return None
