"""Kill -9 before every effect of every operation, and at random moments: nothing lost, nothing wrong, work goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from crash_scenarios import SCENARIOS

DRIVER = Path(__file__).with_name("crash_driver.py")

FEWEST_POINTS = {
    "collect": 20, "create": 18, "demote": 30, "index": 30, "lease": 6, "migrate": 20, "publish": 32, "pull": 80,
    "push": 12, "records": 30, "reindex": 35, "repair": 18,
}  # fmt: skip
"""A scenario that suddenly has fewer kill points than this is no longer doing its work."""


def drive(what: str, kills: str = "0") -> int:
    # A kill does not lose what the kernel has, so memory will do for a disk, and fsync costs nothing there.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        command = [sys.executable, str(DRIVER), what, folder, kills]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_a_kill_at_any_step_is_survived(scenario: str) -> None:
    assert drive(scenario) >= FEWEST_POINTS[scenario]


@pytest.mark.slow
def test_two_hundred_kills_at_random_moments_are_survived() -> None:
    assert drive("random", "200") == 200
