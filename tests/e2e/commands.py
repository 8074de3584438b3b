"""How tests run the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]

BUDGETCTL = Path(sys.executable).with_name("budgetctl")
"""The console script, as a user calls it."""


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the command from outside."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BUDGETCTL_", "SLURM_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}
