"""The batch script: text from values, and nothing else. `sbatch` reads it from stdin."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from budgetctl.errors import UsageError
from budgetctl.slurm.settings import SlurmSettings
from budgetctl.slurm.setup import shell_line
from budgetctl.slurm.shell import BASH_BODY, FUNCTIONS, SLURM_BODY

DEFAULT_MAX_ARRAY = 1001
"""Slurm's own default of MaxArraySize: the largest index plus one."""


@dataclass(frozen=True)
class Job:
    """What a script runs, and where it came from.

    Attributes:
        plan: Full id of the stored plan.
        name: Name of the recipe.
        store: The store, absolute.
        logs: Folder for this plan's logs, absolute.
        python: Interpreter that runs the workers.
        workers: Identical workers to start.
        options: Further options of `budgetctl worker`.
        summary: One line about the plan, for readers of the script.
        revision: Git commit of the code that planned, with `+changes` if the tree was dirty; or empty.
        made_with: Versions and host, for readers of the script.
    """

    plan: str
    name: str
    store: Path
    logs: Path
    python: str
    workers: int
    options: tuple[str, ...]
    summary: str
    revision: str
    made_with: str

    def command(self, python: str) -> list[str]:
        """The words that start one worker."""
        planned = ("--planned-with", self.revision) if self.revision else ()
        return [
            python, "-m", "budgetctl", "worker", "--plan", self.plan, "--store", str(self.store),
            *planned, *self.options,
        ]  # fmt: skip


def render_slurm(settings: SlurmSettings, job: Job) -> str:
    """Render the array of identical workers.

    Raises:
        UsageError: A value cannot be written into a batch script safely.
    """
    directives = [f"#SBATCH --{name}" if value is None else f"#SBATCH --{name}={value}"
                  for name, value in _directives(settings, job)]  # fmt: skip
    lines = ["#!/bin/bash", *directives, *_origin(job), "", FUNCTIONS, *_preparation(settings), ""]
    lines += [*_variables(settings, job), f"max_timeouts={settings.max_timeouts}"]
    lines += [f"warn_s={settings.warned_s}", "", SLURM_BODY]
    return "\n".join(lines)


def render_bash(settings: SlurmSettings, job: Job) -> str:
    """Render the same workers for one machine without a scheduler."""
    lines = ["#!/bin/bash", *_origin(job), "", FUNCTIONS, *_preparation(settings), ""]
    return "\n".join([*lines, *_variables(settings, job), f"workers={job.workers}", "", BASH_BODY])


def _directives(settings: SlurmSettings, job: Job) -> list[tuple[str, str | None]]:
    at_once = f"%{settings.at_once}" if settings.at_once else ""
    named = (
        ("partition", settings.partition),
        ("account", settings.account),
        ("qos", settings.qos),
        ("time", settings.time),
        ("gpus", settings.gpus),
        ("cpus-per-task", str(settings.cpus) if settings.cpus else None),
        ("mem", settings.mem),
        ("constraint", _argument(settings.constraint) if settings.constraint else None),
    )
    return [
        ("job-name", _argument(job.name)),
        ("array", f"0-{job.workers - 1}{at_once}"),
        *((name, value) for name, value in named if value is not None),
        *((name, _argument(value) if value else None) for name, value in sorted(settings.options.items())),
        ("nodes", "1"),
        ("ntasks", "1"),
        ("requeue", None),
        ("open-mode", "append"),
        ("signal", f"B:USR2@{settings.warned_s}"),
        ("output", _argument(f"{_plain(job.logs)}/%A_%a.out")),
    ]


def _argument(value: str) -> str:
    """Quote for the `#SBATCH` reader, which knows double quotes and backslashes and no shell."""
    return '"' + re.sub(r'([\\"])', r"\\\1", value) + '"'


def _plain(path: Path) -> str:
    text = str(path)
    if not text.isprintable() or any(sign in text for sign in '%\\"'):
        raise UsageError(
            f"the folder {text!r} cannot be named in a batch script: its path holds a line break, a percent sign, "
            "a quote or a backslash; choose another store, or set slurm.logs"
        )
    return text


def _comment(text: str) -> str:
    return "# " + "".join(sign if sign.isprintable() else " " for sign in text)


def _origin(job: Job) -> list[str]:
    revision = f"code {job.revision}; " if job.revision else "code of no git repository; "
    return [
        _comment(f"budgetctl plan {job.plan} of {job.name}: {job.summary}"),
        _comment(revision + job.made_with),
    ]


def _variables(settings: SlurmSettings, job: Job) -> list[str]:
    words = job.command(settings.python or job.python)
    return [
        f"logs={shlex.quote(str(job.logs))}",
        f"worker=({' '.join(shlex.quote(word) for word in words)})",
    ]


def _preparation(settings: SlurmSettings) -> list[str]:
    exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(settings.environment.items())]
    prepared = [f"{shell_line(line)} || setup_failed {shlex.quote(line)}" for line in settings.setup]
    return ["", *prepared, *exports]
