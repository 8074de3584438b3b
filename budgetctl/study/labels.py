"""What a plan says of one of its stages, in words that an experiment tracker can group and filter by."""

from __future__ import annotations

from typing import Any

from budgetctl.study.plan import Plan

AXES = ("base", "task", "method", "budget", "share", "seed")


def labels_of(plan: Plan, key: str) -> dict[str, Any]:
    """Return the plan's name and, for each axis, the value (or the values) of the cells that need this stage."""
    cells = [cell for cell in plan.cells if key in cell.stages.values()]
    labels: dict[str, Any] = {"plan": plan.name}
    for axis in AXES:
        values = sorted({cell.axes[axis] for cell in cells if cell.axes.get(axis) is not None})
        if values:
            labels[axis] = values[0] if len(values) == 1 else values
    return labels
