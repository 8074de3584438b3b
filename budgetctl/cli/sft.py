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
    settings_from,
)


def sft(
    base: Annotated[
        str, typer.Option(help="A base model: its key, a name such as tiny or llama3-1B, a folder, a hub id.")
    ],
    data: Annotated[str, typer.Option(help="Key of SFT rows, from `budgetctl data --kind sft`.")],
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows.", show_default=False)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.", show_default=False)] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Effective batch size.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the adapter's initial weights and the order of rows.")] = 0,
    settings: SetOption = None,
    store: StoreOption = None,
    device: DeviceOption = "auto",
    micro_batch: MicroBatchOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    steal: StealOption = False,
) -> None:
    """Train an adapter on demonstrations and print its key.

    Every setting of the training can be given with --set, such as --set lora.rank=16 --set loss=full;
    docs/reference/settings.md lists them.

    Example: budgetctl sft --base tiny --data $(budgetctl data arith --size 256) --epochs 4
    """
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.bases import find_base  # noqa: PLC0415
    from budgetctl.study.requests import sft_stage  # noqa: PLC0415

    opened = open_store(store)
    execution = Execution(device=device, micro_batch=micro_batch, threads=threads, offline=offline)
    rows = opened.resolve(data)  # before the base, which may take long to make
    found = find_base(base, opened, execution)
    chosen = settings_from(settings)
    if epochs is not None:
        chosen["epochs"] = epochs
    if batch_size is not None:
        chosen["batch_size"] = batch_size
    if lr is not None:
        chosen.setdefault("optimizer", {})["learning_rate"] = lr
    run_stage(sft_stage(found, rows, chosen, seed), opened, execution, steal)
