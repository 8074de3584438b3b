"""`budgetctl gen`: answers of a model to evaluation prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from budgetctl.cli.common import (
    DeviceOption,
    OfflineOption,
    StealOption,
    StoreOption,
    ThreadsOption,
    open_store,
    run_stage,
)


def gen(
    model: Annotated[str, typer.Argument(help="A checkpoint's key, or a base (key, name, folder).")],
    data: Annotated[
        str | None,
        typer.Option(help="Key of evaluation prompts; else they come from the task.", show_default=False),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="The task; default: the one the checkpoint was trained on.", show_default=False),
    ] = None,
    split: Annotated[
        Literal["dev", "test"], typer.Option(help="Which evaluation rows of the task.")
    ] = "test",
    size: Annotated[int | None, typer.Option(min=1, help="Only so many prompts.", show_default=False)] = None,
    path: Annotated[Path | None, typer.Option(help="Where the task's files lie.", show_default=False)] = None,
    decoding: Annotated[
        str, typer.Option(help="greedy, paper (T 0.5, top-p 0.9, top-k 150) or sample.")
    ] = "greedy",
    samples: Annotated[int, typer.Option(min=1, help="Answers per prompt.")] = 1,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of sampled decoding.")] = 0,
    store: StoreOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Prompts generated at once.", show_default=False)
    ] = None,
    steal: StealOption = False,
) -> None:
    """Generate answers and print their key.

    Example: budgetctl gen $P --split test
    """
    from budgetctl.data.hub_fetch import FrozenRevisions  # noqa: PLC0415
    from budgetctl.data.requests import eval_data, supply_of  # noqa: PLC0415
    from budgetctl.stages.execute import execute  # noqa: PLC0415
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.bases import find_start  # noqa: PLC0415
    from budgetctl.study.requests import gen_stage, task_of  # noqa: PLC0415

    opened = open_store(store)
    execution = Execution(device=device, threads=threads, offline=offline, generation_batch=batch)
    base, checkpoint = find_start(model, opened, execution)
    if data is not None:
        prompts = opened.artifact(opened.resolve(data))
    else:
        from budgetctl.console import make_reporter  # noqa: PLC0415

        revisions = FrozenRevisions(opened.root)
        supply = supply_of(task or task_of(checkpoint, opened), path, revisions=revisions)
        rows = eval_data(supply, split, size)
        prompts = execute(
            rows, opened, Execution(sources=supply.located, offline=offline), make_reporter()
        ).artifact
    stage = gen_stage(
        base,
        checkpoint,
        prompts.key,
        str(prompts.identity["task"]),
        decoding=decoding,
        samples=samples,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    run_stage(stage, opened, execution, steal)
