"""From a stage's context to an engine that answers: shared by the stages that need a model's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from budgetctl.models.registry import Precision
from budgetctl.models.templates import Template
from budgetctl.stages.stage import Execution, StageContext

if TYPE_CHECKING:
    from budgetctl.engines.protocol import AdapterFolder, Engine
    from budgetctl.models.encoding import Encoder

T = TypeVar("T")

EngineName = Literal["transformers", "vllm"]
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def adapter_of(context: StageContext) -> AdapterFolder | None:
    """The parent checkpoint's adapter; None for a bare base or a checkpoint of full weights."""
    from budgetctl.engines.protocol import AdapterFolder  # noqa: PLC0415

    checkpoint = context.parents.get("checkpoint")
    if checkpoint is None or ADAPTER_WEIGHTS not in checkpoint.files:
        return None
    return AdapterFolder(checkpoint.key, checkpoint.path())


def encoder_of(context: StageContext, template: Template) -> Encoder:
    """The parent base's tokenizer under a template; the last one used stays with the worker."""
    from budgetctl.models.encoding import Encoder  # noqa: PLC0415
    from budgetctl.models.loading import load_tokenizer  # noqa: PLC0415

    base = context.parents["base"]
    return kept_last(
        context.keep, "encoder", (base.key, template), lambda: Encoder(load_tokenizer(base.path()), template)
    )


def kept_last(keep: dict[str, object], slot: str, name: object, make: Callable[[], T]) -> T:
    """Return what a worker keeps in this slot if it was made under this name; else make it and keep it."""
    held = keep.get(slot)
    if isinstance(held, _Kept) and held.name == name:
        return cast(T, held.thing)
    made = make()
    keep[slot] = _Kept(name, made)
    return made


@dataclass(frozen=True)
class _Kept:
    name: object
    thing: object


def engine_of(context: StageContext, name: EngineName, precision: Precision) -> Engine:
    """Take the worker's engine if it holds this model, else start one and leave it for the next stage.

    With several processes in the execution there is an engine for each, on a GPU of its own; vLLM serves a small model
    with several on each GPU.
    """
    import torch  # noqa: PLC0415

    from budgetctl.engines.host import free_cores  # noqa: PLC0415
    from budgetctl.engines.kept import kept_engine  # noqa: PLC0415
    from budgetctl.engines.parallel import ParallelEngine  # noqa: PLC0415
    from budgetctl.engines.together import MOST_FOR_ONE, MOST_PER_GPU, engines_per_gpu  # noqa: PLC0415
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
    kept_as = engine_name(name, model.key, precision, execution)
    threads = None if execution.threads is None else max(1, execution.threads // count)

    def vllm() -> ParallelEngine:
        places = devices(execution.device, count)
        cores = (execution.threads or free_cores()) // count
        most = MOST_PER_GPU if execution.side_by_side else MOST_FOR_ONE
        together = execution.engines_per_gpu or engines_per_gpu(folder, places[0], cores, most)
        return ParallelEngine([
            VllmEngine(folder, place, precision, threads, together=together, rank=execution.adapter_rank)
            for place in places * together
        ])  # fmt: skip

    def served() -> ParallelEngine:
        places, batch = devices(execution.device, count), execution.generation_batch
        return ParallelEngine([
            ServedTransformersEngine(folder, place, precision, batch, threads) for place in places
        ])  # fmt: skip

    if name == "vllm" or count > 1:
        start = vllm if name == "vllm" else served
        return kept_engine(context.keep, ParallelEngine, kept_as, start)
    return kept_engine(
        context.keep,
        TransformersEngine,
        kept_as,
        lambda: TransformersEngine(folder, execution.device, precision, execution.generation_batch),
    )


def engine_name(name: EngineName, model: str, precision: Precision, execution: Execution) -> str:
    """Tell everything that makes two engines different.

    Args:
        name: Its kind.
        model: Key of the base, or of a checkpoint with full weights.
        precision: Of the weights.
        execution: How it is run.
    """
    return (
        f"{name}:{model}:{precision}:{execution.device}:{execution.generation_batch}:{execution.processes}:"
        f"{execution.engines_per_gpu}"
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
    if count == 1:
        return [named]
    if ":" in named:
        raise UsageError(f"--processes {count} takes one GPU each; leave --device {named} out")
    if count > len(gpus):
        raise UsageError(f"--processes {count} needs as many GPUs, and this process sees {len(gpus)}")
    return [f"cuda:{number}" for number in range(count)]
