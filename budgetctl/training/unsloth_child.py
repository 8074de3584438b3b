"""A training process with unsloth's kernels, which must be imported before all that they change."""

from __future__ import annotations

import unsloth  # noqa: F401  # isort: skip

import sys
from pathlib import Path

from budgetctl.training.processes import run_child

if __name__ == "__main__":
    run_child(Path(sys.argv[1]), int(sys.argv[2]))
