"""What every cell of a study would buy: rows of each kind, what is left over, or why it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from budgetctl.study.bought import SIDES, counted_axes
from budgetctl.study.build import plan_study
from budgetctl.study.numerals import in_full
from budgetctl.study.plan import Plan, PlannedCell
from budgetctl.study.recipe import Recipe
from budgetctl.study.row_counter import NOTHING_KNOWN
from budgetctl.study.supply_check import find_rows, refusals
from store import Store


@dataclass(frozen=True)
class CellRows:
    """One cell.

    Attributes:
        base, task, method, budget, share, seed: The cell.
        n_sft, n_pft: Rows; None while only a tokenizer that is not here could tell.
        left_over: In the budget's unit; None as above.
        refused: Why it cannot be had, or an empty text.
    """

    base: str
    task: str
    method: str
    budget: float
    share: float
    seed: int
    n_sft: int | None
    n_pft: int | None
    left_over: float | None
    refused: str


COLUMNS = tuple(CellRows.__dataclass_fields__)


def cell_rows(recipe: Recipe, store: Store) -> list[CellRows]:
    """Count the rows of every cell of a recipe's grid, where their sources are on this machine.

    Raises:
        UsageError: A task, base or setting is unknown, or a local source is missing.
    """
    plan = plan_study(recipe, store, check=False)
    return list(_cells(plan, store))


def _cells(plan: Plan, store: Store) -> Iterator[CellRows]:
    found = find_rows(plan, store)
    reasons = refusals(plan, found)
    for cell in plan.cells:
        if cell.axes["method"] is None or "role" in cell.axes:
            continue
        axes = dict(counted_axes(cell, store))
        if axes["left_over"] is None:
            sides = {
                axis: found.get(cell.stages.get(role, ""), NOTHING_KNOWN) for axis, role in SIDES.items()
            }
            axes |= {axis: side.rows for axis, side in sides.items() if axes[axis] is None}
            left = [side.left_over for axis, side in sides.items() if SIDES[axis] in cell.stages]
            axes["left_over"] = None if None in left else float(sum(part or 0 for part in left))
        yield _row(cell, axes, reasons.get(cell.name, ""))


def _row(cell: PlannedCell, axes: dict[str, Any], refused: str) -> CellRows:
    return CellRows(**{name: axes[name] for name in COLUMNS if name != "refused"}, refused=refused)


def to_table(rows: list[CellRows]) -> str:
    """Lines for people, the sentences of cells that cannot be had below their line."""
    heads = ("base", "task", "method", "budget", "share", "seed", "n_sft", "n_pft", "left over")
    cells = [
        (
            *(row.base, row.task, row.method, in_full(row.budget, ","), in_full(row.share), str(row.seed)),
            *(
                "?" if value is None else in_full(value, ",")
                for value in (row.n_sft, row.n_pft, row.left_over)
            ),
        )
        for row in rows
    ]
    widths = [max(len(line[at]) for line in (heads, *cells)) for at in range(len(heads))]
    lines = [_aligned(heads, widths)]
    for row, line in zip(rows, cells, strict=True):
        lines.append(_aligned(line, widths))
        lines += [f"  cannot be had: {row.refused}"] if row.refused else []
    refused = sum(bool(row.refused) for row in rows)
    unknown = sum(row.left_over is None and not row.refused for row in rows)
    lines.append(f"{len(rows)} cells, {refused} of them cannot be had")
    if unknown:
        lines.append(
            f"{unknown} cells are counted when their rows are prepared (`run --only data`), or once their base is here"
        )
    return "\n".join(lines)


def _aligned(line: tuple[str, ...], widths: list[int]) -> str:
    texts = [text.ljust(width) if at < 3 else text.rjust(width)
             for at, (text, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
    return "  ".join(texts).rstrip()
