"""What a training is given beside its settings: places, and how to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from budgetctl.console import Reporter
from budgetctl.models.templates import Template

Metric = float | int | str | bool | None
Track = Callable[[int, Mapping[str, float]], None]
"""Given a step and its figures."""


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
        should_stop: Asked between steps.
        processes: Data-parallel processes on this machine.
        track: Given every step's figures, for an experiment tracker.
        reference: File with reference log-probabilities of earlier trainings that start from the same policy.
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
    track: Track | None = None
    reference: Path | None = None

    def document(self) -> dict[str, Any]:
        """The part that another process can read: everything but `reporter`, `should_stop` and `track`."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _LIVE}
        return {
            name: str(value)
            if isinstance(value, Path)
            else value.model_dump()
            if name == "template"
            else value
            for name, value in values.items()
        }

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], reporter: Reporter, should_stop: Callable[[], bool]
    ) -> TrainingJob:
        """Rebuild a job from `document`."""
        values = dict(document)
        for name in ("base", "parent", "data", "out", "scratch", "reference"):
            values[name] = Path(values[name]) if values[name] is not None else None
        values["template"] = Template.model_validate(values["template"])
        return cls(**values, reporter=reporter, should_stop=should_stop)


_LIVE = ("reporter", "should_stop", "track")
