"""`budgetctl sft`: supervised finetuning."""

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
    SeedOption,
    ShardOption,
    TrackOption,
    training_execution,
    training_settings,
)


def sft(
    base: Annotated[
        str, typer.Option(help="A base model: its key, a name such as tiny or llama3-1B, a folder, a hub id.")
    ],
    data: Annotated[str, typer.Option(help="Key of SFT rows, from `budgetctl data --kind sft`.")],
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
    track: TrackOption = None,
    offline: OfflineOption = False,
    steal: StealOption = False,
) -> None:
    """Train an adapter on demonstrations and print its key.

    Every setting of the training can be given with --set, such as --set lora.rank=16 --set loss=full;
    docs/reference/settings.md lists them.

    Example: budgetctl sft --base tiny --data $(budgetctl data arith --size 256) --epochs 4
    """
    from budgetctl.study.bases import make_base, named_base  # noqa: PLC0415
    from budgetctl.study.requests import check_settings, sft_stage  # noqa: PLC0415
    from budgetctl.training.config import SftSettings  # noqa: PLC0415
    from budgetctl.training.layout import check_layout  # noqa: PLC0415

    opened = open_store(store)
    execution = training_execution(
        device, micro_batch, threads, processes, shard, checkpoint_every, track, offline
    )
    chosen = training_settings(settings, lr, epochs=epochs, batch_size=batch_size)
    check_settings(SftSettings, chosen, "sft")
    rows = opened.resolve(data)
    named = named_base(base, opened, offline)
    stage = sft_stage(named, rows, chosen, seed)
    check_layout(stage.identity.settings, processes, shard)
    make_base(named, opened, execution)  # last, because it may take long
    run_stage(stage, opened, execution, steal)
