"""What a plan says of one of its stages, in words that an experiment tracker can group and filter by."""

from __future__ import annotations

from typing import Any

from budgetctl.study.plan import Plan

AXES = ("base", "task", "method", "budget", "share", "seed", "role", "fork")


def labels_of(plan: Plan, key: str) -> dict[str, Any]:
    """Return the plan's name and, for each axis, the value (or the values) of the cells that need this stage.

    A branch counts as the cell that it becomes once its fork is published; what only the fork can tell is missing.
    """
    needed = [cell.axes for cell in plan.cells if key in cell.stages.values()]
    needed += [branch.axes for branch in plan.branches if key in branch.before.values()]
    labels: dict[str, Any] = {"plan": plan.name}
    for axis in AXES:
        values = sorted({axes[axis] for axes in needed if axes.get(axis) is not None})
        if values:
            labels[axis] = values[0] if len(values) == 1 else values
    return labels
