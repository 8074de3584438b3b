"""`budgetctl fork`: one watched supervised finetuning, and the states of it that triggers ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
)
from budgetctl.cli.training_options import MOST_SEED, training_settings

if TYPE_CHECKING:
    from store import Artifact


def fork(
    base: Annotated[
        str, typer.Option(help="A base model: its key, a name such as tiny or llama3-1B, a folder, a hub id.")
    ],
    data: Annotated[str, typer.Option(help="Key of SFT rows, from `budgetctl data … --kind sft`.")],
    dev: Annotated[
        str, typer.Option(help="Key of dev rows, from `budgetctl data … --kind eval --split dev`.")
    ],
    perplexity: Annotated[
        list[float] | None,
        typer.Option(
            help="Fork when dev perplexity is surely at or below this; repeatable.", show_default=False
        ),
    ] = None,
    pass_at: Annotated[
        list[str] | None,
        typer.Option(
            "--pass",
            metavar="K:SHARE",
            help="Fork when dev pass@K is surely at or above SHARE; repeatable.",
            show_default=False,
        ),
    ] = None,
    plateau: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC[:PATIENCE[:GAIN]]",
            show_default=False,
            help="Fork when perplexity or pass@K has made no visible gain for so many evaluations; repeatable.",
        ),
    ] = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Fork every so many examples.", show_default=False)
    ] = None,
    at: Annotated[
        list[int] | None,
        typer.Option(help="Fork after so many examples; repeatable.", show_default=False),
    ] = None,
    monitor: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric that is only logged: perplexity, pass@1, …; repeatable.", show_default=False
        ),
    ] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Examples between two evaluations; without it, the run is evaluated 16 times.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        float, typer.Option(help="One-sided confidence of a whole run that a threshold is really passed.")
    ] = 0.9,
    samples: Annotated[int, typer.Option(min=1, help="Answers per dev prompt, for pass@K.")] = 4,
    temperature: Annotated[float, typer.Option(help="Of those answers.")] = 0.7,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest of those answers.", show_default=False)
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict/--loose", help="By which of the task's readings those answers count.")
    ] = True,
    engine: Annotated[
        Literal["transformers", "vllm"], typer.Option(help="What generates those answers.")
    ] = "transformers",
    anneal: Annotated[
        float | None,
        typer.Option(
            help="Let each fork's learning rate fall to zero over this share of its examples, on top of them.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows.", show_default=False)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.", show_default=False)] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Effective batch size.", show_default=False)
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Of the adapter, the order of rows and the answers.")
    ] = 0,
    settings: SetOption = None,
    store: StoreOption = None,
    device: DeviceOption = "auto",
    micro_batch: MicroBatchOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    steal: StealOption = False,
) -> None:
    """Train once, fork often: print the key of each state that a trigger asked for, to start `pft --from` it.

    What fired, where, and what did not goes to stderr; the trunk's key too.

    Example: budgetctl fork --base tiny --data $D --dev $V --perplexity 2 --plateau perplexity:3 --at 128
    """  # fmt: skip
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.bases import make_base, named_base  # noqa: PLC0415
    from budgetctl.study.fork_request import fork_stages, trunk_stage  # noqa: PLC0415
    from budgetctl.study.requests import check_settings  # noqa: PLC0415
    from budgetctl.training.config import SftSettings  # noqa: PLC0415

    triggers: list[Any] = [{"perplexity": threshold} for threshold in perplexity or ()]
    triggers += [_pass(text) for text in pass_at or ()]
    triggers += [_plateau(text) for text in plateau or ()]
    triggers += [{"every": every}] if every is not None else []
    triggers += [{"at": list(at)}] if at else []
    opened = open_store(store)
    execution = Execution(device=device, micro_batch=micro_batch, threads=threads, offline=offline)
    rows, dev_rows = (opened.artifact(opened.resolve(key)) for key in (data, dev))
    chosen = training_settings(settings, lr, epochs=epochs, batch_size=batch_size)
    check_settings(SftSettings, chosen, "sft")
    watch: dict[str, Any] = {"level": level, "samples": samples, "temperature": temperature, "strict": strict}
    watch |= {
        "engine": engine,
        "max_new_tokens": max_new_tokens,
        "keep_state": anneal is not None,
        "monitors": tuple(monitor or ()),
    }
    watch |= {"every": evaluate_every} if evaluate_every is not None else {}
    named = named_base(base, opened, offline)
    trunk = trunk_stage(named, rows, dev_rows, chosen, seed, triggers, watch)
    stages = [trunk, *fork_stages(trunk, anneal)]
    make_base(named, opened, execution)  # after all that may be refused: it can take long
    _, *forks = _run(stages, opened, execution, steal)
    _tell(forks)
    for made in forks:
        if made.metrics["fired"] and not made.metrics["same_as"]:
            print(made.key)


def _run(stages: Sequence[Any], store: Any, execution: Any, steal: bool) -> list[Artifact]:
    """Run stages one after the other in this process; an engine one starts serves the next."""
    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.engines.kept import close_engines  # noqa: PLC0415
    from budgetctl.signals import stop_on_signals  # noqa: PLC0415
    from budgetctl.stages.execute import execute  # noqa: PLC0415

    reporter = make_reporter(quiet="BUDGETCTL_QUIET" in os.environ)
    keep: dict[str, object] = {}
    made = []
    try:
        with stop_on_signals() as stop:
            for stage in stages:
                outcome = execute(stage, store, execution, reporter, should_stop=stop, keep=keep, steal=steal)
                how = "found" if outcome.hit else f"done in {outcome.wall_s:.1f} s"
                if stage.name == "trunk":
                    reporter.say(f"trunk {outcome.artifact.key}: {how}")
                made.append(outcome.artifact)
    finally:
        close_engines(keep)
    return made


def _tell(forks: Sequence[Artifact]) -> None:
    """Print what became of each trigger, on stderr."""
    print(f"{'trigger':42} {'examples':>8} {'rows':>6}  {'metric (95 % interval)':36} fork", file=sys.stderr)
    for made in forks:
        about = made.metrics
        figure = "–"
        if about["metric"] is not None:
            figure = f"{about['metric']} {about['value']:.4g} ({about['low']:.4g} – {about['high']:.4g})"
        if not about["fired"]:
            state = "never fired" + (f"; best seen after {about['examples']}" if about["metric"] else "")
            where = f"{'–':>8} {'–':>6}"
        else:
            state = f"as {about['same_as']}" if about["same_as"] else made.key[:12]
            where = f"{about['examples']:>8} {about['distinct']:>6}"
        print(f"{about['trigger']:42} {where}  {figure:36} {state}", file=sys.stderr)


def _pass(text: str) -> dict[str, float]:
    """Read `K:SHARE`.

    Raises:
        UsageError: It is something else.
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    k, _, share = text.rpartition(":")
    try:
        return {f"pass@{int(k)}": float(share)}
    except ValueError as error:
        raise UsageError(f"--pass takes K:SHARE, such as 1:0.3; got {text!r}") from error


def _plateau(text: str) -> dict[str, Any]:
    """Read `METRIC`, `METRIC:PATIENCE` or `METRIC:PATIENCE:GAIN`.

    Raises:
        UsageError: It is something else.
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    metric, *numbers = text.split(":")
    try:
        given = dict(zip(("patience", "min_gain"), (int, float), strict=True))
        read = {name: kind(part) for (name, kind), part in zip(given.items(), numbers, strict=False)}
        if len(numbers) > len(given):
            raise ValueError
    except ValueError as error:
        raise UsageError(
            f"--plateau takes METRIC:PATIENCE:GAIN, such as perplexity:3:0.01; got {text!r}"
        ) from error
    return {"plateau": {"metric": metric, **read}}
