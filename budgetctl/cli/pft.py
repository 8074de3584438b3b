"""`budgetctl pft`: preference finetuning."""

from __future__ import annotations

from typing import Annotated

import typer

from budgetctl.cli.common import (
    DeviceOption,
    MicroBatchOption,
    OfflineOption,
    SetOption,
    StealOption,
    StoreOption,
    ThreadsOption,
    open_store,
    run_stage,
)
from budgetctl.cli.training_options import (
    BatchSizeOption,
    CheckpointOption,
    EpochsOption,
    ProcessesOption,
    RateOption,
    ReferenceOption,
    SeedOption,
    ShardOption,
    TrackOption,
    training_execution,
    training_settings,
)


def pft(
    start: Annotated[
        str,
        typer.Option(
            "--from", help="What to start from: the key of an SFT checkpoint, or a base (key, name, folder)."
        ),
    ],
    data: Annotated[str, typer.Option(help="Key of pairs, from `budgetctl data --kind pref`.")],
    method: Annotated[str, typer.Option(help="dpo, kto, ipo, simpo, orpo, …")] = "dpo",
    beta: Annotated[
        float | None, typer.Option(help="Strength of the pull to the reference.", show_default=False)
    ] = None,
    epochs: EpochsOption = None,
    lr: RateOption = None,
    batch_size: BatchSizeOption = None,
    seed: SeedOption = 0,
    settings: SetOption = None,
    store: StoreOption = None,
    device: DeviceOption = "auto",
    micro_batch: MicroBatchOption = None,
    threads: ThreadsOption = None,
    processes: ProcessesOption = 1,
    shard: ShardOption = False,
    checkpoint_every: CheckpointOption = 600.0,
    keep_reference: ReferenceOption = True,
    track: TrackOption = None,
    offline: OfflineOption = False,
    steal: StealOption = False,
) -> None:
    """Train a second adapter on preferences and print the key of both in one.

    Example: budgetctl pft --method dpo --from $S --data $(budgetctl data arith --kind pref --size 256)
    """
    from budgetctl.study.bases import make_base, named_start  # noqa: PLC0415
    from budgetctl.study.requests import check_settings, pft_stage  # noqa: PLC0415
    from budgetctl.training.config import PftSettings  # noqa: PLC0415
    from budgetctl.training.layout import check_layout  # noqa: PLC0415

    opened = open_store(store)
    execution = training_execution(
        device, micro_batch, threads, processes, shard, checkpoint_every, track, offline, keep_reference
    )
    chosen = training_settings(settings, lr, beta=beta, epochs=epochs, batch_size=batch_size)
    chosen["method"] = method
    check_settings(PftSettings, chosen, "pft")
    rows = opened.resolve(data)
    base, policy = named_start(start, opened, offline)
    stage = pft_stage(base, policy, rows, chosen, seed)
    check_layout(stage.identity.settings, processes, shard)
    make_base(base, opened, execution)  # last, because it may take long
    run_stage(stage, opened, execution, steal)
