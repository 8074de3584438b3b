"""Jobs over the small model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from budgetctl.console import SilentReporter
from budgetctl.models.templates import Template
from budgetctl.training.run import TrainingJob


@pytest.fixture
def make_job(small_base: Path, sum_data: Path, tmp_path: Path) -> Callable[..., TrainingJob]:
    """Make a job over the small model with folders of its own; keyword arguments replace its fields."""
    made = iter(range(1000))

    def make(data: str = "sft.parquet", **changes: Any) -> TrainingJob:
        root = tmp_path / f"job-{next(made)}"
        out, scratch = root / "files", root / "scratch"
        out.mkdir(parents=True)
        scratch.mkdir()
        job = TrainingJob(
            base=small_base, parent=None, data=sum_data / data, template=Template.named("tiny"), seed=0, out=out,
            scratch=scratch, device="cpu", micro_batch=None, checkpoint_every_s=600.0, threads=1,
            reporter=SilentReporter(), should_stop=lambda: False,
        )  # fmt: skip
        return replace(job, **changes)

    return make
