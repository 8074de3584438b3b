"""The `data` section of a recipe: where each task's rows come from, and how subsets are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from budgetctl.data.hub_fetch import FrozenRevisions
from budgetctl.data.supply import Supply, supply_of
from budgetctl.errors import UsageError
from budgetctl.schema import Frozen


class TaskData(Frozen):
    """Where one task's rows come from."""

    path: Path | None = None
    """Folder or file with the task's rows on this machine; relative to the recipe. Its bytes enter the key."""
    options: Mapping[str, Any] = {}
    """Settings of the task's generator or source (for `arith`: the annotators' habits)."""
    system_prompt: str | None = None
    """Put before every prompt that has no system message of its own, in training and evaluation; None takes the
    task's own, an empty text none."""


SettingsT = TypeVar("SettingsT", bound=TaskData)


class DataSettings(TaskData):
    """Where a task's rows come from and how subsets are drawn."""

    tasks: Mapping[str, TaskData] = {}
    """Task → its own `path`, `options` and `system_prompt`, in studies of several tasks; what is not named takes the
    ones beside `tasks`."""
    overlap: Literal["shared", "disjoint"] = "disjoint"
    """Whether a prompt may appear on both the SFT and the PFT side of one cell."""
    max_tokens: Annotated[int, Field(gt=0)] | Literal["fit"] | None = None
    """Training rows of more tokens (prompt and answer, in the base's template) are left out before the cut. `fit`
    is the shortest `max_length` of the study's trainings; without either, a longer row is an error in training."""

    def below(self, folder: Path) -> DataSettings:
        """The same with paths that are relative to `folder` made absolute."""
        tasks = {name: _below(task, folder) for name, task in self.tasks.items()}
        return _below(self, folder).model_copy(update={"tasks": tasks})

    def supplies(self, tasks: Sequence[str], revisions: FrozenRevisions) -> dict[str, Supply]:
        """Resolve every task's sources.

        Raises:
            UsageError: A task or an option is unknown, a path is missing or belongs to another task.
        """
        return {task: self._supply(task, len(tasks) > 1, revisions) for task in tasks}

    def _supply(self, task: str, several: bool, revisions: FrozenRevisions) -> Supply:
        own = self.tasks.get(task, self)
        try:
            supply = supply_of(task, own.path, own.options, revisions)
        except UsageError as error:
            if several and task not in self.tasks:
                raise UsageError(
                    f"task {task}: {error}\nwith several tasks, name whose settings these are: "
                    "`data: {tasks: {TASK: {path: …, options: …}}}`"
                ) from error
            raise
        return replace(supply, system_prompt=own.system_prompt)


def _below(given: SettingsT, folder: Path) -> SettingsT:
    if given.path is None or given.path.is_absolute():
        return given
    return given.model_copy(update={"path": (folder / given.path).resolve()})
