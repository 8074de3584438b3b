"""What `sft` and `pft` have in common: settings by option, and how the training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from budgetctl.cli.common import lay, settings_from

if TYPE_CHECKING:
    from budgetctl.stages.stage import Execution

EpochsOption = Annotated[float | None, typer.Option(help="Passes over the rows.", show_default=False)]
RateOption = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.", show_default=False)]
BatchSizeOption = Annotated[int | None, typer.Option(min=1, help="Effective batch size.", show_default=False)]
MOST_SEED = 2**32 - 1
SeedOption = Annotated[
    int,
    typer.Option(min=0, max=MOST_SEED, help="Of the adapter's initial weights and the order of rows."),
]
ProcessesOption = Annotated[
    int,
    typer.Option(
        min=1, help="Training processes, one per GPU; never changes the batch.", envvar="BUDGETCTL_PROCESSES"
    ),
]
ShardOption = Annotated[
    bool,
    typer.Option(
        "--shard",
        help="Spread the model's weights over the training processes (FSDP).",
        envvar="BUDGETCTL_SHARD",
    ),
]
CheckpointOption = Annotated[
    float,
    typer.Option(
        min=0, help="Seconds between checkpoints of a training.", envvar="BUDGETCTL_CHECKPOINT_EVERY"
    ),
]
ReferenceOption = Annotated[
    bool,
    typer.Option(
        "--keep-reference/--reference-in-memory",
        help="Keep the reference's log-probabilities for other trainings, or in memory alone.",
    ),
]
TrackOption = Annotated[
    str | None,
    typer.Option(
        metavar="TRACKER",
        help="Mirror the curve to wandb or trackio.",
        envvar="BUDGETCTL_TRACK",
        show_default=False,
    ),
]


def training_settings(
    given: list[str] | None, lr: float | None, **named: float | int | None
) -> dict[str, Any]:
    """Return the settings of `--set` with those that have options of their own laid over them.

    Raises:
        UsageError: A `--set` is not KEY=VALUE, or gives a value to a whole section.
    """
    chosen = settings_from(given)
    for name, value in named.items():
        if value is not None:
            lay(chosen, name, value)
    if lr is not None:
        lay(chosen, "optimizer.learning_rate", lr)
    return chosen


def worker_options(processes: int, shard: bool, track: str | None) -> list[str]:
    """Return the options of `budgetctl worker` that say how trainings run.

    Raises:
        UsageError: There is no such tracker, or its package is not installed.
    """
    from budgetctl.training.tracking import require_tracker  # noqa: PLC0415

    require_tracker(track)
    options = ["--processes", str(processes)] if processes > 1 else []
    options += ["--shard"] if shard else []
    return [*options, "--track", track] if track else options


def training_execution(
    device: str,
    micro_batch: int | None,
    threads: int | None,
    processes: int,
    shard: bool,
    checkpoint_every: float,
    track: str | None,
    offline: bool = False,
    keep_reference: bool = True,
) -> Execution:
    """Return how a training is run.

    Raises:
        UsageError: There is no such tracker, or its package is not installed.
    """
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.training.tracking import require_tracker  # noqa: PLC0415

    require_tracker(track)
    return Execution(
        device=device,
        micro_batch=micro_batch,
        threads=threads,
        processes=processes,
        shard=shard,
        checkpoint_every_s=checkpoint_every,
        track=track,
        offline=offline,
        keep_reference=keep_reference,
    )
