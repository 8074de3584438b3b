"""Tasks: what is asked, and how an answer is scored."""

from budgetctl.tasks.registry import TASK_NAMES, task_in_version, task_named
from budgetctl.tasks.task import Part, Task

__all__ = ["TASK_NAMES", "Part", "Task", "task_in_version", "task_named"]
