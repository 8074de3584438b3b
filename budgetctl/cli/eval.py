"""`budgetctl eval`: scores, pass@k and perplexity of one model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from budgetctl.cli.answering import (
    ANSWERS,
    ROWS,
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
    refuse_given,
    was_given,
)
from budgetctl.cli.common import (
    DeviceOption,
    JsonOption,
    OfflineOption,
    StealOption,
    StoreOption,
    ThreadsOption,
    finished,
    open_store,
)
from budgetctl.cli.eval_diff import diff

if TYPE_CHECKING:
    from budgetctl.stages.gen import GenStage
    from budgetctl.stages.stage import Execution, Stage
    from budgetctl.study.bases import FoundBase
    from store import Artifact, Store

SCORE = "score"


class ScoreByDefault(TyperGroup):
    """`eval KEY` means `eval score KEY`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the default command before arguments that name none."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [SCORE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=ScoreByDefault, no_args_is_help=True)
app.command("diff")(diff)


@app.callback(invoke_without_command=True)
def evaluate() -> None:
    """Score stored generations, or let a model answer first; `eval KEY` is short for `eval score KEY`.

    Example: budgetctl eval $(budgetctl gen $P --split test)
    """


@app.command(SCORE)
def score(
    context: typer.Context,
    key: Annotated[
        str,
        typer.Argument(help="Key of generations, or a checkpoint or base that is to answer first."),
    ],
    pass_at: Annotated[
        str, typer.Option(metavar="K,K,...", help="Report pass@k for these k, such as 1,2,4.")
    ] = "",
    perplexity: Annotated[
        Literal["gold", "greedy"] | None,
        typer.Option(help="Instead: perplexity of gold answers or of greedy ones.", show_default=False),
    ] = None,
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
    json_: JsonOption = False,
) -> None:
    """Score a model's answers and print the key of the result; the figures, with 95 % intervals, go to stderr.

    Given generations, nothing is generated. Given a model, it answers first, as the options say; several samples
    are drawn at temperature 1 unless --decoding says otherwise.

    Example: budgetctl eval score $P --pass-at 1,2,4,8,16,32,64 --samples 128
    """
    from budgetctl.engines.kept import close_engines  # noqa: PLC0415
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.stages.stage import Execution  # noqa: PLC0415

    ks = ks_from(pass_at)
    if perplexity is not None and (ks or samples > 1 or decoding != "greedy"):
        raise UsageError(
            "--perplexity takes gold or greedy answers; leave --pass-at, --samples and --decoding out"
        )
    if samples > 1 and not was_given(context, "decoding"):
        decoding = "sample"
    question = Question(data, task, split, size, path, decoding, samples, max_new_tokens, seed, engine)
    check_options(context, question)
    opened = open_store(store)
    execution = Execution(
        device=device, threads=threads, offline=offline, generation_batch=batch, processes=processes
    )
    work = Work(context, opened, execution, steal)
    try:
        found = (
            _scored(key, question, ks, work)
            if perplexity is None
            else _perplexity(key, question, perplexity, work)
        )
    finally:
        close_engines(work.keep)
    print(json.dumps({"key": found.key, **found.metrics, **kinds_of(found)}) if json_ else found.key)


@dataclass(frozen=True)
class Work:
    """What the ways to a result share."""

    context: typer.Context
    store: Store
    execution: Execution
    steal: bool
    keep: dict[str, object] = field(default_factory=dict)

    def finished(self, stage: Stage) -> Artifact:
        """Run one stage, or find it."""
        return finished(stage, self.store, self.execution, self.steal, self.keep)


def kinds_of(evaluation: Artifact) -> dict[str, Any]:
    """The shares of each kind of part, by kind and metric, where the task judges parts."""
    from budgetctl.stages.eval import KINDS_FILE  # noqa: PLC0415

    if KINDS_FILE not in evaluation.files:
        return {}
    import pyarrow.parquet as pq  # noqa: PLC0415

    kinds: dict[str, dict[str, Any]] = {}
    for row in pq.read_table(evaluation.path(KINDS_FILE)).to_pylist():
        kinds.setdefault(row.pop("kind"), {})[row.pop("metric")] = row
    return {"kinds": kinds}


def ks_from(text: str) -> tuple[int, ...]:
    """Read `1,2,4`.

    Raises:
        UsageError: It is no list of whole numbers above 0.
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--pass-at takes whole numbers above 0, such as 1,2,4; got {text!r}")
    return tuple(sorted({int(part) for part in parts}))


def _scored(key: str, question: Question, ks: tuple[int, ...], work: Work) -> Artifact:
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.evaluations import generation_named  # noqa: PLC0415
    from budgetctl.study.requests import eval_stage  # noqa: PLC0415

    generation = generation_named(key, work.store)
    if generation is not None:
        _refuse_beside_answers(key, work.context, ("data", *ROWS, *ANSWERS))
    else:
        stage, _ = _asked(key, question, work)
        samples, most = stage.identity.decoding.samples, max(ks, default=0)
        if most > samples:
            counted = question.decoding.startswith("sample-")
            advice = f"say --decoding sample-{most}" if counted else f"add --samples {most}"
            raise UsageError(f"pass@{most} needs at least {most} answers a prompt; {advice}")
        generation = work.finished(stage)
    return work.finished(eval_stage(generation, work.store, ks))


def _perplexity(key: str, question: Question, on: Literal["gold", "greedy"], work: Work) -> Artifact:
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.bases import find_start  # noqa: PLC0415
    from budgetctl.study.evaluations import generation_named  # noqa: PLC0415
    from budgetctl.study.requests import perplexity_stage  # noqa: PLC0415

    generation = generation_named(key, work.store)
    if generation is not None:
        shaping = [
            name for name in ANSWERS if name != "engine"
        ]  # an engine scores the answers that are there
        _refuse_beside_answers(key, work.context, ("data", *ROWS, *shaping))
        model = generation.parents.get("checkpoint") or generation.parents["base"]
        base, checkpoint = find_start(model, work.store, work.execution)
        prompts = generation.parents["prompts"]
        if on == "greedy" and generation.identity["decoding"]["temperature"] > 0:
            raise UsageError(
                f"the answers of generation {generation.key[:12]} were drawn at temperature "
                f"{generation.identity['decoding']['temperature']:g}, not greedily; give the model's key instead"
            )
    elif on == "greedy":
        stage, base = _asked(key, question, work)
        generation = work.finished(stage)
        checkpoint, prompts = stage.checkpoint, stage.prompts
    else:
        refuse_given(work.context, ("max_new_tokens", "seed"), "gold answers are not generated")
        base, checkpoint = find_start(key, work.store, work.execution)
        prompts = prompts_of(question, checkpoint, work.store, work.execution).key
    answers = generation.key if on == "greedy" and generation is not None else None
    return work.finished(perplexity_stage(base, checkpoint, prompts, answers, question.engine))


def _refuse_beside_answers(key: str, context: typer.Context, names: Iterable[str]) -> None:
    refuse_given(
        context, names, f"{key} names generations, whose answers are there (for others give the model's key)"
    )


def _asked(key: str, question: Question, work: Work) -> tuple[GenStage, FoundBase]:
    """The generation that lets a named model answer, and its base."""
    from budgetctl.study.bases import find_start  # noqa: PLC0415

    base, checkpoint = find_start(key, work.store, work.execution)
    prompts = prompts_of(question, checkpoint, work.store, work.execution)
    return gen_stage_of(question, base, checkpoint, prompts), base
