"""A worker's view of its plan: what is there, what could run next, and who holds what, for few file operations.

Hundreds of workers poll one store, so a look costs one listing of the leases and one test for each stage whose
lease is gone since the last look. A stage that was published unseen is noticed when this worker tries to claim it,
and one whose parents are missing needs no test at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from budgetctl.study.plan import Plan
from store import AttemptRecord, Store
from store.errors import LeasedElsewhere
from store.process import Holder


class SharedState(Protocol):
    """What a worker asks of the store, beside running a stage."""

    def present(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that are published."""

    def leased(self) -> set[str]:
        """Keys that have a lease, of a living holder or a dead one."""

    def version(self) -> int:
        """A number that changes when a lease comes or goes."""

    def abandoned(self, key: str) -> bool:
        """Whether the lease on `key` may be taken over; judging another host takes several looks."""

    def attempts(self, key: str) -> Sequence[AttemptRecord]:
        """What was tried at `key`, oldest first."""

    def metrics(self, key: str) -> Mapping[str, Any]:
        """The metrics of a published artifact."""

    def keep_plan(self, plan: Plan) -> None:
        """Store a plan that has grown, so that what was added to it is collected as little as the rest."""

    def tidy(self, keys: set[str]) -> None:
        """Remove what killed attempts at published `keys` left behind."""


class StoreState:
    """The shared state in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._leases = store.root / "leases"

    def present(self, keys: Iterable[str]) -> set[str]:
        return {key for key, there in self._store.many_has(keys).items() if there}

    def leased(self) -> set[str]:
        return set(os.listdir(self._leases))  # noqa: PTH208  (names are all that is wanted)

    def version(self) -> int:
        return self._leases.stat().st_mtime_ns

    def abandoned(self, key: str) -> bool:
        return self._store.abandoned(key)

    def attempts(self, key: str) -> Sequence[AttemptRecord]:
        return self._store.attempts(key)

    def metrics(self, key: str) -> Mapping[str, Any]:
        return self._store.artifact(key).metrics

    def keep_plan(self, plan: Plan) -> None:
        self._store.save_plan(plan.document())

    def tidy(self, keys: set[str]) -> None:
        for key in self.leased() & keys:
            try:
                with self._store.lease(key, note="tidying up"):
                    pass
            except LeasedElsewhere:
                continue
        self._remove_drafts(keys)

    def _remove_drafts(self, keys: set[str]) -> None:
        from store.draft import draft_owner_lives, find_drafts  # noqa: PLC0415
        from store.files import remove_tree  # noqa: PLC0415

        me = Holder.current()
        for folder in find_drafts(self._store.layout):
            mine = f".{me.pid}.{me.started}." in folder.name
            if folder.name.partition(".")[0] in keys and (mine or draft_owner_lives(folder) is False):
                remove_tree(folder)


class Board:
    """Which stages of a plan are done, possible, leased or lost, as far as this worker has seen."""

    def __init__(self, plan: Plan, shared: SharedState) -> None:
        self._plan, self._shared = plan, shared
        self._children = plan.children()
        self.lost: dict[str, str] = {}
        """Key → reason, for stages that are given up."""
        self.leased: set[str] = set()
        self.present: set[str] = set()
        self._frontier: set[str] = set()
        self.reset()

    def follow(self, plan: Plan) -> None:
        """Go on with a plan that has grown."""
        self._plan, self._children = plan, plan.children()
        self.reset()

    def reset(self) -> None:
        """Look at every stage anew, from the plan's sources upward as far as stages are published."""
        self.present, self._frontier = set(), set()
        roots = {key for key in self._plan.stages if self._has_parents(key)}
        self._frontier |= roots
        self._follow(self._shared.present(roots))

    def refresh(self) -> None:
        """Look at the leases, and at every possible stage whose lease is gone since the last look."""
        before, self.leased = self.leased, self._shared.leased()
        gone = (before - self.leased) & self._frontier
        if gone:
            self._follow(self._shared.present(gone))

    def _follow(self, published: set[str]) -> None:
        """Note published stages, then look whether those they made possible are published too."""
        while published:
            opened = set()
            for key in published:
                opened |= self.publish(key)
            published = self._shared.present(opened) if opened else set()

    def publish(self, key: str) -> set[str]:
        """Note that a stage is there; returns the stages that became possible."""
        self.present.add(key)
        self._frontier.discard(key)
        opened = {
            child for child in self._children[key] if child not in self.present and self._has_parents(child)
        }
        self._frontier |= opened
        return opened

    def give_up(self, key: str, reason: str) -> None:
        """Note that a stage has failed too often; what depends on it is blocked."""
        self.lost[key] = reason

    @property
    def possible(self) -> set[str]:
        """Stages whose parents are there, that are neither published nor given up."""
        return self._frontier - set(self.lost)

    def _has_parents(self, key: str) -> bool:
        return all(
            parent in self.present or parent not in self._plan.stages
            for parent in self._plan.stages[key].parents.values()
        )
