"""Real commands in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the command from outside."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BUDGETCTL_", "SLURM_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def budgetctl(store: Path, tmp_path: Path) -> Run:
    """Run one command line against this test's own store."""

    def run(
        *arguments: object, check: int | None = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "budgetctl", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=clean_environment(BUDGETCTL_STORE=str(store), **environment),
            check=False,
            timeout=280,
        )
        if check is not None:
            assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
