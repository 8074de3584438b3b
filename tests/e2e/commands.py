"""How tests run the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]

BUDGETCTL = Path(sys.executable).with_name("budgetctl")
"""The console script, as a user calls it."""


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the command from outside."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BUDGETCTL_", "SLURM_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def run_and_kill(
    program: Sequence[str],
    recipe: Path,
    store: Path,
    after_s: float,
    once: Callable[[], bool] = lambda: False,
) -> None:
    """Start the study in a process group of its own and kill the whole group with SIGKILL.

    Args:
        program: How budgetctl is called.
        recipe: The study.
        store: Where it runs.
        after_s: When to kill it.
        once: When to kill it earlier.
    """
    process = subprocess.Popen(
        [*program, "run", "--grid", recipe, "--jobs", "2"],
        env=clean_environment(BUDGETCTL_STORE=str(store)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + after_s
    while time.monotonic() < until and not once():
        time.sleep(0.02)
    children = descendants(process.pid)
    for pid in (process.pid, *children):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def descendants(pid: int) -> list[int]:
    """Processes started by `pid` and by those it started."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *descendants(child)]
    return found


def published(store: Path) -> set[str]:
    return {path.parent.name for path in store.glob("artifacts/??/*/manifest.json")}
