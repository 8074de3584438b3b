"""Which artifacts are checkpoints, and who knows what they were trained with."""

from __future__ import annotations

from budgetctl.errors import UsageError
from store import Artifact, Store

CHECKPOINT_STAGES = ("sft", "trunk", "fork", "pft")


def training_of(checkpoint: Artifact, store: Store) -> Artifact:
    """Return the artifact whose identity and parents say how a checkpoint was trained: a fork's is its trunk.

    Raises:
        UsageError: It is a fork whose trigger never fired, and so no checkpoint.
    """
    if checkpoint.stage != "fork":
        return checkpoint
    if not checkpoint.metrics.get("fired"):
        raise UsageError(
            f"fork {checkpoint.key[:12]} is empty: its trigger {checkpoint.metrics.get('trigger')} never fired. The "
            "trunk's monitor.parquet says how near it came."
        )
    return store.artifact(checkpoint.parents["trunk"])
