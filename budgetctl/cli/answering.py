"""What the commands that let a model answer share: their options, and the way from them to stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from budgetctl.stages.gen import GenStage
    from budgetctl.stages.stage import Execution
    from budgetctl.study.bases import FoundBase
    from store import Artifact, Store

DataOption = Annotated[
    str | None,
    typer.Option(help="Key of evaluation prompts; else they come from the task.", show_default=False),
]
TaskOption = Annotated[
    str | None,
    typer.Option(help="The task; default: the one the checkpoint was trained on.", show_default=False),
]
SplitOption = Annotated[Literal["dev", "test"], typer.Option(help="Which evaluation rows of the task.")]
SizeOption = Annotated[int | None, typer.Option(min=1, help="Only so many prompts.", show_default=False)]
PathOption = Annotated[Path | None, typer.Option(help="Where the task's files lie.", show_default=False)]
DecodingOption = Annotated[
    str,
    typer.Option(
        help="greedy, paper (T 0.5, top-p 0.9, top-k 150), sample (T 1), or sample-N for N answers a prompt."
    ),
]
SamplesOption = Annotated[int, typer.Option(min=1, help="Answers per prompt.")]
MaxNewTokensOption = Annotated[
    int | None, typer.Option(min=1, help="Longest answer; default: the task's.", show_default=False)
]
DrawSeedOption = Annotated[int, typer.Option(help="Of sampled decoding.")]
EngineOption = Annotated[
    Literal["transformers", "vllm"],
    typer.Option(help="Who generates; part of the key, because two engines round differently."),
]
ProcessesOption = Annotated[
    int, typer.Option(min=1, help="Engines at work at the same time, each on a GPU of its own.")
]
BatchOption = Annotated[
    int | None,
    typer.Option(min=1, help="Prompts generated at once; default: derived.", show_default=False),
]


ROWS = ("task", "split", "size", "path")
"""Options that say which rows are asked."""
ANSWERS = ("decoding", "samples", "max_new_tokens", "seed", "engine")
"""Options that say how they are answered."""


@dataclass(frozen=True)
class Question:
    """What a model is asked, as the options say it."""

    data: str | None = None
    task: str | None = None
    split: Literal["dev", "test"] = "test"
    size: int | None = None
    path: Path | None = None
    decoding: str = "greedy"
    samples: int = 1
    max_new_tokens: int | None = None
    seed: int = 0
    engine: Literal["transformers", "vllm"] = "transformers"


def prompts_of(question: Question, checkpoint: str | None, store: Store, execution: Execution) -> Artifact:
    """The evaluation rows that are meant, prepared now if they are not there.

    Raises:
        UsageError: No task is named and the model has none of its own, or the task's rows are not found.
    """
    if question.data is not None:
        return store.artifact(store.resolve(question.data))
    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.data.hub_fetch import FrozenRevisions  # noqa: PLC0415
    from budgetctl.data.requests import eval_data, supply_of  # noqa: PLC0415
    from budgetctl.stages.execute import execute  # noqa: PLC0415
    from budgetctl.study.requests import task_of  # noqa: PLC0415

    task = question.task or task_of(checkpoint, store)
    supply = supply_of(task, question.path, revisions=FrozenRevisions(store.root))
    located = execution.model_copy(update={"sources": {**execution.sources, **supply.located}})
    return execute(eval_data(supply, question.split, question.size), store, located, make_reporter()).artifact


def gen_stage_of(question: Question, base: FoundBase, checkpoint: str | None, prompts: Artifact) -> GenStage:
    """The generation that answers a question."""
    from budgetctl.study.requests import gen_stage  # noqa: PLC0415

    return gen_stage(
        base,
        checkpoint,
        prompts.key,
        str(prompts.identity["task"]),
        decoding=question.decoding,
        samples=question.samples,
        max_new_tokens=question.max_new_tokens,
        seed=question.seed,
        engine=question.engine,
    )


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options that would be passed over in silence.

    Args:
        context: Of the command.
        names: Its parameters that have no meaning here.
        why: What makes them so.

    Raises:
        UsageError: One of them stands on the command line.
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    given = [f"--{name.replace('_', '-')}" for name in names if was_given(context, name)]
    if given:
        raise UsageError(f"{why}; leave {', '.join(given)} out")


def check_options(context: typer.Context, question: Question) -> None:
    """Refuse options that contradict each other, whatever is asked.

    Raises:
        UsageError: Rows are described beside `--data`, or a batch is set for an engine that sets its own.
    """
    if question.data is not None:
        refuse_given(context, ROWS, f"--data {question.data[:12]} says which rows are asked")
    check_batch(context, question.engine)


def check_batch(context: typer.Context, engine: str) -> None:
    """Refuse a batch for an engine that sets its own.

    Raises:
        UsageError: There is one.
    """
    if engine == "vllm":
        refuse_given(context, ("batch",), "vLLM derives its batches itself")
