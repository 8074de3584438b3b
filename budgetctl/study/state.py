"""Where a plan stands: what is published, running, ready, blocked or failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from budgetctl.study.plan import Plan
from store import Store


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


def failed_attempts(store: Store, keys: set[str], since: str = "") -> dict[str, tuple[int, str]]:
    """Key → number of failed attempts after the attempt `since`, and the last one's error line."""
    failures: dict[str, tuple[int, str]] = {}
    for record in store.attempts():
        if record.key in keys and record.outcome == "failed" and record.id > since:
            count = failures.get(record.key, (0, ""))[0]
            failures[record.key] = (count + 1, record.reason or "no reason recorded")
    return failures


def state_of(plan: Plan, store: Store, max_failures: int = 2) -> PlanState:
    """Look at the store once and say where every stage of the plan stands."""
    present = store.many_has(plan.stages)
    missing = {key for key in plan.stages if key not in present}
    holders = {lease.key: lease.holder for lease in store.leases() if lease.key in missing} if missing else {}
    failures = failed_attempts(store, missing) if missing else {}
    failed = {key: reason for key, (count, reason) in failures.items() if count >= max_failures}
    blocked = plan.descendants(failed)
    states = {}
    for key, payload in plan.stages.items():
        if key in present:
            states[key] = StageState.HIT
        elif key in holders:
            states[key] = StageState.RUNNING
        elif key in failed:
            states[key] = StageState.FAILED
        elif key in blocked:
            states[key] = StageState.BLOCKED
        elif all(parent in present for parent in payload.parents.values()):
            states[key] = StageState.READY
        else:
            states[key] = StageState.WAITING
    return PlanState(states, holders, failed)


def last_attempt(store: Store) -> str:
    """Id of the newest attempt in the store, or "" when there is none."""
    return max((record.id for record in store.attempts()), default="")
