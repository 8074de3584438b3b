"""How a worker runs stages for real: `execute`, with what it holds between stages."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TypeVar

from budgetctl.console import LinesThrough, Reporter
from budgetctl.engines.kept import close_engines, held_engine, lend_engine, take_back_engine
from budgetctl.engines.parallel import ParallelEngine
from budgetctl.errors import BudgetctlError, InterruptedRunError
from budgetctl.stages.answering import ADAPTER_WEIGHTS, engine_name
from budgetctl.stages.catalog import stage_from
from budgetctl.stages.execute import execute
from budgetctl.stages.gen import GenStage
from budgetctl.stages.stage import Execution, Metric
from budgetctl.study.labels import labels_of
from budgetctl.study.plan import Plan
from budgetctl.study.progress import ProgressReporter
from store import Payload, Store
from store.errors import CorruptArtifact, MissingArtifact, StoreError

T = TypeVar("T")

TURNS = 3
"""Stages that one engine takes in a row, before the worker looks at what else has become possible."""


class StageRunner:
    """Runs planned stages in this process."""

    def __init__(
        self,
        store: Store,
        execution: Execution,
        reporter: Reporter,
        should_stop: Callable[[], bool],
    ) -> None:
        self._store, self._execution = store, execution
        self._reporter, self._should_stop = reporter, should_stop
        self._keep: dict[str, object] = {}
        self._sides: list[dict[str, object]] = []
        """What each of several stages that run side by side leaves for the next one there."""
        self._halted = False

    def run(self, payload: Payload, plan: Plan) -> str | None:
        """Run a stage and return a line about it, or None if it was there already; raises what `execute` raises."""
        return self._run(payload, plan, self._keep, self._reporter)

    def beside(self, payload: Payload, others: Iterable[Payload]) -> list[Payload]:
        """Which of `others` to run side by side with a stage.

        These are generations that need the engine which a generation has left here, where it consists of several.
        """
        held = held_engine(self._keep, ParallelEngine)
        if held is None or held[1].size == 1 or self._engine_of(payload) != held[0]:
            return []
        name, engine = held
        fitting = (other for other in others if self._engine_of(other) == name)
        return list(islice(fitting, TURNS * engine.size - 1))

    def run_side_by_side(self, payloads: Sequence[Payload], plan: Plan) -> list[Future[str | None]]:
        """Run a stage and what goes beside it until all have ended, each with a part of the kept engine.

        A part that is done with its stage takes the next.

        Returns:
            For each stage what `run` would have returned or raised.
        """
        held = held_engine(self._keep, ParallelEngine)
        assert held is not None, "nothing goes beside a stage where no engine is kept"
        name, engine = held
        parts = engine.parts(min(engine.size, len(payloads)))
        self._sides += [{} for _ in range(len(parts) - len(self._sides))]
        futures: list[Future[str | None]] = [Future() for _ in payloads]
        turns = SimpleQueue[tuple[Payload, Future[str | None]]]()
        for turn in zip(payloads, futures, strict=True):
            turns.put(turn)

        def work(keep: dict[str, object]) -> None:
            for payload, future in _taken(turns):
                reporter = LinesThrough(self._reporter, f"{payload.key[:12]} ")
                try:
                    if self._stopping():
                        raise InterruptedRunError("was not begun; the same command goes on from there")
                    future.set_result(self._run(payload, plan, keep, reporter))
                except BaseException as error:
                    future.set_exception(error)

        try:
            for part, keep in zip(parts, self._sides, strict=False):
                lend_engine(keep, name, part)
                # A daemon, so that a second Ctrl-C does not wait for it.
                threading.Thread(target=work, args=(keep,), daemon=True).start()
            wait(futures)
        except BaseException:
            self._halted = True  # Ctrl-C comes to this thread alone
            engine.abandon()
            for _, future in _taken(turns):
                future.set_exception(InterruptedRunError("was not begun"))
            wait(futures)
            raise
        finally:
            for keep in self._sides:
                take_back_engine(keep, name)
        return futures

    def _stopping(self) -> bool:
        return self._halted or self._should_stop()

    def _run(self, payload: Payload, plan: Plan, keep: dict[str, object], inner: Reporter) -> str | None:
        reporter = ProgressReporter(inner, self._store.root, payload.key)
        execution = self._execution
        if execution.track is not None:
            execution = execution.model_copy(update={"study": labels_of(plan, payload.key)})
        try:
            outcome = execute(
                stage_from(payload), self._store, execution, reporter,
                should_stop=self._stopping, keep=keep,
            )  # fmt: skip
        finally:
            reporter.close()
        if outcome.hit:
            return None
        return f"{headline(outcome.artifact.metrics)}{outcome.wall_s:.1f} s"

    def _engine_of(self, payload: Payload) -> str | None:
        """The name under which a generation's engine is kept; None for other stages and where it cannot be told."""
        if payload.stage != GenStage.name:
            return None
        try:
            stage = stage_from(payload)
            assert isinstance(stage, GenStage)
            model = stage.base
            if stage.checkpoint and ADAPTER_WEIGHTS not in self._store.artifact(stage.checkpoint).files:
                model = stage.checkpoint
        except (BudgetctlError, StoreError, OSError):
            return None  # whatever is wrong, the stage says it when it is run
        return engine_name(stage.identity.engine, model, stage.identity.precision, self._execution)

    def forget(self) -> None:
        """Close engines and let go of models."""
        close_engines(self._keep)
        self._keep.clear()
        self._sides.clear()

    def set_aside_corrupt(self, payload: Payload) -> None:
        """Quarantine the damaged parents of a stage, so that they are computed again."""
        for parent in payload.parents.values():
            try:
                self._store.artifact(parent, deep=True)
            except MissingArtifact:
                continue  # a stage beside this one has set it aside
            except CorruptArtifact as found:
                self._store.quarantine(parent, str(found))
                self._reporter.say(f"{parent[:12]} set aside: {found}")


def _taken(turns: SimpleQueue[T]) -> Iterator[T]:
    """Take what is left, one at a time."""
    with contextlib.suppress(Empty):
        while True:
            yield turns.get_nowait()


def headline(metrics: Mapping[str, Metric]) -> str:
    """The one figure worth a log line: the primary score, the last loss, or the rows."""
    primary = metrics.get("primary")
    names = (primary if isinstance(primary, str) else "", "last_loss", "loss", "rows", "answers")
    for name in names:
        value = metrics.get(name)
        if isinstance(value, int | float):
            return f"{name} {value:.4g}  "
    return ""
