"""Supervised and preference finetuning, from files to files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from budgetctl.console import Reporter
from budgetctl.errors import BudgetctlError, InterruptedRunError, UsageError
from budgetctl.models.encoding import Encoder
from budgetctl.models.loading import choose_device, load_base
from budgetctl.models.policy import new_adapter
from budgetctl.models.templates import Template
from budgetctl.training import arguments, datasets
from budgetctl.training import rows as training_rows
from budgetctl.training.arguments import Shape
from budgetctl.training.config import PftSettings, SftSettings, TrainingSettings
from budgetctl.training.curves import Curve
from budgetctl.training.guards import check_samples, first_step_check
from budgetctl.training.microbatch import first_micro_batch, smaller
from budgetctl.training.order import RowOrder
from budgetctl.training.rows import Limits
from budgetctl.training.trl_trainers import PairTrainer, SupervisedTrainer, UnpairedTrainer, last_checkpoint
from budgetctl.training.versions import check_versions
from budgetctl.training.watch import FirstStepCheck, Watch

Metric = float | int | str | bool | None
KTO_LEAST = 2
"""TRL's KTO refuses single rows."""


@dataclass(frozen=True)
class TrainingJob:
    """Where a training's inputs lie, where its results go, and how it is run.

    Attributes:
        base: Transformers folder of the base.
        parent: Folder of the adapter to start from; None starts at the base.
        data: Parquet file of the rows.
        template: The chat template.
        seed: Of the fresh adapter, the order and dropout.
        out: Folder to publish into.
        scratch: Folder that survives a kill.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        micro_batch: Rows of one forward pass; None finds out.
        checkpoint_every_s: Seconds between checkpoints.
        threads: CPU threads; None leaves torch's choice.
        reporter: Who is told.
        should_stop: Asked between steps.
    """

    base: Path
    parent: Path | None
    data: Path
    template: Template
    seed: int
    out: Path
    scratch: Path
    device: str
    micro_batch: int | None
    checkpoint_every_s: float
    threads: int | None
    reporter: Reporter
    should_stop: Callable[[], bool]


@dataclass(frozen=True)
class _Method:
    """What differs between the methods once their rows are tokens.

    Attributes:
        title: For the progress bar.
        rows: Number of rows.
        longest: Padded tokens of the longest row.
        dataset: (stream) → TRL's dataset.
        arguments: (shape) → TRL's arguments.
        trainer: TRL's trainer class.
        check_first_step: Guard on the first step's figures.
        least: Smallest micro-batch.
    """

    title: str
    rows: int
    longest: int
    dataset: Callable[[Sequence[int]], Any]
    arguments: Callable[[Shape], Any]
    trainer: Any
    check_first_step: FirstStepCheck | None
    least: int = 1


def train_sft(job: TrainingJob, settings: SftSettings) -> dict[str, Metric]:
    """Train an adapter to imitate demonstrations and write it with its curve.

    Returns:
        Metrics for the manifest.

    Raises:
        UsageError: Rows, adapter and base do not fit each other.
        InterruptedRunError: It was asked to stop; the next call with the same scratch goes on.
        BudgetctlError: A guard fired.
    """
    bench = _Bench(job, settings)
    full = settings.loss == "full"
    rows = training_rows.read_demonstrations(job.data, bench.encoder, bench.limits, full)
    check_samples([(row.prompt_id, row.text) for row in rows[:3]], bench.encoder, answers_only=not full)
    return bench.train(
        _Method(
            title="sft",
            rows=len(rows),
            longest=max(len(row.text.ids) for row in rows),
            dataset=lambda stream: datasets.demonstrations(rows, stream),
            arguments=lambda shape: arguments.sft_arguments(settings, shape),
            trainer=SupervisedTrainer,
            check_first_step=None,
        )
    )


def train_pft(job: TrainingJob, settings: PftSettings) -> dict[str, Metric]:
    """Train a second adapter on preferences and write its exact concatenation with the first.

    The reference policy is the base with the parent adapter, or the base alone without one.

    Returns:
        Metrics for the manifest.

    Raises:
        UsageError: Rows, adapter and base do not fit each other.
        InterruptedRunError: It was asked to stop; the next call with the same scratch goes on.
        BudgetctlError: A guard fired, such as a first loss that is not ln 2.
    """
    bench = _Bench(job, settings)
    check = first_step_check(settings, settings.precision)
    if settings.method == "kto":
        return bench.train(_kto_method(bench, job, settings, check))
    rows = training_rows.read_pairs(job.data, bench.encoder, bench.limits)
    check_samples(
        [(row.prompt_id, side) for row in rows[:3] for side in (row.chosen, row.rejected)], bench.encoder
    )
    return bench.train(
        _Method(
            title=settings.method,
            rows=len(rows),
            longest=max(2 * max(len(row.chosen.ids), len(row.rejected.ids)) for row in rows),
            dataset=lambda stream: datasets.pairs(rows, stream),
            arguments=lambda shape: arguments.pair_arguments(settings, shape),
            trainer=PairTrainer,
            check_first_step=check,
        )
    )


def _kto_method(bench: _Bench, job: TrainingJob, settings: PftSettings, check: FirstStepCheck) -> _Method:
    if settings.batch_size < KTO_LEAST:
        raise UsageError(
            "kto needs a batch_size of at least 2: it pairs each prompt with another row's answer."
        )
    rows = training_rows.read_unpaired(job.data, bench.encoder, bench.limits)
    check_samples([(row.prompt_id, row.text) for row in rows[:3]], bench.encoder)
    return _Method(
        title="kto",
        rows=len(rows),
        longest=max(len(row.prompt) + len(row.answer) for row in rows),
        dataset=lambda stream: datasets.unpaired(rows, stream, settings.batch_size),
        arguments=lambda shape: arguments.kto_arguments(settings, shape),
        trainer=UnpairedTrainer,
        check_first_step=check,
        least=KTO_LEAST,
    )


class _Bench:
    """A job's encoder and limits, and the run itself."""

    def __init__(self, job: TrainingJob, settings: TrainingSettings) -> None:
        check_versions()
        self._started = time.monotonic()
        if job.threads:
            torch.set_num_threads(job.threads)
        if job.micro_batch is not None and job.micro_batch < 1:
            raise UsageError(f"The micro-batch must be at least 1 row, not {job.micro_batch}.")
        self._job = job
        self._settings = settings
        self._device = choose_device(job.device)
        self._base = load_base(job.base, self._device, settings.precision)
        self.encoder = Encoder(self._base.tokenizer, job.template)
        self.limits = Limits(settings.max_length, self._base.context_length, settings.overlong == "truncate")

    def train(self, method: _Method) -> dict[str, Metric]:
        """Train with the first micro-batch that fits, and publish."""
        size, on_gpu = self._settings.batch_size, self._device.type == "cuda"
        rows: int | None = first_micro_batch(
            size, method.longest, on_gpu, self._job.micro_batch, method.least
        )
        recompute = False
        while True:
            try:
                return self._train(method, rows or method.least, recompute)
            except torch.cuda.OutOfMemoryError:
                rows = smaller(size, rows or method.least, method.least)
                if rows is None and recompute:
                    raise BudgetctlError(
                        f"A row of {method.longest} tokens does not fit into this GPU's memory, even when activations "
                        "are recomputed. Lower max_length, use weights: qlora, or a GPU with more memory."
                    ) from None
                recompute = recompute or rows is None
            self._job.reporter.say(
                f"{method.title}: out of GPU memory; going on with {rows or method.least} rows at once"
                + (" and recomputed activations" if recompute else "")
            )
            torch.cuda.empty_cache()
            self._base = load_base(self._job.base, self._device, self._settings.precision)

    def _train(self, method: _Method, micro_batch: int, recompute: bool) -> dict[str, Metric]:
        job, settings = self._job, self._settings
        policy = new_adapter(self._base, job.parent, settings.lora, job.seed)
        if recompute:
            self._base.model.enable_input_require_grads()
        order = RowOrder(method.rows, settings.epochs, settings.batch_size, job.seed)
        optimizer = _optimizer_name(settings, self._device)
        shape = Shape(
            job.scratch / "checkpoints", order.steps, micro_batch, settings.batch_size // micro_batch, job.seed,
            self._device.type == "cuda", recompute, optimizer,
        )  # fmt: skip
        resume = last_checkpoint(shape.folder)
        with _quiet_libraries(), job.reporter.bar(method.title, order.steps) as bar:
            watch = Watch(bar, job.should_stop, job.checkpoint_every_s, method.check_first_step, None)
            trainer = method.trainer(
                model=self._base.model,
                args=method.arguments(shape),
                train_dataset=method.dataset(order.stream()),
                processing_class=self.encoder.tokenizer,
                callbacks=[watch],
            )
            _drop_printer(trainer)
            ready = time.monotonic()
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        done = int(trainer.state.global_step)
        if watch.stopped:
            raise InterruptedRunError(
                f"{method.title} stopped after step {done} of {order.steps}; the same command goes on from there."
            )
        curve = Curve.from_log(trainer.state.log_history, settings.batch_size)
        adapter = policy.publish(job.out)
        curve.write(job.out)
        return {
            "rows": method.rows,
            "examples": order.examples,
            "steps": order.steps,
            "truncated_rows": self.limits.truncated,
            "adapter_rank": adapter.rank,
            "micro_batch": micro_batch,
            "optimizer": optimizer,
            "resumed_at_step": int(resume.name.rsplit("-", 1)[-1]) if resume else 0,
            "prepare_s": round(ready - self._started, 3),
            "train_s": round(time.monotonic() - ready, 3),
            **_summary(curve),
            **_device_metrics(self._device),
        }


def _optimizer_name(settings: TrainingSettings, device: torch.device) -> str:
    """TRL's name of the optimizer; 8-bit AdamW exists on GPUs with bitsandbytes only and is plain AdamW elsewhere."""
    from importlib.util import find_spec  # noqa: PLC0415

    if device.type != "cuda":
        return "adamw_torch"
    if settings.optimizer.name == "adamw_8bit" and find_spec("bitsandbytes") is not None:
        return "adamw_8bit"
    return "adamw_torch_fused"


def _drop_printer(trainer: Any) -> None:
    """With bars off, Transformers prints every step's log to stdout."""
    from transformers import PrinterCallback  # noqa: PLC0415

    trainer.remove_callback(PrinterCallback)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep advice of the libraries out of a run's output; their errors still come through."""
    import datasets as hub_datasets  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    hub_datasets.disable_progress_bars()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)


def _device_metrics(device: torch.device) -> dict[str, Metric]:
    if device.type != "cuda":
        return {"device": "cpu"}
    peak = torch.cuda.max_memory_allocated(device) / 2**30
    return {"device": torch.cuda.get_device_name(device), "peak_gpu_gib": round(peak, 3)}


def _summary(curve: Curve) -> dict[str, Metric]:
    """First and last values of the curve that a lineage table wants to see."""
    summary: dict[str, Metric] = {}
    for name in ("loss", "rewards/margins", "rewards/accuracies"):
        if values := curve.values(name):
            short = name.rsplit("/", 1)[-1]
            summary[f"first_{short}"], summary[f"last_{short}"] = values[0], values[-1]
    return summary
