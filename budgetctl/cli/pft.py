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
    settings_from,
)


def pft(
    start: Annotated[
        str,
        typer.Option(
            "--from", help="What to start from: the key of an SFT checkpoint, or a base (key, name, folder)."
        ),
    ],
    data: Annotated[str, typer.Option(help="Key of pairs, from `budgetctl data --kind pref`.")],
    method: Annotated[str, typer.Option(help="dpo, kto, ipo, …")] = "dpo",
    beta: Annotated[
        float | None, typer.Option(help="Strength of the pull to the reference.", show_default=False)
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the pairs.", show_default=False)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.", show_default=False)] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Effective batch size.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the adapter's initial weights and the order of pairs.")] = 0,
    settings: SetOption = None,
    store: StoreOption = None,
    device: DeviceOption = "auto",
    micro_batch: MicroBatchOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    steal: StealOption = False,
) -> None:
    """Train a second adapter on preferences and print the key of both in one.

    Example: budgetctl pft --method dpo --from $S --data $(budgetctl data arith --kind pref --size 256)
    """
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.bases import find_start  # noqa: PLC0415
    from budgetctl.study.requests import pft_stage  # noqa: PLC0415

    opened = open_store(store)
    execution = Execution(device=device, micro_batch=micro_batch, threads=threads, offline=offline)
    rows = opened.resolve(data)  # before the base, which may take long to make
    base, policy = find_start(start, opened, execution)
    chosen = {**settings_from(settings), "method": method}
    for name, value in (("beta", beta), ("epochs", epochs), ("batch_size", batch_size)):
        if value is not None:
            chosen[name] = value
    if lr is not None:
        chosen.setdefault("optimizer", {})["learning_rate"] = lr
    run_stage(pft_stage(base, policy, rows, chosen, seed), opened, execution, steal)
