"""The watch on a training run: measures it on dev rows at a cadence and keeps the states that triggers ask for.

Everything it finds is written to the draft before the training goes on. An attempt that goes on from a checkpoint
forgets what was found after that checkpoint, lets the decider see the rest again, and so decides as an undisturbed
run does.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow
import pyarrow.parquet
from transformers import TrainerCallback, TrainerControl, TrainerState

from budgetctl.console import Reporter
from budgetctl.engines.protocol import AdapterFolder, Engine
from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.forking.decide import Decider, Fired, Point
from budgetctl.forking.records import (
    FORKS_FILE,
    MONITOR_FILE,
    Evaluation,
    fork_records,
    monitor_rows,
    state_folder,
    write_forks,
    write_monitor,
)
from budgetctl.forking.schedule import evaluation_steps, fork_steps
from budgetctl.forking.triggers import WatchSettings
from budgetctl.models.encoding import Encoder
from budgetctl.models.loading import LoadedBase
from budgetctl.models.policy import LoraPolicy, Policy
from budgetctl.models.registry import Precision
from budgetctl.training.job import Metric, Track, TrainingJob, Watched
from budgetctl.training.measuring import Abandoned, Judged, Measurer, read_dev_rows
from budgetctl.training.optimizer_state import save_optimizer_state
from budgetctl.training.order import RowOrder

if TYPE_CHECKING:
    from budgetctl.forking.decide import Measurement

ANSWERS_FILE = "answers.parquet"
STATE_FOLDER = "state"
UNFINISHED = ".unfinished"
VLLM_SHARE = 0.4
"""Of the GPU's memory that is free when vLLM starts; the rest stays for the training's steps."""
ANSWERS = pyarrow.schema([
    ("step", pyarrow.int64()),
    ("prompt_id", pyarrow.string()),
    ("sample", pyarrow.int32()),
    ("text", pyarrow.string()),
    ("finish_reason", pyarrow.string()),
    ("right", pyarrow.bool_()),
])  # fmt: skip
"""Columns of `answers.parquet`: what was generated for each evaluation, so that it can be judged anew."""


class Monitor(TrainerCallback):  # type: ignore[misc]
    """A callback of the trainer; the training it watches is the one it would be without it.

    Args:
        watch: What to measure, when, and which states to keep.
        order: The run's rows.
        policy: What is trained.
        measurer: Measures it.
        folder: In the draft's scratch.
        name: Of the run, for the names of its states in an engine.
        should_stop: Asked before and within evaluations.
        reporter: Is told what was found.
        track: An experiment tracker's.
    """

    def __init__(
        self,
        watch: WatchSettings,
        order: RowOrder,
        policy: LoraPolicy,
        measurer: Measurer,
        folder: Path,
        name: str,
        should_stop: Callable[[], bool],
        reporter: Reporter,
        track: Track | None,
    ) -> None:
        self._watch = watch
        self._order = order
        self._policy = policy
        self._measurer = measurer
        self._folder = folder
        self._name = name
        self._should_stop = should_stop
        self._reporter = reporter
        self._track = track
        self._evaluated_at = evaluation_steps(watch.every, order.batch_size, order.steps)
        pauses = {*self._evaluated_at, *fork_steps(watch.triggers, order.batch_size, order.steps)}
        self._distinct = {step: order.distinct(step * order.batch_size) for step in pauses}
        self._decider = Decider(watch, len(self._evaluated_at))
        self._seen: dict[int, Evaluation] = {}
        self._rate = 0.0

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, optimizer: Any = None, **_: Any
    ) -> None:
        """Take up what earlier attempts found up to here, and evaluate before the first step."""
        self._restore(state.global_step)
        self._rate = next(
            (entry["learning_rate"] for entry in reversed(state.log_history) if "learning_rate" in entry), 0.0
        )
        try:
            self._pause(state.global_step, optimizer, self._should_stop)
        except Abandoned:
            raise InterruptedRunError(
                f"The run stopped in its evaluation after step {state.global_step} of {self._order.steps}; the same "
                "command goes on from there."
            ) from None

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, optimizer: Any = None, **_: Any
    ) -> None:
        """Remember the rate of the step that is being made."""
        self._rate = float(optimizer.param_groups[0]["lr"])

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, optimizer: Any = None, **_: Any
    ) -> None:
        """Evaluate and keep the state, where this step calls for it.

        A run that was asked to stop leaves the evaluation to the attempt that goes on from here; only after the last
        step there is none.
        """
        last = state.global_step >= self._order.steps
        if not last and self._should_stop():
            return
        try:
            self._pause(state.global_step, optimizer, (lambda: False) if last else self._should_stop)
        except Abandoned:
            return

    def publish(self, folder: Path) -> dict[str, Metric]:
        """Write `monitor.parquet`, `forks.json`, the answers and the kept states."""
        evaluations = [self._seen[step] for step in sorted(self._seen)]
        write_monitor(folder / MONITOR_FILE, monitor_rows(evaluations))
        records = fork_records(self._decider.outcomes())
        write_forks(folder / FORKS_FILE, records)
        answers = sorted((self._folder / "answers").glob("*.parquet"), key=lambda file: int(file.stem))
        if answers:
            tables = [pyarrow.parquet.read_table(file, schema=ANSWERS) for file in answers]
            pyarrow.parquet.write_table(pyarrow.concat_tables(tables), folder / ANSWERS_FILE)
        for kept in {record.folder for record in records if record.folder is not None}:
            _link_tree(self._folder / kept, folder / kept)
        fired = [record for record in records if record.fired]
        self._reporter.say(
            f"{len(fired)} of {len(records)} triggers fired, {len({record.folder for record in fired})} states kept"
            + ("" if fired else "; nothing can be forked from this run")
        )
        seconds = (json.loads(file.read_text("utf-8"))["seconds"] for file in self._files("evaluations"))
        return {
            "forks_fired": len(fired),
            "states_kept": len({record.folder for record in fired}),
            "evaluations": sum(bool(one.measurements) for one in evaluations),
            "evaluate_s": round(sum(seconds), 3),
        }

    def _restore(self, step: int) -> None:
        for part in ("evaluations", "answers", "at"):
            for path in self._files(part):
                if path.suffix == UNFINISHED or int(path.stem) > step:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        for file in sorted(self._files("evaluations"), key=lambda path: int(path.stem)):
            evaluation = Evaluation.from_json(json.loads(file.read_text("utf-8"))["evaluation"])
            self._seen[evaluation.point.step] = evaluation
            self._decider.see(evaluation.point, evaluation.measurements)

    def _files(self, part: str) -> list[Path]:
        place = self._folder / part
        place.mkdir(parents=True, exist_ok=True)
        return list(place.iterdir())

    def _pause(self, step: int, optimizer: Any, should_stop: Callable[[], bool]) -> None:
        """Measure, decide, keep; then write the evaluation, whose presence says that all of it is done."""
        if step not in self._distinct or step in self._seen:
            return
        started = time.monotonic()
        examples = step * self._order.batch_size
        point = Point(step, examples, self._distinct[step], examples / self._order.rows, self._rate)
        measurements: list[Measurement] = []
        judged: list[Judged] = []
        if step in self._evaluated_at:
            measurements, judged = self._measurer.measure(self._served(step), should_stop)
        fired = self._decider.see(point, measurements)
        if fired:
            self._keep_state(step, optimizer)
        if judged:
            self._write_answers(step, judged)
        evaluation = Evaluation(point, tuple(measurements))
        seconds = time.monotonic() - started
        document = {"seconds": seconds, "evaluation": evaluation.as_json()}
        _write_whole(self._folder / "evaluations" / f"{step}.json", json.dumps(document).encode())
        self._seen[step] = evaluation
        self._tell(evaluation, fired)

    def _served(self, step: int) -> AdapterFolder | None:
        """Hand the live adapter to an engine of its own, in a folder that the next one replaces."""
        if self._watch.engine == "transformers" or not self._measurer.generates or not self._policy.moved:
            return None
        place = self._folder / "served"
        for older in place.glob("*"):
            shutil.rmtree(older)
        self._policy.adapter().save(place / str(step))
        return AdapterFolder(f"{self._name}-{step}", place / str(step))

    def _keep_state(self, step: int, optimizer: Any) -> None:
        kept = self._folder / state_folder(step)
        unfinished = kept.with_name(kept.name + UNFINISHED)
        for older in (kept, unfinished):
            shutil.rmtree(older, ignore_errors=True)
        self._policy.adapter().save(unfinished)
        if self._watch.keep_state:
            save_optimizer_state(optimizer, self._policy.weights, unfinished / STATE_FOLDER)
        unfinished.rename(kept)

    def _write_answers(self, step: int, judged: Sequence[Judged]) -> None:
        rows = [
            {
                "step": step, "prompt_id": one.answer.prompt_id, "sample": one.answer.sample, "text": one.text,
                "finish_reason": one.answer.finish_reason, "right": one.right,
            }
            for one in judged
        ]  # fmt: skip
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=ANSWERS), sink)
        _write_whole(self._folder / "answers" / f"{step}.parquet", sink.getvalue().to_pybytes())

    def _tell(self, evaluation: Evaluation, fired: Sequence[Fired]) -> None:
        point, found = evaluation.point, evaluation.measurements
        figures = "  ".join(f"{one.metric} {one.value:.4g} ({one.low:.4g} – {one.high:.4g})" for one in found)
        names = ", ".join(one.trigger.name for one in fired)
        if figures or names:
            self._reporter.say(
                f"step {point.step}, {point.examples} examples: "
                + "  ".join(part for part in (figures, f"kept for {names}" if names else "") if part)
            )
        if self._track is not None and found:
            self._track(point.step, {f"dev/{one.metric}": one.value for one in found})


def monitor_of(
    job: TrainingJob,
    watched: Watched,
    base: LoadedBase,
    policy: Policy,
    encoder: Encoder,
    order: RowOrder,
    precision: Precision,
) -> Monitor:
    """Return the monitor that a job asks for.

    Raises:
        UsageError: All weights are trained, or the dev rows cannot be measured as asked.
    """
    watch = watched.settings
    rows = read_dev_rows(watched.dev, watched.task, watch, encoder, base.context_length)
    engine = _vllm(job, precision) if watch.engine == "vllm" and watch.ks else None
    measurer = Measurer(base, encoder, rows, watched.task, watch, job.seed, engine)
    return Monitor(
        watch,
        order,
        require_adapter(policy),
        measurer,
        job.scratch / "watched",
        watched.name,
        job.should_stop,
        job.reporter,
        job.track,
    )


def _vllm(job: TrainingJob, precision: Precision) -> Engine:
    """Take the worker's vLLM that runs beside trainings of this base, or start one."""
    from budgetctl.engines.kept import kept_engine  # noqa: PLC0415
    from budgetctl.engines.vllm import VllmEngine  # noqa: PLC0415

    return kept_engine(
        job.keep,
        VllmEngine,
        f"vllm:beside-training:{job.base}:{precision}:{job.device}",
        lambda: VllmEngine(job.base, job.device, precision, job.threads, share=VLLM_SHARE),
    )


def require_adapter(policy: object) -> LoraPolicy:
    """Return the policy whose states can be kept.

    Raises:
        UsageError: All weights are trained.
    """
    if not isinstance(policy, LoraPolicy):
        raise UsageError(
            "A trunk keeps the states of an adapter; weights: full would keep a whole model at each of them. Use "
            "weights: lora or qlora."
        )
    return policy


def _write_whole(file: Path, content: bytes) -> None:
    unfinished = file.with_suffix(UNFINISHED)
    unfinished.write_bytes(content)
    unfinished.replace(file)


def _link_tree(source: Path, target: Path) -> None:
    """Give files a second name, or copy them where the file system cannot."""

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copyfile(one, other)

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=link)
