"""What several commands share: the store, execution options, and running one stage."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from budgetctl.stages.stage import Execution, Stage
    from budgetctl.study.recipe import Recipe
    from store import Artifact, Store

STORE_FOLDER = ".budgetctl"

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="BUDGETCTL_STORE",
        help="The store; without it, the nearest .budgetctl/ upward, or a new one here.",
        show_default=False,
    ),
]


def _device(name: str) -> str:
    from budgetctl.devices import checked_device  # noqa: PLC0415

    return checked_device(name)


DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N.", envvar="BUDGETCTL_DEVICE", callback=_device)
]
MicroBatchOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Rows of one forward pass; never changes the effective batch.", show_default=False
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPU threads.", envvar="BUDGETCTL_THREADS", show_default=False)
]
StealOption = Annotated[
    bool, typer.Option("--steal", help="Take the lease even if another process holds it.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting by its name, dots for nesting; repeatable.",
        show_default=False,
    ),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Never ask a hub.", envvar="BUDGETCTL_OFFLINE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


ThresholdsOption = Annotated[
    str | None,
    typer.Option(
        "--thresholds",
        help="Instead of the recipe's triggers: perplexities to fork at, or pass@K:SHARE, with commas.",
        show_default=False,
    ),
]


def recipe_from(grid: Path, settings: list[str] | None = None, thresholds: str | None = None) -> Recipe:
    """Read a recipe, with what the command line changes in it.

    Raises:
        UsageError: The file, an option, or the study that both describe is not valid.
    """
    from budgetctl.study.recipe import load_recipe  # noqa: PLC0415

    triggers = None if thresholds is None else [_trigger(entry.strip()) for entry in thresholds.split(",")]
    return load_recipe(grid, settings_from(settings), triggers)


def _trigger(entry: str) -> dict[str, Any]:
    """Read `3.5` or `pass@1:0.3`.

    Raises:
        UsageError: It is neither.
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    metric, _, value = entry.rpartition(":")
    try:
        return {metric or "perplexity": float(value)}
    except ValueError as error:
        raise UsageError(
            f"--thresholds takes perplexities such as 3.5 or entries such as pass@1:0.3; got {entry!r}"
        ) from error


def print_warning(text: str) -> None:
    """Tell of something that may go wrong."""
    print(f"warning: {text}", file=sys.stderr)


def find_store(named: Path | None) -> Path:
    """The store's folder: the one named, else the nearest upward like a `.git`, else a new one here."""
    if named is not None:
        return named
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / STORE_FOLDER).is_dir():
            return folder / STORE_FOLDER
    return Path.cwd() / STORE_FOLDER


def open_store(named: Path | None, create: bool = True) -> Store:
    """Open (or create) the store to use.

    Raises:
        StoreError: It cannot be opened, or was written by a newer version.
    """
    from store import Store  # noqa: PLC0415

    return Store.open(find_store(named), create=create)


def settings_from(pairs: list[str] | None) -> dict[str, Any]:
    """Turn `--set optimizer.lr=1e-4` options into nested settings; values are read as YAML.

    Raises:
        UsageError: An option is not KEY=VALUE, its value is no YAML, or two do not fit each other.
    """
    import yaml  # noqa: PLC0415

    from budgetctl.errors import UsageError  # noqa: PLC0415

    settings: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set takes KEY=VALUE, such as --set lora.r=16; got {pair!r}")
        try:
            value = _number(yaml.safe_load(text))
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or error
            raise UsageError(f"--set {pair}: {text!r} is not valid YAML ({problem})") from error
        lay(settings, name, value)
    return settings


def lay(settings: dict[str, Any], name: str, value: Any) -> None:
    """Put a value at a dotted place of nested settings.

    Raises:
        UsageError: A part of the place holds a value, not settings.
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    *path, last = name.split(".")
    place = settings
    for depth, part in enumerate(path, start=1):
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            section = ".".join(path[:depth])
            raise UsageError(
                f"{section} was set to {inner!r}, and {name} is one of its settings; give {section} no value of its own"
            )
        place = inner
    place[last] = value


def _number(value: Any) -> Any:
    """YAML 1.1 reads `1e-4` as text; a person means the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def run_stage(stage: Stage, store: Store, execution: Execution, steal: bool = False) -> str:
    """Run one stage (or find it), print its key on stdout, and return it."""
    key = finished(stage, store, execution, steal).key
    print(key)
    return key


def finished(
    stage: Stage,
    store: Store,
    execution: Execution,
    steal: bool = False,
    keep: dict[str, object] | None = None,
) -> Artifact:
    """Run one stage (or find it), say on stderr what came out, and return its artifact.

    Args:
        stage: What to run.
        store: Where it is looked for and published.
        execution: How to run it.
        steal: Take the lease even if another process holds it.
        keep: What several stages of one command share, such as an engine.
    """
    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.signals import stop_on_signals  # noqa: PLC0415
    from budgetctl.stages.execute import execute  # noqa: PLC0415

    reporter = make_reporter(quiet="BUDGETCTL_QUIET" in os.environ)
    with stop_on_signals() as stop:
        outcome = execute(stage, store, execution, reporter, should_stop=stop, keep=keep, steal=steal)
    made = outcome.artifact
    how = f"found in {store.root}" if outcome.hit else f"done in {outcome.wall_s:.1f} s"
    told = (f"{stage.name} {made.key[:12]}: {how}", cut_answers(made, store), figures(made.metrics))
    reporter.say("  ".join(part for part in told if part))
    return made


def cut_answers(artifact: Artifact, store: Store) -> str:
    """How many of the answers that an artifact holds, or scores, were cut off; empty where none was."""
    cut = artifact.metrics.get("truncated")
    if artifact.stage not in ("gen", "eval") or not cut:
        return ""
    told = f"{cut} of {artifact.metrics['answers']} answers cut"
    generation = artifact.key if artifact.stage == "gen" else artifact.parents["gen"]
    if not store.has(generation):  # collected; the evaluation stays
        return told
    return f"{told} at {store.artifact(generation).identity['decoding']['max_new_tokens']} tokens"


def figures(metrics: Mapping[str, Any]) -> str:
    """The figures of an artifact in one line, each with its interval where it has one."""
    told = []
    for name, value in metrics.items():
        if isinstance(value, float) and not name.endswith(("_low", "_high")):
            low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
            interval = f" ({low:.4g} to {high:.4g})" if low is not None and high is not None else ""
            told.append(f"{name} {value:.4g}{interval}")
    return "  ".join(told)
