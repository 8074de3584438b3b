"""From a stage's context to an engine that answers: shared by the stages that need a model's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from budgetctl.models.registry import Precision
from budgetctl.stages.stage import StageContext

if TYPE_CHECKING:
    from budgetctl.engines.protocol import AdapterFolder, Engine

EngineName = Literal["transformers", "vllm"]
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def adapter_of(context: StageContext) -> AdapterFolder | None:
    """The parent checkpoint's adapter; None for a bare base or a checkpoint of full weights."""
    from budgetctl.engines.protocol import AdapterFolder  # noqa: PLC0415

    checkpoint = context.parents.get("checkpoint")
    if checkpoint is None or ADAPTER_WEIGHTS not in checkpoint.files:
        return None
    return AdapterFolder(checkpoint.key, checkpoint.path())


def engine_of(context: StageContext, name: EngineName, precision: Precision) -> Engine:
    """Take the worker's engine if it holds this model, else start one and leave it for the next stage.

    With several processes in the execution there is one engine per process, each on a GPU of its own.
    """
    import torch  # noqa: PLC0415

    from budgetctl.engines.kept import kept_engine  # noqa: PLC0415
    from budgetctl.engines.parallel import ParallelEngine  # noqa: PLC0415
    from budgetctl.engines.transformers import TransformersEngine  # noqa: PLC0415
    from budgetctl.engines.transformers_served import ServedTransformersEngine  # noqa: PLC0415
    from budgetctl.engines.vllm import VllmEngine  # noqa: PLC0415

    execution = context.execution
    if execution.threads:
        torch.set_num_threads(execution.threads)
    checkpoint = context.parents.get("checkpoint")
    full = checkpoint is not None and ADAPTER_WEIGHTS not in checkpoint.files
    model = checkpoint if checkpoint is not None and full else context.parents["base"]
    folder, count = model.path(), execution.processes
    kept_as = f"{name}:{model.key}:{precision}:{execution.device}:{execution.generation_batch}:{count}"
    threads = None if execution.threads is None else max(1, execution.threads // count)

    def vllm(device: str) -> VllmEngine:
        return VllmEngine(folder, device, precision, threads, rank=execution.adapter_rank)

    def served(device: str) -> ServedTransformersEngine:
        return ServedTransformersEngine(folder, device, precision, execution.generation_batch, threads)

    if count > 1:
        places, one = devices(execution.device, count), vllm if name == "vllm" else served
        return kept_engine(
            context.keep, ParallelEngine, kept_as, lambda: ParallelEngine([one(place) for place in places])
        )
    if name == "vllm":
        return kept_engine(context.keep, VllmEngine, kept_as, lambda: vllm(execution.device))
    return kept_engine(
        context.keep,
        TransformersEngine,
        kept_as,
        lambda: TransformersEngine(folder, execution.device, precision, execution.generation_batch),
    )


def devices(named: str, count: int) -> list[str]:
    """The device of each of `count` engines.

    Raises:
        UsageError: There are fewer GPUs than that, or one GPU was named for all.
    """
    from budgetctl.engines.gpus import visible_gpus  # noqa: PLC0415
    from budgetctl.errors import UsageError  # noqa: PLC0415

    gpus = visible_gpus()
    if named == "cpu" or (named == "auto" and not gpus):
        return ["cpu"] * count
    if ":" in named:
        raise UsageError(f"--processes {count} takes one GPU each; leave --device {named} out")
    if count > len(gpus):
        raise UsageError(f"--processes {count} needs as many GPUs, and this process sees {len(gpus)}")
    return [f"cuda:{number}" for number in range(count)]
