"""Tasks: what is asked, and how an answer is scored."""

from budgetctl.tasks.registry import TASK_NAMES, task_named
from budgetctl.tasks.task import Task

__all__ = ["TASK_NAMES", "Task", "task_named"]
