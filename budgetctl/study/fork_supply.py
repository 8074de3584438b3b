"""Whether the sources hold the pairs that forks ask for: foretold in the plan, before a trunk has run.

A count of examples says exactly how many demonstrations its fork will have seen. A metric may fire at any evaluation,
and the earlier it does, the more pairs are left to buy. What can never be had is refused, what may not be had is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from budgetctl.forking.schedule import evaluation_steps, step_after
from budgetctl.forking.triggers import ExamplesTrigger, PlateauTrigger, Trigger
from budgetctl.stages.data import DataIdentity
from budgetctl.stages.fork import Anneal, ForkIdentity
from budgetctl.stages.trunk import TrunkIdentity
from budgetctl.study.branches import cell_of
from budgetctl.study.fork_plan import FORK
from budgetctl.study.plan import Branch, Plan
from budgetctl.study.row_counter import RowCounter
from store import Payload, Store

PAIRS = "pft-data"


@dataclass(frozen=True)
class ForkPoint:
    """Where a trigger may fire."""

    examples: int
    """Rows processed by then."""
    distinct: int
    """Different rows that the fork has seen, annealing's included: what it has cost."""


@dataclass(frozen=True)
class Foretold:
    """What is wrong with a study's forks, one sentence each."""

    refused: Sequence[str]
    """Whose pairs can never be had."""
    doubted: Sequence[str]
    """Whose pairs may not be had, as their metric decides or has decided."""


def foretold(plan: Plan, store: Store, counter: RowCounter) -> Foretold:
    """Look for the pairs of every fork, wherever its trigger may fire.

    A published fork is judged by where it fired; it is too late to refuse one whose metric has decided.
    """
    branches = [branch for branch in plan.branches if branch.axes["role"] == FORK]
    there = store.many_has({branch.fork for branch in branches})
    pairs = _Pairs(store, counter)
    refused: list[str] = []
    doubted: list[str] = []
    for branch in branches:
        trigger = ForkIdentity.model_validate(plan.stages[branch.fork].identity).trigger
        published = there[branch.fork]
        points = _fired(store.artifact(branch.fork).metrics) if published else points_of(plan, branch)
        if not points or not (most := pairs.refused(branch, points[0])):
            continue
        enough = next((point for point in points if not pairs.refused(branch, point)), None)
        if enough is not None:
            doubted.append(
                f"{branch.name} cannot be had if it fires before {enough.examples} examples: {most}"
            )
        else:
            decided = published and not isinstance(trigger, ExamplesTrigger)
            sentence = f"{branch.name} cannot be had: {pairs.refused(branch, points[-1])}"
            (doubted if decided else refused).append(sentence)
    return Foretold(refused, doubted)


def points_of(plan: Plan, branch: Branch) -> list[ForkPoint]:
    """Where the trigger of a branch may fire, the earliest point first; none if the run is too short for it."""
    from budgetctl.training.order import RowOrder  # noqa: PLC0415  (numpy)

    fork = ForkIdentity.model_validate(plan.stages[branch.fork].identity)
    trunk = TrunkIdentity.model_validate(plan.stages[branch.axes["trunk"]].identity)
    settings = trunk.settings
    rows = int(plan.stages[branch.before["sft-data"]].identity["size"])
    order = RowOrder(rows, settings.epochs, settings.batch_size, trunk.seed)
    steps = _steps(fork.trigger, trunk.watch.every, order)
    warm_up = min(math.ceil(settings.optimizer.warmup * order.steps), order.steps - 1)
    return [_point(order, step, None if _rate_is_zero(step, warm_up) else fork.anneal) for step in steps]


def _steps(trigger: Trigger, every: int, order: Any) -> Sequence[int]:
    if isinstance(trigger, ExamplesTrigger):
        return (step_after(trigger.at, order.batch_size),)
    evaluations = evaluation_steps(every, order.batch_size, order.steps)
    return evaluations[trigger.patience :] if isinstance(trigger, PlateauTrigger) else evaluations


def _rate_is_zero(step: int, warm_up: int) -> bool:
    """Whether a state has no learning rate to anneal: before the first step, or after the first of a warm-up."""
    return step == 0 or (step == 1 and warm_up > 0)


def _point(order: Any, step: int, anneal: Anneal | None) -> ForkPoint:
    examples = step * order.batch_size
    more = (
        0
        if anneal is None
        else step_after(anneal.examples_after(examples), order.batch_size) * order.batch_size
    )
    return ForkPoint(examples, order.distinct(examples + more))


def _fired(facts: Mapping[str, Any]) -> list[ForkPoint]:
    return [ForkPoint(int(facts["examples"]), int(facts["distinct"]))] if facts["fired"] else []


class _Pairs:
    """Asks for the pairs of a branch at a point, for each distinct set of them once."""

    def __init__(self, store: Store, counter: RowCounter) -> None:
        self._store, self._counter = store, counter
        self._known: dict[str, str] = {}

    def refused(self, branch: Branch, point: ForkPoint) -> str:
        """Why the pairs cannot be had; an empty text if they can, or if there are none to buy."""
        stages: dict[str, Payload] = {}
        cell = cell_of(branch, {"distinct": point.distinct}, branch.fork, stages)
        if cell is None or PAIRS not in cell.stages:
            return ""
        key = cell.stages[PAIRS]
        if key not in self._known:
            self._known[key] = "" if self._store.has(key) else self._look(stages[key])
        return self._known[key]

    def _look(self, pairs: Payload) -> str:
        return self._counter.find(DataIdentity.model_validate(pairs.identity), pairs.parents).refused
