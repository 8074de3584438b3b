"""Where and with what an artifact was made: recorded beside the result, never part of its key."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = (
    "budgetctl", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "vllm", "unsloth",
    "bitsandbytes", "numpy", "pyarrow",
)  # fmt: skip


def _git(*arguments: str) -> str | None:
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def code_revision() -> str:
    """Git commit of the running code, with `+changes` if files differ from it; empty outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return ""
    return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _gpu() -> str | None:
    torch = sys.modules.get("torch")  # only a stage that computed has loaded it
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())


@cache
def _of_this_process() -> dict[str, Any]:
    versions = {}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "command": sys.argv[:1] and [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": versions,
    }


def provenance(wall_s: float) -> dict[str, Any]:
    """What is worth knowing about this process and run, as JSON values.

    Args:
        wall_s: Seconds the stage took in this attempt.
    """
    return {
        **_of_this_process(),
        "job": os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID"),
        "task": os.environ.get("SLURM_ARRAY_TASK_ID"),
        "gpu": _gpu(),
        "wall_s": round(wall_s, 3),
    }
