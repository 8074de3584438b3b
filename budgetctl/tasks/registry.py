"""Tasks by name."""

from __future__ import annotations

from budgetctl.errors import UsageError
from budgetctl.tasks.task import Task

TASK_NAMES = ("arith", "gsm8k", "tuluif")


def task_in_version(name: str, scorer_version: int) -> Task:
    """Return the task of that name, if its scorer has the version that a key promises.

    Raises:
        UsageError: There is no such task, or its scorer has another version.
    """
    task = task_named(name)
    if task.scorer_version != scorer_version:
        raise UsageError(
            f"this was planned with version {scorer_version} of the {name} scorer, and this program has version "
            f"{task.scorer_version}, which may judge otherwise; plan again: the answers that are there get new scores "
            "under a new key"
        )
    return task


def task_named(name: str) -> Task:
    """Return the task of that name.

    Raises:
        UsageError: There is none.
    """
    if name == "arith":
        from budgetctl.tasks.arith import ArithTask  # noqa: PLC0415  (only the task that is asked for)

        return ArithTask()
    if name == "gsm8k":
        from budgetctl.tasks.gsm8k import Gsm8kTask  # noqa: PLC0415

        return Gsm8kTask()
    if name == "tuluif":
        from budgetctl.tasks.tuluif import TuluIfTask  # noqa: PLC0415

        return TuluIfTask()
    raise UsageError(f"there is no task {name!r}; the tasks are {', '.join(TASK_NAMES)}")
