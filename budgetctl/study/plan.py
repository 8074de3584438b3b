"""The plan: a study's stages as one graph in which each distinct stage stands once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from budgetctl.errors import UsageError
from store import Payload

PLAN_SCHEMA = 2


@dataclass(frozen=True)
class PlannedCell:
    """A cell with the keys of its stages, all known before anything runs."""

    name: str
    axes: Mapping[str, Any]
    """base, task, method, budget, share, seed, n_sft, n_pft, left_over; `share` is None for the base itself."""
    stages: Mapping[str, str]
    """Role → key, in the order they run."""

    @property
    def result(self) -> str:
        """Key of the evaluation."""
        return self.stages["eval"]


@dataclass(frozen=True)
class BranchStage:
    """A stage of a branch, with holes that the fork fills (budgetctl.study.branches)."""

    role: str
    stage: str
    revision: int
    identity: Mapping[str, Any]
    parents: Mapping[str, str]
    """Role → key, or `@role` of a stage of the same branch, `@role?` where it may be missing."""
    rows: str | None = None
    """`n_sft` or `n_pft`: which number becomes the identity's `size`."""


@dataclass(frozen=True)
class Branch:
    """What follows a fork once it is published: a cell whose numbers of rows the fork decides."""

    name: str
    axes: Mapping[str, Any]
    """base, task, method, budget, seed, role, fork (the trigger), trunk, fork_key and the two prices."""
    fork: str
    """Key of the fork stage."""
    before: Mapping[str, str]
    """Role → key of the stages that lead to the fork."""
    stages: tuple[BranchStage, ...]


@dataclass(frozen=True)
class Plan:
    """Everything a worker needs: it never reads the recipe again."""

    name: str
    recipe: Mapping[str, Any]
    cells: tuple[PlannedCell, ...]
    stages: dict[str, Payload]
    """Key → payload, parents before children."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Content hash of a local source → where it lies on this machine; says how to run, enters no key."""
    branches: tuple[Branch, ...] = ()
    """What will be added when forks are published."""

    def document(self) -> dict[str, Any]:
        """The plan as JSON values, for `Store.save_plan`."""
        return {
            "schema": PLAN_SCHEMA,
            "name": self.name,
            "recipe": dict(self.recipe),
            "cells": [
                {"name": c.name, "axes": dict(c.axes), "stages": dict(c.stages), "result": c.result}
                for c in self.cells
            ],
            "stages": [{"key": key, **payload.document()} for key, payload in self.stages.items()],
            "sources": dict(self.sources),
            "branches": [asdict(branch) for branch in self.branches],
            "roots": sorted({cell.result for cell in self.cells}),
        }

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Plan:
        """Read a stored plan.

        Raises:
            UsageError: It was written by a newer version, or its keys do not match its payloads.
        """
        if document.get("schema") != PLAN_SCHEMA:
            raise UsageError(
                f"the stored plan has schema {document.get('schema')!r}, this version reads {PLAN_SCHEMA}; plan again"
            )
        stages = {}
        for entry in document["stages"]:
            payload = Payload.from_document({name: value for name, value in entry.items() if name != "key"})
            if payload.key != entry["key"]:
                raise UsageError(
                    f"the stored plan names stage {entry['key'][:12]}, but its description hashes to "
                    f"{payload.key[:12]}: the file was edited or written by another key recipe; plan again"
                )
            stages[payload.key] = payload
        cells = tuple(PlannedCell(c["name"], c["axes"], c["stages"]) for c in document["cells"])
        branches = tuple(
            Branch(**{**entry, "stages": tuple(BranchStage(**stage) for stage in entry["stages"])})
            for entry in document["branches"]
        )
        return Plan(document["name"], document["recipe"], cells, stages, document["sources"], branches)

    def children(self) -> dict[str, list[str]]:
        """Key → keys of the stages that read it."""
        children: dict[str, list[str]] = {key: [] for key in self.stages}
        for key, payload in self.stages.items():
            for parent in payload.parents.values():
                if parent in children:
                    children[parent].append(key)
        return children

    def depths(self) -> dict[str, int]:
        """Key → number of stages on the longest way from it to a result; deeper ones are more urgent."""
        children = self.children()
        depths: dict[str, int] = {}
        for key in reversed(self.stages):
            depths[key] = 1 + max((depths[child] for child in children[key]), default=0)
        return depths

    def descendants(self, keys: Iterable[str]) -> set[str]:
        """Every stage that needs one of `keys`, directly or not."""
        children = self.children()
        found: set[str] = set()
        front = list(keys)
        while front:
            for child in children.get(front.pop(), ()):
                if child not in found:
                    found.add(child)
                    front.append(child)
        return found

    def only(self, stage: str) -> Plan:
        """The part of the plan that consists of `stage`s and whatever they need; it has no cells."""
        wanted = {key for key, payload in self.stages.items() if payload.stage == stage}
        for key in reversed(self.stages):
            if key in wanted:
                wanted.update(self.stages[key].parents.values())
        stages = {key: payload for key, payload in self.stages.items() if key in wanted}
        return Plan(f"{self.name}-{stage}", self.recipe, (), stages, self.sources)

    def cells_needing(self, key: str) -> Iterator[PlannedCell]:
        """The cells whose stages include `key`."""
        return (cell for cell in self.cells if key in cell.stages.values())
