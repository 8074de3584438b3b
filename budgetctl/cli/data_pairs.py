"""`budgetctl data pairs`: training rows from a model's own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from budgetctl.cli.answering import check_batch
from budgetctl.cli.common import (
    DeviceOption,
    OfflineOption,
    SetOption,
    StealOption,
    StoreOption,
    ThreadsOption,
    open_store,
    run_stage,
    settings_from,
)
from budgetctl.cli.given import refuse_useless


def pairs(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            "--from",
            help="Who answers: a checkpoint's key, or a base (key, name, folder).",
            show_default=False,
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            help="The task whose training prompts are asked; default: the one the checkpoint was trained on.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        Literal["pref", "unpaired", "sft"],
        typer.Option(help="pref: right over wrong answers; unpaired: the same for KTO; sft: best of n."),
    ] = "pref",
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Rows (pairs for unpaired); default: all there are.", show_default=False),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers per prompt.")] = 8,
    prompts: Annotated[
        int | None, typer.Option(min=1, help="Ask only so many training prompts.", show_default=False)
    ] = None,
    rejected: Annotated[
        Literal["random", "hardest", "nearest"],
        typer.Option(help="Which wrong answer: any, the likeliest, or the nearest in length."),
    ] = "random",
    path: Annotated[Path | None, typer.Option(help="Where the task's files lie.", show_default=False)] = None,
    decoding: Annotated[
        str, typer.Option(help="greedy, paper (T 0.5, top-p 0.9, top-k 150) or sample.")
    ] = "sample",
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer.", show_default=False)
    ] = None,
    engine: Annotated[
        Literal["transformers", "vllm"], typer.Option(help="What generates the answers.")
    ] = "transformers",
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option(help="Of the model that answers; default: the base's own.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of prompts, sampling and the choice of rows.")] = 0,
    settings: SetOption = None,
    store: StoreOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Prompts generated at once.", show_default=False)
    ] = None,
    steal: StealOption = False,
) -> None:
    """Sample answers to training prompts, judge them, make rows, and print their key.

    A prompt with no right or no wrong answer gives no pair (no right answer: no best-of-n row), and is counted on
    the card. --set takes settings of the source, as in `data TASK`.

    Example: budgetctl data pairs --from $S --source gsm8k --samples 8 --rejected nearest --size 500
    """
    from dataclasses import replace  # noqa: PLC0415

    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.data.hub_fetch import FrozenRevisions  # noqa: PLC0415
    from budgetctl.data.requests import eval_data, supply_of  # noqa: PLC0415
    from budgetctl.stages.execute import execute  # noqa: PLC0415
    from budgetctl.stages.pairs import PairsIdentity, PairsStage  # noqa: PLC0415
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.bases import find_start  # noqa: PLC0415
    from budgetctl.study.requests import gen_stage, task_of  # noqa: PLC0415
    from budgetctl.tasks import task_named  # noqa: PLC0415

    if kind == "sft":
        refuse_useless(context, ("rejected",), "best-of-n rows reject nothing")
    check_batch(context, engine)
    opened, reporter = open_store(store), make_reporter()
    execution = Execution(device=device, threads=threads, offline=offline, generation_batch=batch)
    base, checkpoint = find_start(model, opened, execution)
    name = source or task_of(checkpoint, opened, "--source")
    supply = supply_of(name, path, settings_from(settings), FrozenRevisions(opened.root))
    asked = execute(
        eval_data(supply, "train", prompts, seed=seed),
        opened,
        Execution(sources=supply.located, offline=offline),
        reporter,
    ).artifact
    sampling = gen_stage(
        base, checkpoint, asked.key, name,
        decoding=decoding, samples=samples, max_new_tokens=max_new_tokens, seed=seed,
    )  # fmt: skip
    how = {"engine": engine, "precision": precision or sampling.identity.precision}
    sampling = replace(sampling, identity=sampling.identity.model_copy(update=how))
    answers = execute(sampling, opened, execution, reporter, steal=steal).artifact
    identity = PairsIdentity(
        task=name,
        scorer_version=task_named(name).scorer_version,
        kind=kind,
        size=size,
        seed=seed,
        rejected=rejected,
    )
    run_stage(PairsStage(identity, answers.key, asked.key), opened, execution, steal)
