"""Whether the sources hold the rows that a study's cells buy: asked in the plan, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from budgetctl.errors import UsageError
from budgetctl.stages.data import DataIdentity
from budgetctl.study.numerals import in_full
from budgetctl.study.plan import Plan, PlannedCell
from budgetctl.study.row_counter import NOTHING_KNOWN, Found, RowCounter
from store import Store

MOST_SHOWN = 12
DATA_ROLES = ("sft-data", "pft-data")


def require_rows(plan: Plan, store: Store) -> None:
    """Refuse a plan with cells whose rows cannot be had. Rows that are published already need no look.

    Sources are read once each; with `overlap: disjoint` both sides of a cell must fit into them together.

    Raises:
        UsageError: With one sentence per cell that cannot be had.
    """
    found = find_rows(plan, store)
    problems = [f"{name} cannot be had: {reason}" for name, reason in refusals(plan, found).items()]
    if problems:
        listed, more = problems[:MOST_SHOWN], len(problems) - MOST_SHOWN
        listed += [f"… and {more} more cells"] if more > 0 else []
        raise UsageError("\n".join([*listed, "change the budget, or leave these cells out of the grid"]))


def find_rows(plan: Plan, store: Store) -> Mapping[str, Found]:
    """Look for the rows of every data stage of the plan's cells that is not published.

    Hub datasets are read where they were fetched before. While the base whose tokenizer counts is not in the store,
    rows that are too long count as usable, and what a budget in tokens buys stays unknown.

    Args:
        plan: The study.
        store: What is published needs no look; has the bases.

    Returns:
        Key of a data stage → what was found.
    """
    keys = {key for cell in plan.cells for role, key in cell.stages.items() if role in DATA_ROLES}
    present = store.many_has(keys)
    missing = [key for key in plan.stages if key in keys and not present[key]]
    if not missing:
        return {}
    located = {digest: Path(path) for digest, path in plan.sources.items()}
    counter = RowCounter(located, store)
    return {
        key: counter.find(DataIdentity.model_validate(plan.stages[key].identity), plan.stages[key].parents)
        for key in missing
    }


def refusals(plan: Plan, found: Mapping[str, Found]) -> dict[str, str]:
    """Name of each cell that cannot be had → the sentence that says why."""
    reasons = {}
    for cell in plan.cells:
        sides = [found.get(cell.stages.get(role, ""), NOTHING_KNOWN) for role in DATA_ROLES]
        reason = "; ".join(dict.fromkeys(side.refused for side in sides if side.refused))
        if cell.axes["method"] is not None and cell.stages.keys().isdisjoint(DATA_ROLES):
            reason = _buys_nothing(plan, cell)
        if reason:
            reasons[cell.name] = reason
    return reasons


def _buys_nothing(plan: Plan, cell: PlannedCell) -> str:
    """Measured, such a cell would be the untrained base under another name."""
    cost = plan.recipe["cost"]
    return (
        f"{in_full(cell.axes['budget'])} {cost['currency']} buy no row at share {in_full(cell.axes['share'])}: a "
        f"demonstration costs {in_full(cost['sft'])}, a pair {in_full(cost['pft'])}"
    )
