"""Real commands in real processes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands import BUDGETCTL, Run, clean_environment


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def program() -> tuple[str, ...]:
    """How budgetctl is called: as a user does. A file of tests may call it another way."""
    return (str(BUDGETCTL),)


@pytest.fixture
def budgetctl(program: tuple[str, ...], store: Path, tmp_path: Path) -> Run:
    """Run one command line against this test's own store."""

    def run(
        *arguments: object, check: int | None = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*program, *map(str, arguments)],
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
