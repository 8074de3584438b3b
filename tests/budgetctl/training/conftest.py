"""Jobs over the small model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from budgetctl_training_job import plain_job

from budgetctl.training.job import TrainingJob


@pytest.fixture
def make_job(small_base: Path, sum_data: Path, tmp_path: Path) -> Callable[..., TrainingJob]:
    """Make a job over the small model with folders of its own; keyword arguments replace its fields."""
    made = iter(range(1000))

    def make(data: str | Path = "sft.parquet", base: Path = small_base, **changes: Any) -> TrainingJob:
        return plain_job(tmp_path / f"job-{next(made)}", base, sum_data / data, **changes)

    return make
