"""`budgetctl eval`: scores, pass@k and perplexity of one model, and two models against each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

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
    gen_stage_of,
    prompts_of,
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

if TYPE_CHECKING:
    from budgetctl.stages.gen import GenStage
    from budgetctl.stages.stage import Execution
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


@app.callback(invoke_without_command=True)
def evaluate() -> None:
    """Score stored generations, or let a model answer first; `eval KEY` is short for `eval score KEY`.

    Example: budgetctl eval $(budgetctl gen $P --split test)
    """


@app.command(SCORE)
def score(
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
    if decoding == "greedy" and samples > 1:
        decoding = "sample"
    opened = open_store(store)
    execution = Execution(
        device=device, threads=threads, offline=offline, generation_batch=batch, processes=processes
    )
    question = Question(data, task, split, size, path, decoding, samples, max_new_tokens, seed, engine)
    keep: dict[str, object] = {}
    try:
        if perplexity is None:
            found = _scored(key, question, ks, opened, execution, steal, keep)
        else:
            found = _perplexity(key, question, perplexity, opened, execution, steal, keep)
    finally:
        close_engines(keep)
    print(json.dumps({"key": found.key, **found.metrics}) if json_ else found.key)


@app.command("diff")
def diff(
    left: Annotated[
        str, typer.Argument(help="Key of an evaluation, a perplexity, generations or a checkpoint.")
    ],
    right: Annotated[str, typer.Argument(help="Another one of the same rows.")],
    store: StoreOption = None,
    json_: JsonOption = False,
) -> None:
    """Compare two models on the same prompts: McNemar's test, a bootstrap over prompts, and a verdict.

    Generations are scored first. A checkpoint stands for its evaluation on the rows, and with the decoding, that
    both sides were evaluated on.

    Example: budgetctl eval diff $S $P
    """
    from budgetctl.study.evaluations import comparable  # noqa: PLC0415

    opened = open_store(store, create=False)
    first, second = comparable(left, right, opened)
    if first.stage == "perplexity":
        from budgetctl.study.evaluations import compared_perplexities  # noqa: PLC0415

        ratio = compared_perplexities(first, second)
        print(json.dumps(ratio.as_json()) if json_ else ratio.as_text(), end="\n" if json_ else "")
        return
    from budgetctl.cli.report_parts import print_comparison  # noqa: PLC0415

    print_comparison(first, second, json_)


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


def _scored(
    key: str,
    question: Question,
    ks: tuple[int, ...],
    opened: Store,
    execution: Execution,
    steal: bool,
    keep: dict[str, object],
) -> Artifact:
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.evaluations import generation_named  # noqa: PLC0415
    from budgetctl.study.requests import eval_stage  # noqa: PLC0415

    generation = generation_named(key, opened)
    if generation is None:
        stage, _ = _asked(key, question, opened, execution)
        samples = stage.identity.decoding.samples
        if max(ks, default=0) > samples:
            raise UsageError(
                f"pass@{max(ks)} needs at least {max(ks)} answers a prompt; add --samples {max(ks)}"
            )
        generation = finished(stage, opened, execution, steal, keep)
    return finished(eval_stage(generation, opened, ks), opened, execution, steal)


def _perplexity(
    key: str,
    question: Question,
    on: Literal["gold", "greedy"],
    opened: Store,
    execution: Execution,
    steal: bool,
    keep: dict[str, object],
) -> Artifact:
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.bases import find_start  # noqa: PLC0415
    from budgetctl.study.evaluations import generation_named  # noqa: PLC0415
    from budgetctl.study.requests import perplexity_stage  # noqa: PLC0415

    generation = generation_named(key, opened)
    if generation is not None:
        model = generation.parents.get("checkpoint") or generation.parents["base"]
        base, checkpoint = find_start(model, opened, execution)
        prompts = generation.parents["prompts"]
        if on == "greedy" and generation.identity["decoding"]["temperature"] > 0:
            raise UsageError(
                f"the answers of generation {generation.key[:12]} were drawn at temperature "
                f"{generation.identity['decoding']['temperature']:g}, not greedily; give the model's key instead"
            )
    elif on == "greedy":
        stage, base = _asked(key, question, opened, execution)
        generation = finished(stage, opened, execution, steal, keep)
        checkpoint, prompts = stage.checkpoint, stage.prompts
    else:
        base, checkpoint = find_start(key, opened, execution)
        prompts = prompts_of(question, checkpoint, opened, execution).key
    answers = generation.key if on == "greedy" and generation is not None else None
    wanted = perplexity_stage(base, checkpoint, prompts, answers, question.engine)
    return finished(wanted, opened, execution, steal, keep)


def _asked(key: str, question: Question, opened: Store, execution: Execution) -> tuple[GenStage, FoundBase]:
    """The generation that lets a named model answer, and its base."""
    from budgetctl.study.bases import find_start  # noqa: PLC0415

    base, checkpoint = find_start(key, opened, execution)
    prompts = prompts_of(question, checkpoint, opened, execution)
    return gen_stage_of(question, base, checkpoint, prompts), base
