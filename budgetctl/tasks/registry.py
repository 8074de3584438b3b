"""Tasks by name."""

from __future__ import annotations

from budgetctl.errors import UsageError
from budgetctl.tasks.task import Task

TASK_NAMES = ("arith", "gsm8k", "tuluif")


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
