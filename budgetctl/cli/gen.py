"""`budgetctl gen`: answers of models to evaluation prompts."""

from __future__ import annotations

from typing import Annotated

import typer

from budgetctl.cli.answering import (
    BatchOption,
    DataOption,
    DecodingOption,
    DrawSeedOption,
    EngineOption,
    MaxNewTokensOption,
    PathOption,
    ProcessesOption,
    Question,
    SamplesOption,
    SizeOption,
    SplitOption,
    TaskOption,
    check_options,
    gen_stage_of,
    prompts_of,
)
from budgetctl.cli.common import (
    DeviceOption,
    OfflineOption,
    StealOption,
    StoreOption,
    ThreadsOption,
    finished,
    open_store,
)


def gen(
    context: typer.Context,
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Checkpoints' keys, or bases (key, name, folder).")
    ],
    data: DataOption = None,
    task: TaskOption = None,
    split: SplitOption = "test",
    size: SizeOption = None,
    path: PathOption = None,
    decoding: DecodingOption = "greedy",
    samples: SamplesOption = 1,
    max_new_tokens: MaxNewTokensOption = None,
    seed: DrawSeedOption = 0,
    engine: EngineOption = "transformers",
    store: StoreOption = None,
    device: DeviceOption = "auto",
    processes: ProcessesOption = 1,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    batch: BatchOption = None,
    steal: StealOption = False,
) -> None:
    """Generate answers and print their key, one line per model; models of one base share one engine.

    Example: budgetctl gen $P --split test
    """
    from budgetctl.engines.kept import close_engines  # noqa: PLC0415
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.bases import find_start  # noqa: PLC0415
    from budgetctl.study.ranks import rank_of  # noqa: PLC0415

    opened = open_store(store)
    execution = Execution(
        device=device, threads=threads, offline=offline, generation_batch=batch, processes=processes
    )
    question = Question(data, task, split, size, path, decoding, samples, max_new_tokens, seed, engine)
    check_options(context, question)
    stages = []
    for model in models:
        base, checkpoint = find_start(model, opened, execution)
        stages.append(
            gen_stage_of(question, base, checkpoint, prompts_of(question, checkpoint, opened, execution))
        )
    ranks = [rank_of(opened.artifact(stage.checkpoint)) for stage in stages if stage.checkpoint]
    execution = execution.model_copy(update={"adapter_rank": max(ranks, default=0) or None})
    keep: dict[str, object] = {}
    try:
        for stage in stages:
            print(finished(stage, opened, execution, steal, keep).key, flush=True)
    finally:
        close_engines(keep)
