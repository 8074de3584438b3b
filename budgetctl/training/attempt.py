"""One attempt at a training with one micro-batch: load, train, publish."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from budgetctl.errors import BudgetctlError, InterruptedRunError, UsageError
from budgetctl.models.encoding import Encoder
from budgetctl.models.folders import parameter_count
from budgetctl.models.loading import LoadedBase, choose_device, load_base
from budgetctl.models.policy import Policy, continued_adapter, load_full, new_adapter
from budgetctl.training.arguments import Shape, on_one_gpu
from budgetctl.training.config import PftSettings, SftSettings, TrainingSettings
from budgetctl.training.curves import Curve
from budgetctl.training.job import Metric, TrainingJob
from budgetctl.training.methods import Method, method_of
from budgetctl.training.microbatch import first_micro_batch
from budgetctl.training.observer import observer_of
from budgetctl.training.order import RowOrder, Stretch
from budgetctl.training.reference_pass import ReferencePass
from budgetctl.training.rows import Limits
from budgetctl.training.sharding import gathered, shard
from budgetctl.training.trl_trainers import last_checkpoint
from budgetctl.training.unsloth_backend import install_kernels, load_unsloth
from budgetctl.training.versions import check_versions
from budgetctl.training.watch import Watch


class OutOfMemory(Exception):  # noqa: N818  (a finding that the caller acts on, not an error of the user's)
    """A micro-batch did not fit.

    Attributes:
        rows: Its rows.
        least: The fewest rows that the method can take.
        longest: Padded tokens of the longest row.
    """

    def __init__(self, rows: int, least: int, longest: int) -> None:
        super().__init__(f"{rows} rows of up to {longest} tokens do not fit")
        self.rows = rows
        self.least = least
        self.longest = longest


def attempt(
    job: TrainingJob, settings: SftSettings | PftSettings, recompute: bool, main_process: bool = True
) -> dict[str, Metric]:
    """Train from the last checkpoint (or the start) to the end, and publish.

    Args:
        job: What to train on and where.
        settings: What to do.
        recompute: Recompute activations in the backward pass to save memory.
        main_process: Whether this process tells people and publishes.

    Raises:
        OutOfMemory: The micro-batch does not fit; the last finished step is kept (of several processes, the last
            regular checkpoint).
        InterruptedRunError: It was asked to stop; a checkpoint, or what was scored of the reference, is written.
        UsageError: Rows, checkpoint and base do not fit each other.
        BudgetctlError: A guard fired, or the weights alone do not fit.
    """
    started = time.monotonic()
    check_versions(settings.backend)
    if job.threads:
        torch.set_num_threads(job.threads)
    if job.micro_batch is not None and job.micro_batch < 1:
        raise UsageError(f"The micro-batch must be at least 1 row, not {job.micro_batch}.")
    per_process = settings.batch_size // job.processes
    device = choose_device(job.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    base, policy = _loaded(job, settings, device, recompute)
    encoder = Encoder(base.tokenizer, job.template)
    limits = Limits(settings.max_length, base.context_length, settings.overlong == "truncate")
    method = method_of(job, settings, encoder, limits)
    on_gpu = device.type == "cuda"
    micro_batch = first_micro_batch(per_process, method.longest, on_gpu, job.micro_batch, method.least)
    whole = RowOrder(method.rows, settings.epochs, settings.batch_size, job.seed)
    observer = observer_of(job, settings, base, policy, encoder, whole, main_process)
    after = job.annealing
    order = whole if after is None else Stretch(whole, after.after, after.examples)
    shape = Shape(
        job.scratch / "checkpoints", order.steps, micro_batch, per_process // micro_batch, job.seed, on_gpu, recompute,
        _optimizer_name(settings, device, job.shard), job.processes,
    )  # fmt: skip
    if recompute:
        base.model.enable_input_require_grads()
    resume = last_checkpoint(shape.folder)
    with _quiet_libraries(), job.reporter.bar(method.title, order.steps) as bar:
        watch = Watch(bar, job.should_stop, job.checkpoint_every_s, method.check_first_step, job.track)
        try:
            callbacks = [watch] if observer is None else [observer, watch]
            trainer = _trainer(method, base, shape, order.stream(), encoder, callbacks, job)
            ready = time.monotonic()
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfMemory(micro_batch, method.least, method.longest) from error
    if watch.stopped:
        raise InterruptedRunError(
            f"{method.title} stopped after step {trainer.state.global_step} of {order.steps}; the same command goes on "
            "from there."
        )
    curve = Curve.from_log(trainer.state.log_history, settings.batch_size)
    rank, observed = 0, dict[str, Metric]()
    if job.shard:
        policy = policy.gathered(partial(gathered, keep=main_process))  # by all processes together
    if main_process:
        rank = policy.publish(job.out)
        curve.write(job.out)
        observed = {} if observer is None else observer.publish(job.out)
    return {
        "rows": method.rows,
        "examples": order.examples,
        "steps": order.steps,
        "truncated_rows": limits.truncated,
        "adapter_rank": rank,
        "micro_batch": micro_batch,
        "processes": job.processes,
        "sharded": job.shard,
        "recomputed_activations": recompute,
        "optimizer": shape.optimizer,
        "reference_texts_scored": None if method.reference is None else trainer.reference.scored,
        "resumed_at_step": int(resume.name.rsplit("-", 1)[-1]) if resume else 0,
        "prepare_s": round(ready - started, 3),
        "train_s": round(time.monotonic() - ready, 3),
        **_summary(curve),
        **observed,
        **_device_metrics(device),
    }


def _loaded(
    job: TrainingJob, settings: SftSettings | PftSettings, device: torch.device, recompute: bool
) -> tuple[LoadedBase, Policy]:
    """Load what is trained, spread over the processes if it is to be.

    Raises:
        BudgetctlError: The GPU has no room for the weights.
    """
    try:
        base, policy = _load(job, settings, torch.device("cpu") if job.shard else device, recompute)
        if job.shard:
            base, policy = replace(base, device=device), shard(base.model, policy, device, job.processes)
    except torch.cuda.OutOfMemoryError as error:
        ways = {"lora": "use weights: qlora, ", "full": "use weights: lora, ", "qlora": ""}[settings.weights]
        if settings.weights != "qlora":
            ways += "a larger N, " if job.shard else "spread it with --shard and --processes N, "
        billions = parameter_count(job.base) / 1e9
        raise BudgetctlError(
            f"The model's {billions:.2g} billion weights do not fit into the memory of {device}: {ways}or use a larger "
            "GPU (or one on which nothing else runs)."
        ) from error
    return base, policy


def _load(
    job: TrainingJob, settings: SftSettings | PftSettings, device: torch.device, recompute: bool
) -> tuple[LoadedBase, Policy]:
    if settings.weights == "full":
        return load_full(job.base, job.parent, device, settings.precision)
    fit = None
    if settings.backend == "unsloth":
        base = load_unsloth(job.base, settings, job.seed)
        fit = partial(install_kernels, recompute=recompute)
    else:
        base = load_base(job.base, device, settings.precision, four_bit=settings.weights == "qlora")
    goes_on = isinstance(settings, PftSettings) and settings.adapter == "continue"
    if job.parent is not None and (goes_on or job.annealing is not None):
        return base, continued_adapter(base, job.parent, fit)
    return base, new_adapter(base, job.parent, settings.lora, job.seed, fit)


def _trainer(
    method: Method,
    base: LoadedBase,
    shape: Shape,
    stream: Sequence[int],
    encoder: Encoder,
    callbacks: Sequence[Any],
    job: TrainingJob,
) -> Any:
    from transformers import PrinterCallback  # noqa: PLC0415

    dataset, more = method.dataset(stream), {}
    if method.reference is not None:
        in_memory = job.reference_in_memory and job.processes == 1  # processes share scores through files
        more["reference"] = ReferencePass(
            method.reference(dataset), job.scratch, job.references, in_memory, job.should_stop
        )
    arguments = method.arguments(shape)
    if shape.on_gpu and shape.processes == 1:
        on_one_gpu(arguments, base.device)
    trainer = method.trainer(
        model=base.model,
        args=arguments,
        train_dataset=dataset,
        processing_class=encoder.tokenizer,
        callbacks=list(callbacks),
        **more,
    )
    trainer.remove_callback(PrinterCallback)  # with bars off, Transformers prints every step's log to stdout
    return trainer


def _optimizer_name(settings: TrainingSettings, device: torch.device, sharded: bool) -> str:
    """TRL's name of the optimizer; 8-bit AdamW exists on GPUs with bitsandbytes only, and for whole weights."""
    from importlib.util import find_spec  # noqa: PLC0415

    if device.type != "cuda":
        return "adamw_torch"
    if settings.optimizer.name == "adamw_8bit" and not sharded and find_spec("bitsandbytes") is not None:
        return "adamw_8bit"
    return "adamw_torch_fused"


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
