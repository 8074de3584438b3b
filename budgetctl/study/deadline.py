"""Whether a stage still fits into the time a job has left, judged by what the store remembers.

Only stages that start over when interrupted matter: one that checkpoints loses nothing at a time limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from budgetctl.study.board import SharedState
from budgetctl.study.plan import Plan
from store import AttemptRecord

CONTINUES = frozenset({"base", "sft", "trunk", "fork", "pft", "gen"})
"""Stages that save what they have done and go on from there."""
_SAMPLE = 5
_MARGIN = 1.2


@dataclass(frozen=True)
class TimeLimit:
    """When a job was started and when its workers should be done, in seconds since 1970."""

    started: float
    ends: float


def seconds_of(attempt: AttemptRecord) -> float | None:
    """How long an attempt lasted; None if its end is unknown."""
    if not attempt.ended:
        return None
    return (datetime.fromisoformat(attempt.ended) - datetime.fromisoformat(attempt.started)).total_seconds()


class Forecast:
    """Expected seconds of the plan's stages, from attempts at the same and at similar stages."""

    def __init__(self, plan: Plan, shared: SharedState) -> None:
        self._plan, self._shared = plan, shared
        self._similar: dict[tuple[str, ...], list[str]] = {}
        for key in plan.stages:
            self._similar.setdefault(self._sort_of(key), []).append(key)

    def _sort_of(self, key: str) -> tuple[str, ...]:
        """Stages that are alike: the same kind over the same base and the same rows."""
        payload = self._plan.stages[key]
        roles = ("base", "prompts") if payload.stage == "gen" else ("base", "data")
        return (payload.stage, *(payload.parents.get(role, "") for role in roles))

    def seconds(self, key: str, present: Iterable[str]) -> float | None:
        """Return how long the stage should take, None if nothing is known.

        An attempt that was interrupted or failed took less than the stage needs, so it is a lower bound.
        """
        bounds = [s for s in map(seconds_of, self._shared.attempts(key)) if s is not None]
        there = set(present)
        known = [
            seconds
            for other in [k for k in self._similar[self._sort_of(key)] if k in there][:_SAMPLE]
            for attempt in self._shared.attempts(other)
            if attempt.outcome == "published" and (seconds := seconds_of(attempt)) is not None
        ]
        if known:
            bounds.append(median(known) * _MARGIN)
        return max(bounds, default=None)
