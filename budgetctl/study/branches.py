"""Branches: the part of a plan that follows a fork, known in full only once the fork is published.

How many rows a fork leaves for preference pairs is decided by the run it forks off. So the plan holds, for each
fork, the descriptions of what follows with two kinds of holes: `@role` for the key of a stage of the same branch,
and the number of rows of a data stage. Filling the holes is a function of the plan and the fork's manifest alone:
every worker and every reader arrives at the same keys, whenever and wherever it looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Any

from budgetctl.errors import UsageError
from budgetctl.stages.stage import Stage
from budgetctl.study.plan import Branch, BranchStage, Plan, PlannedCell
from store import Payload, Store

Facts = Mapping[str, Any]
"""A fork's metrics: `fired`, `distinct`, `same_as`, …"""
FactsOf = Callable[[str], Facts | None]
"""Fork key → its metrics, None while it is not published."""


@dataclass(frozen=True)
class Rest:
    """What a fork leaves of its budget."""

    n_sft: int
    """Distinct demonstrations that the fork has seen."""
    n_pft: int
    """Pairs that the rest of the budget pays for."""
    left_over: Fraction
    spent: Fraction


def rest_of(budget: Fraction, distinct: int, price_sft: Fraction, price_pft: Fraction) -> Rest | None:
    """What remains of a budget after `distinct` demonstrations; None if they cost more than all of it."""
    remaining = budget - distinct * price_sft
    if remaining < 0:
        return None
    n_pft = floor(remaining / price_pft)
    left_over = remaining - n_pft * price_pft
    return Rest(distinct, n_pft, left_over, budget - left_over)


def grown(plan: Plan, facts_of: FactsOf) -> Plan:
    """Add the cells and stages of every branch whose fork is published and fired.

    Growing a plan twice, or one that has grown before, changes nothing more.

    Args:
        plan: A plan, perhaps with branches.
        facts_of: What is known of a fork.
    """
    if not plan.branches:
        return plan
    stages, cells = dict(plan.stages), {cell.name: cell for cell in plan.cells}
    for branch in plan.branches:
        facts = facts_of(branch.fork)
        if facts is None or not facts["fired"] or branch.name in cells:
            continue
        fork = _canonical(plan, branch, facts)
        trained_from = facts_of(fork)
        if trained_from is not None and (cell := cell_of(branch, trained_from, fork, stages)):
            cells[cell.name] = cell
    return replace(plan, cells=tuple(cells.values()), stages=stages)


def grown_in(plan: Plan, store: Store) -> Plan:
    """Grow a plan by the forks that a store holds."""
    there = store.many_has({branch.fork for branch in plan.branches})
    return grown(plan, lambda fork: store.artifact(fork).metrics if there[fork] else None)


def _canonical(plan: Plan, branch: Branch, facts: Facts) -> str:
    """Key of the fork whose branch this one shares: triggers that name one state of a trunk are trained from once."""
    same_as = facts["same_as"]
    if not same_as:
        return branch.fork
    found = {
        other.fork
        for other in plan.branches
        if other.axes["trunk"] == branch.axes["trunk"] and other.axes["fork"] == same_as
    }
    if len(found) != 1:
        raise UsageError(
            f"fork {branch.fork[:12]} says that it is the same state as {same_as!r}, of which the plan has "
            f"{len(found)}; plan again"
        )
    return found.pop()


def cell_of(branch: Branch, facts: Facts, fork: str, stages: dict[str, Payload]) -> PlannedCell | None:
    """Fill a branch's holes; None if the fork has used more than the budget.

    Args:
        branch: What follows the fork.
        facts: Of the fork that is trained from; `distinct` is all that counts here.
        fork: Its key.
        stages: Where the branch's stages are added.
    """
    money = {name: Fraction(str(branch.axes[name])) for name in ("budget", "price_sft", "price_pft")}
    rest = rest_of(money["budget"], int(facts["distinct"]), money["price_sft"], money["price_pft"])
    if rest is None:
        return None
    rows = {"n_sft": rest.n_sft, "n_pft": rest.n_pft}
    keys = {"fork": fork}
    filled = dict(branch.before)
    for step in branch.stages:
        if step.rows is not None and rows[step.rows] == 0:
            continue
        parents = {role: _resolved(parent, keys) for role, parent in step.parents.items()}
        if None in parents.values():
            continue
        identity = dict(step.identity) | ({"size": rows[step.rows]} if step.rows else {})
        payload = Payload(step.stage, step.revision, identity, {r: p for r, p in parents.items() if p})
        stages.setdefault(payload.key, payload)
        filled[step.role] = keys[step.role] = payload.key
    axes = {name: value for name, value in branch.axes.items() if not name.startswith("price_")}
    axes |= rows | {"left_over": float(rest.left_over), "cost": float(rest.spent)}
    axes["share"] = float(rest.n_sft * money["price_sft"] / money["budget"])
    return PlannedCell(branch.name, axes, filled)


def _resolved(parent: str, keys: Mapping[str, str]) -> str | None:
    """A key stays; `@a|b` is the first of these roles that the branch has, else None; `@a?` may be absent: ""."""
    if not parent.startswith("@"):
        return parent
    roles = parent[1:].removesuffix("?").split("|")
    return next((keys[role] for role in roles if role in keys), "" if parent.endswith("?") else None)


def branch_stage(role: str, stage: Stage, rows: str | None = None) -> BranchStage:
    """Describe a stage of a branch; its parents may be `@role`.

    Args:
        role: Its role in the cell.
        stage: A stage whose parents are keys or `@role`.
        rows: `n_sft` or `n_pft` for a data stage whose size is that number.
    """
    return BranchStage(
        role=role,
        stage=stage.name,
        revision=stage.revision,
        identity=stage.identity.model_dump(mode="json"),
        parents=dict(stage.parents),
        rows=rows,
    )
