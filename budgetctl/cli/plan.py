"""`budgetctl plan`: what a study consists of and costs, and the script that runs it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from budgetctl.cli.common import (
    DeviceOption,
    JsonOption,
    MicroBatchOption,
    SetOption,
    StoreOption,
    ThresholdsOption,
    open_store,
    print_warning,
    recipe_from,
)
from budgetctl.cli.training_options import ProcessesOption, ShardOption, TrackOption, worker_options

if TYPE_CHECKING:
    from budgetctl.study.estimate import PlanEstimate
    from budgetctl.study.plan import Plan
    from budgetctl.study.recipe import Recipe
    from budgetctl.study.state import PlanState

Emit = Literal["slurm", "bash", "k8s", "json", "dot", "table"]
_PANEL = "Batch job (instead of the recipe's slurm: section)"


def _batch(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=_PANEL, show_default=False, **more)


def plan(
    grid: Annotated[Path, typer.Option("--grid", help="The recipe.")],
    store: StoreOption = None,
    emit: Annotated[
        Emit | None,
        typer.Option(
            help="What stdout gets; default: slurm into a pipe or file, nothing on a terminal.",
            show_default=False,
        ),
    ] = None,
    json_: JsonOption = False,
    cells: Annotated[
        bool, typer.Option("--cells", help="Also list every cell with its rows and stages.")
    ] = False,
    why: Annotated[
        bool, typer.Option("--why", help="Also say how each missing stage differs from its nearest artifact.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Let the script's workers try again what was given up.")
    ] = False,
    partition: Annotated[str | None, _batch("--partition", "Partition, or several with commas.")] = None,
    account: Annotated[str | None, _batch("--account", "Account that pays.")] = None,
    qos: Annotated[str | None, _batch("--qos", "Quality of service.")] = None,
    time: Annotated[
        str | None, _batch("--time", "Time limit of one worker; it is requeued when it reaches it.")
    ] = None,
    gpus: Annotated[str | None, _batch("--gpus", "GPUs of one worker: N or TYPE:N.")] = None,
    cpus: Annotated[int | None, _batch("--cpus", "CPU cores of one worker.")] = None,
    mem: Annotated[str | None, _batch("--mem", "Memory of one worker, such as 64G.")] = None,
    constraint: Annotated[
        str | None, _batch("--constraint", "Features of the nodes, such as a100|h100.")
    ] = None,
    array: Annotated[str | None, _batch("--array", "Workers, and how many at once: 64%16.")] = None,
    setup: Annotated[
        list[str] | None,
        _batch(
            "--setup",
            "Line that prepares the environment: module load …, source …, conda activate …; repeatable.",
        ),
    ] = None,
    python: Annotated[str | None, _batch("--python", "Interpreter on the nodes.")] = None,
    image: Annotated[str | None, _batch("--image", "Container image, for --emit k8s.")] = None,
    claim: Annotated[
        str | None, _batch("--claim", "Volume claim that holds the store, for --emit k8s.")
    ] = None,
    device: DeviceOption = "auto",
    micro_batch: MicroBatchOption = None,
    processes: ProcessesOption = 1,
    shard: ShardOption = False,
    track: TrackOption = None,
    checkpoint_every: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds between a training's checkpoints.", show_default=False),
    ] = None,
    settings: SetOption = None,
    thresholds: ThresholdsOption = None,
) -> None:
    """Store a study's plan, show it on stderr, and print the script that runs it on stdout.

    Example: budgetctl plan --grid recipes/quickstart-slurm.yaml | sbatch
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.slurm.settings import parse_array  # noqa: PLC0415
    from budgetctl.slurm.submission import overridden  # noqa: PLC0415
    from budgetctl.study.build import plan_study  # noqa: PLC0415
    from budgetctl.study.estimate import estimate_plan  # noqa: PLC0415
    from budgetctl.study.overview import cell_list, missing, overview, to_dot  # noqa: PLC0415
    from budgetctl.study.state import state_of  # noqa: PLC0415
    from budgetctl.study.trainings_check import check_processes  # noqa: PLC0415

    recipe = recipe_from(grid, settings, thresholds)
    changes: dict[str, Any] = {
        "partition": partition, "account": account, "qos": qos, "time": time, "gpus": gpus, "cpus": cpus,
        "mem": mem, "constraint": constraint, "setup": setup, "python": python,
    }  # fmt: skip
    if array is not None:
        try:
            changes |= parse_array(array)
        except ValueError as error:
            raise UsageError(str(error)) from error
    pods = overridden(recipe.kubernetes, {"image": image, "claim": claim}, "kubernetes")
    recipe = recipe.model_copy(update={"slurm": overridden(recipe.slurm, changes), "kubernetes": pods})
    opened = open_store(store)
    planned = plan_study(recipe_from(grid, settings, thresholds), opened, warn=print_warning)
    check_processes(planned, opened.many_has(planned.stages), processes, shard)
    plan_id = opened.save_plan(planned.document())
    now = datetime.now(UTC).isoformat(timespec="milliseconds") if retry_failed else ""
    state = state_of(planned, opened, forgive_before=now)
    estimate = estimate_plan(planned, opened, history=bool(missing(state)))

    wanted = "json" if json_ else emit or ("table" if sys.stdout.isatty() else "slurm")
    table = [overview(planned, plan_id, state, estimate, recipe)]
    table += [cell_list(planned, state)] if cells else []
    if why:
        from budgetctl.study.reasons import reasons  # noqa: PLC0415

        table.append(reasons(planned, opened, state))
    print("\n".join(table), file=sys.stdout if emit == "table" and not json_ else sys.stderr)
    if wanted == "json":
        print(json.dumps(_document(planned, plan_id, state, estimate)))
    elif wanted == "dot":
        print(to_dot(planned, state))
    elif wanted in ("slurm", "bash", "k8s"):
        options = ["--device", device, *(["--micro-batch", str(micro_batch)] if micro_batch else [])]
        options += worker_options(processes, shard, track)
        options += ["--checkpoint-every", f"{checkpoint_every:g}"] if checkpoint_every is not None else []
        options += ["--forgive-before", now] if retry_failed else []
        print(_script(wanted, recipe, planned, plan_id, state, opened.root, options), end="")
    elif emit is None:
        print(
            f"to run it: budgetctl plan --grid {grid} | sbatch, or budgetctl run --grid {grid}",
            file=sys.stderr,
        )


def _script(
    wanted: str, recipe: Recipe, planned: Plan, plan_id: str, state: PlanState, root: Path, options: list[str]
) -> str:
    from budgetctl.slurm.script import render_bash, render_slurm  # noqa: PLC0415
    from budgetctl.slurm.submission import submission  # noqa: PLC0415
    from budgetctl.study.overview import summary, to_do  # noqa: PLC0415

    settings = recipe.slurm
    ready = submission(
        settings,
        plan_id=plan_id,
        name=planned.name,
        store=root,
        remaining=to_do(planned, state),
        summary=summary(planned, state),
        options=options,
    )
    if wanted == "slurm":
        for warning in ready.warnings:
            print_warning(warning)
        for line in settings.setup:
            print(f"setup: {line}", file=sys.stderr)
    if wanted == "k8s":
        from budgetctl.slurm.kubernetes import render_kubernetes  # noqa: PLC0415

        if settings.setup:
            print_warning("slurm.setup is not used in pods; prepare the image instead")
        return render_kubernetes(recipe.kubernetes, settings, ready.job)
    text = render_slurm(settings, ready.job) if wanted == "slurm" else render_bash(settings, ready.job)
    ready.job.logs.mkdir(parents=True, exist_ok=True)
    print(f"{ready.job.workers} workers; logs in {ready.job.logs}", file=sys.stderr)
    return text


def _document(planned: Plan, plan_id: str, state: PlanState, estimate: PlanEstimate) -> dict[str, Any]:
    stages = {
        key: {
            "stage": planned.stages[key].stage,
            "state": found,
            "estimated_s": round(estimate.stages[key].seconds, 3),
            "estimated_from": estimate.stages[key].source,
        }
        for key, found in state.stages.items()
    }
    listed = [{"name": c.name, **c.axes, "stages": dict(c.stages)} for c in planned.cells]
    return {"plan": plan_id, "cells": listed, "stages": stages}
