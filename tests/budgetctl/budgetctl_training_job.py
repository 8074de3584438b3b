"""A training job with folders of its own, for tests of several packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from budgetctl.console import SilentReporter
from budgetctl.models.templates import Template
from budgetctl.training.job import TrainingJob


def plain_job(root: Path, base: Path, data: Path, **changes: Any) -> TrainingJob:
    """Make a job that writes below `root`; keyword arguments replace its fields."""
    for name in ("files", "scratch"):
        (root / name).mkdir(parents=True)
    fields: dict[str, Any] = {
        "base": base, "parent": None, "data": data, "template": Template.named("tiny"), "seed": 0,
        "out": root / "files", "scratch": root / "scratch", "device": "cpu", "micro_batch": None,
        "checkpoint_every_s": 600.0, "threads": 1, "reporter": SilentReporter(), "should_stop": lambda: False,
    }  # fmt: skip
    return TrainingJob(**{**fields, **changes})
