"""Whether a training can be spread over processes as its execution asks: known before anything is loaded."""

from __future__ import annotations

from budgetctl.errors import UsageError
from budgetctl.training.config import PftSettings, TrainingSettings

KTO_LEAST = 2
"""TRL's KTO refuses single rows."""
WHOLE_BATCH = ("aot", "aot_unpaired")
"""Methods that compare all rows of a batch with each other, so that it cannot be cut."""


def check_layout(
    settings: TrainingSettings, processes: int, shard: bool, needs_whole_model: bool = False
) -> None:
    """Refuse what cannot be spread.

    Args:
        settings: What is trained.
        processes: How many train together.
        shard: Whether the model's weights are spread over them.
        needs_whole_model: Whether the run keeps states for forks, or takes one up.

    Raises:
        UsageError: The batch, the method, the backend or the weights do not allow it.
    """
    if settings.batch_size % processes:
        raise UsageError(
            f"A batch of {settings.batch_size} rows cannot be split evenly over {processes} processes; use a "
            "number of processes that divides it."
        )
    if settings.backend == "unsloth" and processes > 1:
        raise UsageError("backend: unsloth trains in one process; use backend: trl for several GPUs.")
    if isinstance(settings, PftSettings):
        _check_method(settings, processes)
    if shard:
        _check_shards(settings, processes, needs_whole_model)


def _check_method(settings: PftSettings, processes: int) -> None:
    if settings.method in WHOLE_BATCH and processes > 1:
        raise UsageError(f"{settings.method} compares all rows of a batch, so it trains in one process only.")
    if settings.method == "kto" and settings.batch_size < KTO_LEAST * processes:
        raise UsageError(
            f"kto needs a batch_size of at least {KTO_LEAST * processes}: it pairs each prompt with another row's "
            "answer, on every process."
        )


def _check_shards(settings: TrainingSettings, processes: int, needs_whole_model: bool) -> None:
    if processes < 2:
        raise UsageError("--shard spreads a model over several processes; add --processes N.")
    if settings.weights == "qlora":
        raise UsageError("weights: qlora cannot be sharded; use weights: lora, or leave --shard out.")
    if needs_whole_model:
        raise UsageError(
            "A run that is measured while it trains, or goes on from such a run's state, needs the whole model in one "
            "process; leave --shard out."
        )
