"""`budgetctl run`: a whole study on this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from budgetctl.cli.common import (
    DeviceOption,
    MicroBatchOption,
    OfflineOption,
    SetOption,
    StoreOption,
    ThresholdsOption,
    open_store,
    recipe_from,
)
from budgetctl.cli.training_options import ProcessesOption, ShardOption, TrackOption, worker_options


def run(
    grid: Annotated[Path, typer.Option("--grid", help="The recipe.")],
    store: StoreOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Worker processes; default: one per GPU, else by cores.", show_default=False
        ),
    ] = None,
    only: Annotated[Literal["data"] | None, typer.Option(help="Prepare every dataset and stop.")] = None,
    device: DeviceOption = "auto",
    micro_batch: MicroBatchOption = None,
    processes: ProcessesOption = 1,
    shard: ShardOption = False,
    track: TrackOption = None,
    offline: OfflineOption = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try stages again that were given up.")
    ] = False,
    settings: SetOption = None,
    thresholds: ThresholdsOption = None,
) -> None:
    """Run a study and print its table. Killed or interrupted, the same command goes on where it stopped.

    Example: budgetctl run --grid recipes/quickstart.yaml --jobs 2
    """
    from budgetctl.cli.report import print_tables  # noqa: PLC0415
    from budgetctl.cli.report_forks import print_forks  # noqa: PLC0415
    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.engines.gpus import visible_gpus  # noqa: PLC0415
    from budgetctl.errors import BudgetctlError, InterruptedRunError  # noqa: PLC0415
    from budgetctl.signals import stop_on_signals  # noqa: PLC0415
    from budgetctl.study.branches import grown_in  # noqa: PLC0415
    from budgetctl.study.build import plan_study  # noqa: PLC0415
    from budgetctl.study.local import default_jobs, run_workers  # noqa: PLC0415
    from budgetctl.study.overview import to_do  # noqa: PLC0415
    from budgetctl.study.state import StageState, state_of  # noqa: PLC0415
    from budgetctl.study.trainings_check import check_processes  # noqa: PLC0415

    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    recipe = recipe_from(grid, settings, thresholds)
    opened = open_store(store)
    reporter = make_reporter()
    plan = plan_study(recipe, opened, warn=lambda text: reporter.say(f"warning: {text}"))
    if only == "data":
        plan = plan.only("data")
    check_processes(plan, opened.many_has(plan.stages), processes, shard)
    plan_id = opened.save_plan(plan.document())
    state = state_of(plan, opened)
    hits = state.count(StageState.HIT)
    reporter.say(
        f"plan {plan_id[:12]}: {len(plan.cells)} cells, {len(plan.stages)} distinct stages, {hits} already there"
    )
    if hits < len(plan.stages):
        options = ["--device", device, *(["--micro-batch", str(micro_batch)] if micro_batch else [])]
        options += ["--offline"] if offline else []
        options += worker_options(processes, shard, track)
        options += ["--forgive-deaths-before", now, *(["--forgive-before", now] if retry_failed else [])]
        workers = min(jobs or default_jobs(len(visible_gpus()) // processes), to_do(plan, state))
        with stop_on_signals() as stop:
            run_workers(plan, plan_id, opened, options, workers, reporter, stop)
        plan = grown_in(plan, opened)
        state = state_of(plan, opened, forgive_before=now if retry_failed else "", forgive_deaths_before=now)
        if stop():
            raise InterruptedRunError(
                f"stopped by {stop.signal_name}; run the same command again to continue"
            )
    if only is None:
        print_tables(plan, opened)
        if plan.branches:
            print_forks(plan, opened)
    unfinished = len(plan.stages) - state.count(StageState.HIT)
    if unfinished:
        reasons = "\n".join(
            f"  {plan.stages[key].stage} {key[:12]}: {why}" for key, why in state.failures.items()
        )
        raise BudgetctlError(
            f"{unfinished} of {len(plan.stages)} stages are not done:\n{reasons}\n"
            "mend the cause, then run again with --retry-failed"
        )
