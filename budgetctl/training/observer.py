"""Who looks on while a training runs, beside the watch that every training has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState

from budgetctl.models.policy import LoraPolicy, Policy
from budgetctl.training.job import Annealing, Metric, TrainingJob
from budgetctl.training.optimizer_state import load_optimizer_state

if TYPE_CHECKING:
    from budgetctl.models.encoding import Encoder
    from budgetctl.models.loading import LoadedBase
    from budgetctl.training.config import TrainingSettings
    from budgetctl.training.order import RowOrder


class Observer(Protocol):
    """A callback of the trainer that has something to say at the end."""

    def publish(self, folder: Path) -> dict[str, Metric]:
        """Write what belongs into the artifact and return metrics of its own."""


def observer_of(
    job: TrainingJob,
    settings: TrainingSettings,
    base: LoadedBase,
    policy: Policy,
    encoder: Encoder,
    order: RowOrder,
    main_process: bool,
) -> Observer | None:
    """Return what a job asks for: a monitor, the start from another training's state, or nothing.

    Of several processes the first alone measures; the others wait for it in their next common step.

    Raises:
        UsageError: The dev rows cannot be measured as asked.
    """
    if job.watched is not None and main_process:
        from budgetctl.training.monitor import monitor_of  # noqa: PLC0415

        return monitor_of(job, job.watched, base, policy, encoder, order, settings.precision)
    if job.annealing is not None and isinstance(policy, LoraPolicy):
        return Continuation(job.annealing, policy)
    return None


class Continuation(TrainerCallback):  # type: ignore[misc]
    """Gives a fresh optimizer the moments of the training that it goes on from."""

    def __init__(self, annealing: Annealing, policy: LoraPolicy) -> None:
        self._annealing = annealing
        self._policy = policy

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, optimizer: Any = None, **_: Any
    ) -> None:
        """Load them, unless this attempt has a checkpoint of its own."""
        if state.global_step == 0:
            load_optimizer_state(optimizer, self._policy.weights, self._annealing.state)

    def publish(self, folder: Path) -> dict[str, Metric]:
        """Nothing beside what every training publishes."""
        return {}
