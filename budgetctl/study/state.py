"""Where a plan stands: what is published, running, ready, blocked or failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from budgetctl.study.plan import Plan
from store import AttemptRecord, Store

MAX_FAILURES = 2
"""Failed attempts after which a stage is given up and its descendants are blocked."""
MAX_DEATHS = 5
"""Attempts without an end (their worker was killed) after which a stage is given up."""


class StageState(StrEnum):
    """What can be said of one planned stage."""

    HIT = "hit"
    RUNNING = "running"
    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class PlanState:
    """The state of every stage at one moment."""

    stages: Mapping[str, StageState]
    holders: Mapping[str, str]
    """Key of a running stage → who holds its lease."""
    failures: Mapping[str, str]
    """Key of a failed stage → its last error line."""

    def count(self, state: StageState) -> int:
        """How many stages are in `state`."""
        return sum(1 for s in self.stages.values() if s is state)

    def by_kind(self, plan: Plan) -> Mapping[str, Counter[StageState]]:
        """Stage name → how many are in which state, in the plan's order."""
        kinds: dict[str, Counter[StageState]] = {}
        for key, state in self.stages.items():
            kinds.setdefault(plan.stages[key].stage, Counter())[state] += 1
        return kinds


def missing_of(plan: Plan, store: Store, known: Set[str] = frozenset()) -> set[str]:
    """Planned stages that are not published; `known` ones are not looked up again."""
    return {key for key, there in store.many_has(set(plan.stages) - known).items() if not there}


def reason_to_give_up(
    attempts: Sequence[AttemptRecord],
    max_failures: int,
    forgive_before: str = "",
    forgive_deaths_before: str = "",
) -> str | None:
    """Why a stage should not be tried again; None if it should.

    A stage in which workers die without a word (out of memory, a crash of a library) must not take every worker
    of a study with it, so deaths count too. They may also be a node's fault, so more of them are allowed.

    Args:
        attempts: All attempts at a stage that nobody works on now, oldest first.
        max_failures: How many failures are too many.
        forgive_before: ISO time (UTC); attempts that started before it do not count.
        forgive_deaths_before: The same for attempts whose worker died without a word.
    """
    counted = [attempt for attempt in attempts if attempt.started >= forgive_before]
    failures = [attempt for attempt in counted if attempt.outcome == "failed"]
    if len(failures) >= max_failures:
        return failures[-1].reason
    deaths = [a for a in counted if not a.outcome and a.started >= forgive_deaths_before]
    if len(deaths) >= MAX_DEATHS:
        return f"{len(deaths)} workers died in it without a word, the last was {deaths[-1].holder.describe()}"
    return None


def given_up(
    store: Store,
    keys: Iterable[str],
    max_failures: int,
    forgive_before: str = "",
    forgive_deaths_before: str = "",
) -> dict[str, str]:
    """Key → last error of every stage that has failed too often.

    Args:
        store: Where attempts are recorded.
        keys: Stages that are not published and that nobody works on.
        max_failures: How many failures are too many.
        forgive_before: ISO time (UTC); attempts that started before it do not count.
        forgive_deaths_before: The same for attempts whose worker died without a word.
    """
    forgiven = (max_failures, forgive_before, forgive_deaths_before)
    judged = {key: reason_to_give_up(store.attempts(key), *forgiven) for key in keys}
    return {key: reason for key, reason in judged.items() if reason is not None}


def holders_of(store: Store, keys: set[str]) -> dict[str, str]:
    """Key → who works on it, for leases whose holder is not known to be dead."""
    return {
        lease.name: lease.describe()
        for lease in store.leases()
        if lease.name in keys and (lease.holder is None or not lease.holder.is_dead())
    }


def state_of(
    plan: Plan,
    store: Store,
    max_failures: int = MAX_FAILURES,
    forgive_before: str = "",
    forgive_deaths_before: str = "",
) -> PlanState:
    """Look at the store once and say where every stage of the plan stands."""
    missing = missing_of(plan, store)
    holders = holders_of(store, missing)
    failed = given_up(store, missing - set(holders), max_failures, forgive_before, forgive_deaths_before)
    blocked = plan.descendants(failed)
    states = {}
    for key, payload in plan.stages.items():
        if key not in missing:
            states[key] = StageState.HIT
        elif key in holders:
            states[key] = StageState.RUNNING
        elif key in failed:
            states[key] = StageState.FAILED
        elif key in blocked:
            states[key] = StageState.BLOCKED
        elif missing.isdisjoint(payload.parents.values()):
            states[key] = StageState.READY
        else:
            states[key] = StageState.WAITING
    return PlanState(states, holders, failed)
