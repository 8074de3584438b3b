"""What a training is given beside its settings: places, and how to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from budgetctl.console import Reporter
from budgetctl.forking.triggers import WatchSettings
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen

Metric = float | int | str | bool | None
Track = Callable[[int, Mapping[str, float]], None]
"""Given a step and its figures."""


class Watched(Frozen):
    """A training whose states are measured on dev rows and kept where triggers fire."""

    dev: Path
    """Parquet file of the dev rows."""
    task: str
    """Whose scorer judges answers."""
    settings: WatchSettings
    name: str
    """Of the training, for the names of its states in an engine."""


class Annealing(Frozen):
    """A training that goes on from a state of another one (`TrainingJob.parent`), over the rows that come next."""

    state: Path
    """Folder with the optimizer's state."""
    after: int
    """Examples the other training had processed."""
    examples: int
    """How many more, rounded up to whole steps."""


@dataclass(frozen=True)
class TrainingJob:
    """Where a training's inputs lie, where its results go, and how it is run.

    Attributes:
        base: Transformers folder of the base.
        parent: Folder of the checkpoint to start from; None starts at the base.
        data: Parquet file of the rows.
        template: The chat template.
        seed: Of the fresh adapter, the order and dropout.
        out: Folder to publish into.
        scratch: Folder that survives a kill.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        micro_batch: Rows of one forward pass; None finds out.
        checkpoint_every_s: Seconds between checkpoints.
        threads: CPU threads; None leaves torch's choice.
        reporter: Who is told.
        should_stop: Asked between steps, and between batches of the reference.
        processes: Data-parallel processes on this machine.
        shard: Spread the model's weights over the processes.
        track: Given every step's figures, for an experiment tracker.
        references: Files with reference log-probabilities of earlier trainings that start from the same policy.
        reference_in_memory: Keep new ones in memory instead of in files, unless processes share them.
        watched: Measures the training on dev rows and keeps its states.
        annealing: Goes on from a state of another training.
        keep: What a worker holds between stages, such as an engine.
    """

    base: Path
    parent: Path | None
    data: Path
    template: Template
    seed: int
    out: Path
    scratch: Path
    device: str
    micro_batch: int | None
    checkpoint_every_s: float
    threads: int | None
    reporter: Reporter
    should_stop: Callable[[], bool]
    processes: int = 1
    shard: bool = False
    track: Track | None = None
    references: tuple[Path, ...] = ()
    reference_in_memory: bool = False
    watched: Watched | None = None
    annealing: Annealing | None = None
    keep: dict[str, object] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The part that another process can read: everything but `reporter`, `should_stop`, `track` and `keep`."""
        names = [one.name for one in fields(self) if one.name not in _LIVE]
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], reporter: Reporter, should_stop: Callable[[], bool]
    ) -> TrainingJob:
        """Rebuild a job from `document`."""
        values = dict(document)
        for name in ("base", "parent", "data", "out", "scratch"):
            values[name] = Path(values[name]) if values[name] is not None else None
        values["references"] = tuple(map(Path, values["references"]))
        for name, model in _MODELS.items():
            values[name] = model.model_validate(values[name]) if values[name] is not None else None
        return cls(**values, reporter=reporter, should_stop=should_stop)


_LIVE = ("reporter", "should_stop", "track", "keep")
_MODELS: Mapping[str, type[Frozen]] = {"template": Template, "watched": Watched, "annealing": Annealing}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value.model_dump(mode="json") if isinstance(value, Frozen) else value
