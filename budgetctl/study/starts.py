"""What a preference finetuning starts from, and which of its settings fit that."""

from __future__ import annotations

from dataclasses import dataclass, field

from budgetctl.errors import UsageError
from budgetctl.models.checkpoints import training_of
from budgetctl.models.policy import check_start
from budgetctl.training.config import LoraSettings, PftSettings, TrainingSettings
from store import Store


@dataclass(frozen=True)
class Start:
    """A checkpoint to start preference finetuning from.

    Attributes:
        key: Its key, or `@role` in a branch.
        full: Whether it holds full weights rather than an adapter.
        lora: Shape of its adapter, as far as it is known.
    """

    key: str
    full: bool = False
    lora: LoraSettings = field(default_factory=LoraSettings)

    @classmethod
    def trained_with(cls, key: str, settings: TrainingSettings) -> Start:
        """The checkpoint that a training with these settings publishes."""
        return cls(key, settings.weights == "full", settings.lora)

    @classmethod
    def published(cls, key: str, store: Store) -> Start:
        """A checkpoint of a store; its adapter's own shape is nobody's setting here.

        Raises:
            UsageError: It is a fork that never fired.
        """
        settings = training_of(store.artifact(key), store).identity.get("settings", {})
        return cls(key, settings.get("weights") == "full")


def fitted(settings: PftSettings, start: Start | None) -> PftSettings:
    """Settings as they act on what the training starts from, so that equal work has an equal key.

    An adapter that trains on keeps its own shape: `lora` may be left out, or repeat the start's, and does not enter the
    key.

    Args:
        settings: What was asked for.
        start: The checkpoint; None is the bare base.

    Raises:
        UsageError: Full weights and adapters would mix, or `lora` asks for another shape than an adapter has that
            trains on.
    """
    if start is None:
        return settings
    check_start(is_adapter=not start.full, weights=settings.weights)
    if settings.adapter != "continue":
        return settings
    usual = LoraSettings()
    if settings.lora not in (usual, start.lora.model_copy(update={"dropout": 0.0})):
        changed = ", ".join(
            f"lora.{name}: {value}"
            for name, value in settings.lora.model_dump().items()
            if value != getattr(usual, name)
        )
        raise UsageError(
            f"pft: adapter: continue trains the checkpoint's own adapter on, in its own shape, so {changed} would do "
            "nothing; leave lora out of pft, or use adapter: stack"
        )
    return settings.model_copy(update={"lora": usual})
