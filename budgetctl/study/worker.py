"""The worker: claim a possible stage by its lease, run it, publish it, take the next.

There is no coordinator. Any number of workers, on any machines that share the store, run this loop over the
same plan; dependencies, dead workers, requeued jobs and two studies that share stages are all this mechanism.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from budgetctl.console import Reporter
from budgetctl.errors import BudgetctlError, InterruptedRunError, MissingParentError
from budgetctl.study.board import Board, SharedState
from budgetctl.study.branches import grown
from budgetctl.study.clock import Clock, SystemClock
from budgetctl.study.deadline import CONTINUES, Forecast, TimeLimit
from budgetctl.study.plan import Plan
from budgetctl.study.state import MAX_FAILURES, reason_to_give_up
from store import Payload
from store.errors import CorruptArtifact, LeasedElsewhere, LeaseLost, NoSpace

WAIT_FIRST_S = 0.2
WAIT_MOST_S = 2.0
WAIT_PER_LEASE_S = 0.02
"""The longest wait between two looks grows with the leases held, so that many workers together ask no more often
than a few dozen times a second."""
LOOK_ANYWAY_S = 30.0
"""A waiting worker looks at everything this often even when no lease came or went."""
DOUBTED_AT_ONCE = 8
"""How many held leases a worker without work reads at a time, to take over those of dead holders."""


class Runner(Protocol):
    """How a worker runs a stage; the real one is `budgetctl.study.running.StageRunner`."""

    def run(self, payload: Payload, plan: Plan) -> str | None:
        """Run a stage, unless another worker has it, and return a line about it, or None if it was there already.

        Args:
            payload: The stage.
            plan: As far as it has grown; says which cells need the stage.

        Raises:
            LeasedElsewhere, LeaseLost: Another worker has it.
            InterruptedRunError: It was asked to stop, and saved what it had.
            MissingParentError, CorruptArtifact: A parent is not as it was.
            NoSpace: The disk is full.
            Exception: Whatever else made the stage fail.
        """

    def beside(self, payload: Payload, others: Iterable[Payload]) -> Sequence[Payload]:
        """Which of `others`, in their order, it would run side by side with a stage; none where that does not pay."""

    def run_side_by_side(self, payloads: Sequence[Payload], plan: Plan) -> Sequence[Future[str | None]]:
        """Run a stage and what it said would go beside it, until all have ended; each as `run` would have."""

    def forget(self) -> None:
        """Let go of models and engines, which a failed stage may have left in any state."""

    def set_aside_corrupt(self, payload: Payload) -> None:
        """Quarantine the damaged parents of a stage, so that they are computed again."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a stage may fail before its descendants are given up."""

    max_failures: int = MAX_FAILURES
    forgive_before: str = ""
    """ISO time (UTC) before which failures do not count (`run --retry-failed`)."""
    forgive_deaths_before: str = ""
    """ISO time (UTC) before which workers that died without a word do not count: whoever calls `run` again may have
    killed them."""


@dataclass
class WorkerResult:
    """What one worker did."""

    ran: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Key → the last error, for stages given up by this or another worker."""
    interrupted: bool = False
    out_of_time: bool = False
    """It ended because what remained would not have fitted into its job."""
    tainted: bool = False
    """A stage failed in this process; a fresh one should go on if a GPU was in use."""


class _Try(Enum):
    WORKED = auto()
    FOUND = auto()
    """Another worker had published it."""
    TAKEN = auto()
    STOPPED = auto()


class Worker:
    """Runs a plan's stages until none remains that it could run."""

    def __init__(
        self,
        plan: Plan,
        shared: SharedState,
        runner: Runner,
        reporter: Reporter,
        should_stop: Callable[[], bool],
        retry: RetryPolicy | None = None,
        limit: TimeLimit | None = None,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        stop_when_tainted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._plan, self._shared, self._runner, self._reporter = plan, shared, runner, reporter
        self._should_stop, self._retry, self._limit = should_stop, retry or RetryPolicy(), limit
        self._clock, self._rng = clock or SystemClock(), rng or random.Random()
        self._stop_when_tainted = stop_when_tainted
        self._board = Board(plan, shared)
        self._forecast = Forecast(plan, shared)
        self._depths = plan.depths()
        self._ungrown = {branch.fork for branch in plan.branches}
        self._errors: Counter[str] = Counter()
        self._too_long: dict[str, float] = {}
        self._last: Payload | None = None
        self._looked_at = (-1, float("-inf"))
        self._most_leases = 0
        self._result = WorkerResult()

    @property
    def plan(self) -> Plan:
        """The plan, with what published forks have added to it so far."""
        return self._plan

    def run(self) -> WorkerResult:
        """Work until everything is published or given up, nothing fits any more, or a stop is asked for.

        Raises:
            NoSpace: The disk is full, so that every other stage would fail too.
            BudgetctlError: What remains can never fit into a job of this length.
        """
        result, wait_s, tried = self._result, WAIT_FIRST_S, _Try.WORKED
        while not self._should_stop():
            tried = self._take_one() if self._look(tried is _Try.WORKED) else _Try.TAKEN
            if tried is _Try.TAKEN:
                tried = self._take_over_one()
            result.failed = dict(self._board.lost)
            if tried is _Try.STOPPED:
                return result
            if self._grow():
                tried, wait_s = _Try.WORKED, WAIT_FIRST_S
                continue
            if not self._board.possible:
                self._shared.tidy(self._board.present)
                return result
            if tried is _Try.WORKED:
                wait_s = WAIT_FIRST_S
                continue
            if self._too_long.keys() >= self._board.possible:
                return self._out_of_time()
            self._clock.sleep(wait_s * self._rng.uniform(0.8, 1.2))
            wait_s = min(wait_s * 1.5, max(WAIT_MOST_S, WAIT_PER_LEASE_S * self._most_leases))
        result.interrupted = True
        return result

    def _look(self, after_work: bool) -> bool:
        """Look at the leases after own work, if one came or went since the last look, or if that is long ago."""
        version, now = self._shared.version(), self._clock.monotonic()
        if not after_work and version == self._looked_at[0] and now - self._looked_at[1] < LOOK_ANYWAY_S:
            return False
        self._looked_at = (version, now)
        self._board.refresh()
        self._most_leases = max(self._most_leases, len(self._board.leased))
        return True

    def _grow(self) -> bool:
        """Add what follows the forks that were published since the last look; whether there was any."""
        published = self._ungrown & self._board.present
        if not published:
            return False
        self._ungrown -= published
        self._plan = grown(self._plan, self._facts_of)
        self._board.follow(self._plan)
        self._forecast = Forecast(self._plan, self._shared)
        self._depths = self._plan.depths()
        self._shared.keep_plan(self._plan)
        return True

    def _facts_of(self, fork: str) -> Mapping[str, Any] | None:
        return self._shared.metrics(fork) if fork in self._board.present else None

    def _take_one(self) -> _Try:
        """Run the best possible stage that nobody holds."""
        board = self._board
        found = False
        ready = sorted(board.possible - board.leased, key=self._preference)
        for place, key in enumerate(ready):
            if self._should_stop():
                self._result.interrupted = True
                return _Try.STOPPED
            if key in board.leased or key in board.present or key in board.lost:
                continue  # it went beside another one
            if self._is_lost(key) or not self._fits(key):
                continue
            tried = self._try(key, self._beside(key, ready[place + 1 :]))
            if tried is _Try.FOUND:
                found = True
            elif tried is not _Try.TAKEN:
                return tried
        return _Try.WORKED if found else _Try.TAKEN

    def _take_over_one(self) -> _Try:
        """Run a stage whose holder is dead. The more workers wait, the fewer leases each of them reads."""
        held = sorted(self._board.possible & self._board.leased)
        waiting = max(1, self._most_leases - len(self._board.leased))
        several = min(len(held), max(1, min(DOUBTED_AT_ONCE, DOUBTED_AT_ONCE * len(held) // waiting)))
        for key in self._rng.sample(held, several):
            if self._shared.abandoned(key) and self._fits(key):
                self._board.leased.discard(key)
                if self._is_lost(key):
                    return _Try.WORKED
                tried = self._try(key)
                if tried is not _Try.TAKEN:
                    return _Try.WORKED if tried is _Try.FOUND else tried
        return _Try.TAKEN

    def _preference(self, key: str) -> tuple[float, ...]:
        """Order of claiming: no repeated failures, nothing to load, the longest way ahead, and else by chance.

        Chance keeps workers that start together from queueing at the same lease.
        """
        return (
            self._errors[key],
            self._loading(self._plan.stages[key]),
            -self._depths[key],
            self._rng.random(),
        )

    def _loading(self, payload: Payload) -> int:
        """0: nothing to load; 1: another use of the base model that is loaded; 2: another base model."""
        base = payload.parents.get("base")
        if base is None:
            return 0
        if self._last is None or self._last.parents.get("base") != base:
            return 2
        return 0 if (self._last.stage == "gen") == (payload.stage == "gen") else 1

    def _is_lost(self, key: str) -> bool:
        """Whether the stage has failed too often, here or anywhere; a held one is left to its holder."""
        if key in self._board.leased:
            return False
        policy = self._retry
        reason = reason_to_give_up(
            self._shared.attempts(key),
            policy.max_failures,
            policy.forgive_before,
            policy.forgive_deaths_before,
        )
        if reason is None and self._errors[key] >= policy.max_failures:
            reason = f"it failed {self._errors[key]} times before its work began; see the worker's log"
        if reason is not None:
            self._board.give_up(key, reason)
            self._say(self._plan.stages[key], f"given up: {reason}")
        return reason is not None

    def _fits(self, key: str) -> bool:
        """Whether the stage can be expected to end, or to save its work, before this job does."""
        if self._limit is None or self._plan.stages[key].stage in CONTINUES:
            return True
        needed = self._forecast.seconds(key, self._board.present)
        if needed is None or self._clock.time() + needed <= self._limit.ends:
            return True
        self._too_long[key] = needed
        return False

    def _out_of_time(self) -> WorkerResult:
        assert self._limit is not None
        length = self._limit.ends - self._limit.started
        key, needed = min(self._too_long.items(), key=lambda item: item[1])
        stage = self._plan.stages[key].stage
        if needed > length:
            raise BudgetctlError(
                f"{stage} {key[:12]} needs about {needed:.0f} s by the store's history and cannot be interrupted, "
                f"but a job has only {length:.0f} s: raise --time (slurm.time) and submit the plan again"
            )
        self._reporter.say(
            f"the stages that remain need {needed:.0f} s or more, which this job no longer has; stopping"
        )
        self._result.out_of_time = True
        return self._result

    def _beside(self, key: str, others: Iterable[str]) -> list[str]:
        """Which of other possible stages to run side by side with this one."""
        stages = self._plan.stages
        found = self._runner.beside(stages[key], (stages[other] for other in others))
        return [other.key for other in found if not self._is_lost(other.key) and self._fits(other.key)]

    def _try(self, key: str, beside: Sequence[str] = ()) -> _Try:
        """Claim and run a stage, perhaps with others beside it, and note how that went."""
        payloads = [self._plan.stages[each] for each in (key, *beside)]
        if not beside:
            return self._noted(payloads[0], lambda: self._runner.run(payloads[0], self._plan))
        futures = self._runner.run_side_by_side(payloads, self._plan)
        tries, full = list[_Try](), list[NoSpace]()
        for payload, future in zip(payloads, futures, strict=True):
            try:
                tries.append(self._noted(payload, future.result))
            except NoSpace as error:
                full.append(error)
        if full:
            raise full[0]
        return next(
            (tried for tried in (_Try.STOPPED, _Try.WORKED, _Try.FOUND) if tried in tries), _Try.TAKEN
        )

    def _noted(self, payload: Payload, run: Callable[[], str | None]) -> _Try:
        """Note how a stage went, which `run` tells by what it returns or raises."""
        key = payload.key
        try:
            line = run()
        except LeasedElsewhere:
            self._board.leased.add(key)
            return _Try.TAKEN
        except LeaseLost as error:
            self._say(payload, f"{error}; leaving it to the new holder")
        except InterruptedRunError as error:
            self._say(payload, str(error))
            self._result.interrupted = True
            return _Try.STOPPED
        except NoSpace:
            raise
        except MissingParentError as error:
            self._say(payload, str(error))
            self._errors[key] += 1
            self._board.reset()
        except CorruptArtifact as error:
            self._say(payload, f"waits for its parents: {error}")
            self._runner.set_aside_corrupt(payload)
            self._board.reset()
        except Exception as error:  # one stage must not take the others down; its attempt records the reason
            self._say(payload, f"failed: {type(error).__name__}: {error}")
            self._errors[key] += 1
            self._runner.forget()
            self._last = None
            self._result.tainted = True
            if self._stop_when_tainted():
                return _Try.STOPPED
        else:
            self._board.publish(key)
            if line is None:
                return _Try.FOUND
            self._last = payload if payload.parents.get("base") else self._last
            self._result.ran.append(key)
            self._say(payload, line)
        return _Try.WORKED

    def _say(self, payload: Payload, text: str) -> None:
        self._reporter.say(f"{payload.stage} {payload.key[:12]} {text}")
