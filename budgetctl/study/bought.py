"""What a cell's data stages took, for cells whose budget in tokens leaves that to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from budgetctl.study.plan import PlannedCell
from store import Store

SIDES = {"n_sft": "sft-data", "n_pft": "pft-data"}
"""Axis → role of the stage whose annotations it counts."""


def counted_axes(cell: PlannedCell, store: Store) -> Mapping[str, Any]:
    """A cell's axes, with `n_sft`, `n_pft` and `left_over` filled in as far as its rows are published."""
    if cell.axes.get("left_over") is not None:
        return cell.axes
    keys = {axis: cell.stages[role] for axis, role in SIDES.items() if role in cell.stages}
    made = {axis: store.artifact(key).metrics for axis, key in keys.items() if store.has(key)}
    counts = {axis: metrics["annotations"] for axis, metrics in made.items()}
    left = sum(int(metrics["tokens_left_over"] or 0) for metrics in made.values())
    return {**cell.axes, **counts, "left_over": float(left) if made.keys() == keys.keys() else None}
