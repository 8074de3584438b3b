"""The worker: claim a ready stage by its lease, run it, publish it, take the next.

There is no coordinator. Any number of workers, on any machines that share the store, run this loop over the
same plan; dependencies, dead workers, requeued jobs and two studies that share stages are all this mechanism.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from budgetctl.console import Reporter
from budgetctl.errors import InterruptedRunError
from budgetctl.stages.catalog import stage_from
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution
from budgetctl.study.plan import Plan
from budgetctl.study.state import MAX_FAILURES, given_up, missing_of
from store import Payload, Store
from store.errors import CorruptArtifact, LeasedElsewhere, LeaseLost

WAIT_FIRST_S, WAIT_MOST_S = 0.2, 5.0


@dataclass
class WorkerResult:
    """What one worker did."""

    ran: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Key → the last error, for stages given up by this or another worker."""
    interrupted: bool = False


@dataclass(frozen=True)
class RetryPolicy:
    """How often a stage may fail before its descendants are given up."""

    max_failures: int = MAX_FAILURES
    forgive_before: str = ""
    """ISO time (UTC) before which failures do not count (`run --retry-failed`)."""


class Worker:
    """Runs a plan's stages until none remains that it could run."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        execution: Execution,
        reporter: Reporter,
        should_stop: Callable[[], bool],
        retry: RetryPolicy,
    ) -> None:
        self._plan, self._store, self._execution = plan, store, execution
        self._reporter, self._should_stop, self._retry = reporter, should_stop, retry
        self._present: set[str] = set()
        self._depths = plan.depths()
        self._keep: dict[str, object] = {}
        self._last_base: str | None = None

    def run(self) -> WorkerResult:
        """Work until everything is published, given up, or a stop is asked for."""
        result = WorkerResult()
        wait_s = WAIT_FIRST_S
        while not self._should_stop():
            ready, unfinished, result.failed = self._look()
            if not unfinished:
                return result
            if self._take_one(ready, result):
                wait_s = WAIT_FIRST_S
            elif result.interrupted:
                return result
            else:
                time.sleep(wait_s)
                wait_s = min(wait_s * 1.5, WAIT_MOST_S)
        result.interrupted = True
        return result

    def _look(self) -> tuple[list[str], set[str], dict[str, str]]:
        """Return the ready stages in the order to try, all that remain to be done, and those given up."""
        missing = missing_of(self._plan, self._store, self._present)
        self._present = set(self._plan.stages) - missing
        lost = given_up(self._store, missing, self._retry.max_failures, self._retry.forgive_before)
        unfinished = missing - set(lost) - self._plan.descendants(lost)
        ready = [
            key
            for key in unfinished
            if all(parent in self._present for parent in self._plan.stages[key].parents.values())
        ]
        ready.sort(key=lambda key: (not self._is_loaded(key), -self._depths[key], key))
        return ready, unfinished, lost

    def _is_loaded(self, key: str) -> bool:
        """Whether this worker already holds the base model that the stage needs."""
        return self._plan.stages[key].parents.get("base") in (None, self._last_base)

    def _take_one(self, ready: list[str], result: WorkerResult) -> bool:
        """Run the first ready stage that nobody else holds; False when there was none."""
        for key in ready:
            if self._should_stop():
                return False
            payload = self._plan.stages[key]
            try:
                outcome = execute(
                    stage_from(payload), self._store, self._execution, self._reporter,
                    should_stop=self._should_stop, keep=self._keep,
                )  # fmt: skip
            except LeasedElsewhere:
                continue
            except LeaseLost as error:
                self._reporter.say(f"{payload.stage} {key[:12]}: {error}; leaving it to the new holder")
                return True
            except InterruptedRunError as error:
                self._reporter.say(f"{payload.stage} {key[:12]}: {error}")
                result.interrupted = True
                return False
            except CorruptArtifact as error:
                self._set_aside_corrupt(payload, error)
                return True
            except (
                Exception
            ) as error:  # one stage must not take the others down; its attempt records the reason
                self._reporter.say(f"{payload.stage} {key[:12]} failed: {type(error).__name__}: {error}")
                self._keep.clear()
                return True
            self._last_base = payload.parents.get("base", self._last_base)
            self._present.add(key)
            if not outcome.hit:
                result.ran.append(key)
                self._reporter.say(
                    f"{payload.stage} {key[:12]}  {_headline(outcome.artifact.metrics)}{outcome.wall_s:.1f} s"
                )
            return True
        return False

    def _set_aside_corrupt(self, payload: Payload, error: CorruptArtifact) -> None:
        """Quarantine the damaged parents of a stage, so that the loop computes them again."""
        for parent in payload.parents.values():
            try:
                self._store.artifact(parent)
            except CorruptArtifact as found:
                self._store.quarantine(parent, str(found))
                self._present.discard(parent)
                self._reporter.say(f"{self._plan.stages[parent].stage} {parent[:12]} set aside: {found}")
        self._reporter.say(f"{payload.stage} {payload.key[:12]} waits for its parents: {error}")


def _headline(metrics: object) -> str:
    """The one figure worth a log line: the primary score or the loss."""
    if not isinstance(metrics, dict):
        return ""
    name = metrics.get("primary") or next((n for n in ("loss", "rows", "answers") if n in metrics), None)
    value = metrics.get(name) if isinstance(name, str) else None
    return f"{name} {value:.4g}  " if isinstance(value, int | float) else ""
