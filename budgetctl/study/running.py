"""How a worker runs stages for real: `execute`, with what it holds between stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from budgetctl.console import Reporter
from budgetctl.engines.kept import close_engines
from budgetctl.stages.catalog import stage_from
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution, Metric
from budgetctl.study.labels import labels_of
from budgetctl.study.plan import Plan
from budgetctl.study.progress import ProgressReporter
from store import Payload, Store
from store.errors import CorruptArtifact


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

    def run(self, payload: Payload, plan: Plan) -> str | None:
        """Run a stage and return a line about it, or None if it was there already; raises what `execute` raises."""
        reporter = ProgressReporter(self._reporter, self._store.root, payload.key)
        execution = self._execution
        if execution.track is not None:
            execution = execution.model_copy(update={"study": labels_of(plan, payload.key)})
        try:
            outcome = execute(
                stage_from(payload), self._store, execution, reporter,
                should_stop=self._should_stop, keep=self._keep,
            )  # fmt: skip
        finally:
            reporter.close()
        if outcome.hit:
            return None
        return f"{headline(outcome.artifact.metrics)}{outcome.wall_s:.1f} s"

    def forget(self) -> None:
        """Close engines and let go of models."""
        close_engines(self._keep)
        self._keep.clear()

    def set_aside_corrupt(self, payload: Payload) -> None:
        """Quarantine the damaged parents of a stage, so that they are computed again."""
        for parent in payload.parents.values():
            try:
                self._store.artifact(parent, deep=True)
            except CorruptArtifact as found:
                self._store.quarantine(parent, str(found))
                self._reporter.say(f"{parent[:12]} set aside: {found}")


def headline(metrics: Mapping[str, Metric]) -> str:
    """The one figure worth a log line: the primary score, the last loss, or the rows."""
    primary = metrics.get("primary")
    names = (primary if isinstance(primary, str) else "", "last_loss", "loss", "rows", "answers")
    for name in names:
        value = metrics.get(name)
        if isinstance(value, int | float):
            return f"{name} {value:.4g}  "
    return ""
