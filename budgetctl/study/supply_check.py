"""Whether the sources hold the rows that a study buys: asked in the plan, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from budgetctl.errors import UsageError
from budgetctl.stages.data import DataIdentity
from budgetctl.study.fork_supply import foretold
from budgetctl.study.numerals import in_full
from budgetctl.study.plan import Plan, PlannedCell
from budgetctl.study.row_counter import NOTHING_KNOWN, Found, RowCounter
from store import Store

MOST_SHOWN = 12
DATA_ROLES = ("sft-data", "pft-data")


def require_rows(plan: Plan, store: Store) -> list[str]:
    """Refuse a plan whose cells or forks ask for rows that cannot be had. Published rows need no look.

    Sources are read once each; with `overlap: disjoint` both sides of a cell must fit into them together.

    Returns:
        One sentence per fork whose pairs may not be had, as its metric decides.

    Raises:
        UsageError: With one sentence per cell or fork that cannot be had.
    """
    counter = _counter(plan, store)
    forks = foretold(plan, store, counter)
    cells = refusals(plan, _look(plan, store, _data_of_cells(plan), counter))
    dev_rows = _look(plan, store, {branch.before["dev-data"] for branch in plan.branches}, counter)
    bought = [*(f"{name} cannot be had: {reason}" for name, reason in cells.items()), *forks.refused]
    problems = [f"forks.dev_size: {found.refused}" for found in dev_rows.values() if found.refused]
    if problems or bought:
        ways = "fork later, or leave these out" if forks.refused else "or leave these cells out of the grid"
        remedy = [f"change the budget, {ways}"] if bought else []
        raise UsageError("\n".join([*_listed([*problems, *bought]), *remedy]))
    return _listed(forks.doubted)


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
    return _look(plan, store, _data_of_cells(plan), _counter(plan, store))


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


def _data_of_cells(plan: Plan) -> set[str]:
    return {key for cell in plan.cells for role, key in cell.stages.items() if role in DATA_ROLES}


def _look(plan: Plan, store: Store, keys: Iterable[str], counter: RowCounter) -> dict[str, Found]:
    """What those of some data stages that are not published would take, in the plan's order."""
    present = store.many_has(keys)
    return {
        key: counter.find(DataIdentity.model_validate(payload.identity), payload.parents)
        for key, payload in plan.stages.items()
        if not present.get(key, True)
    }


def _counter(plan: Plan, store: Store) -> RowCounter:
    return RowCounter({digest: Path(path) for digest, path in plan.sources.items()}, store)


def _listed(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - MOST_SHOWN
    return [*sentences[:MOST_SHOWN], *([f"… and {more} more"] if more > 0 else [])]
