"""`budgetctl worker`: run the stages of a stored plan."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from budgetctl.cli.common import (
    DeviceOption,
    MicroBatchOption,
    OfflineOption,
    StoreOption,
    ThreadsOption,
    open_store,
)
from budgetctl.cli.training_options import (
    CheckpointOption,
    ProcessesOption,
    ReferenceOption,
    ShardOption,
    TrackOption,
    training_execution,
)


def worker(
    plan_id: Annotated[str, typer.Option("--plan", help="Id of a stored plan, or a unique prefix.")],
    store: StoreOption = None,
    device: DeviceOption = "auto",
    micro_batch: MicroBatchOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    processes: ProcessesOption = 1,
    shard: ShardOption = False,
    checkpoint_every: CheckpointOption = 600.0,
    keep_reference: ReferenceOption = True,
    track: TrackOption = None,
    max_failures: Annotated[int, typer.Option(min=1, help="Failures after which a stage is given up.")] = 2,
    forgive_before: Annotated[
        str, typer.Option(help="ISO time before which failures do not count.", hidden=True)
    ] = "",
    forgive_deaths_before: Annotated[
        str, typer.Option(help="ISO time before which deaths of workers do not count.", hidden=True)
    ] = "",
    deadline: Annotated[
        float | None,
        typer.Option(
            envvar="BUDGETCTL_DEADLINE",
            help="When to be done, in seconds since 1970: no stage is started that would be cut off.",
            show_default=False,
        ),
    ] = None,
    planned_with: Annotated[str, typer.Option(help="Code revision that made the plan.", hidden=True)] = "",
) -> None:
    """Claim, run and publish stages of a plan until none remains; start as many as you like, anywhere.

    Exit codes: 0 all published, 1 some stages failed, 75 interrupted and resumable.

    Example: budgetctl worker --plan 3f9a
    """
    import time  # noqa: PLC0415

    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.errors import InterruptedRunError  # noqa: PLC0415
    from budgetctl.provenance import code_revision  # noqa: PLC0415
    from budgetctl.signals import stop_on_signals, stop_with_parent  # noqa: PLC0415
    from budgetctl.study.board import StoreState  # noqa: PLC0415
    from budgetctl.study.deadline import TimeLimit  # noqa: PLC0415
    from budgetctl.study.plan import Plan  # noqa: PLC0415
    from budgetctl.study.ranks import largest_rank  # noqa: PLC0415
    from budgetctl.study.running import StageRunner  # noqa: PLC0415
    from budgetctl.study.worker import RetryPolicy, Worker  # noqa: PLC0415

    reporter = make_reporter()
    with stop_on_signals() as stop:
        stop_with_parent()
        opened = open_store(store, create=False)
        plan = Plan.from_document(opened.load_plan(plan_id))
        execution = training_execution(
            device, micro_batch, threads, processes, shard, checkpoint_every, track, offline, keep_reference
        ).model_copy(
            update={
                "sources": {name: Path(path) for name, path in plan.sources.items()},
                "adapter_rank": largest_rank(plan),
                "side_by_side": True,
            }
        )
        if planned_with and planned_with != (here := code_revision()):
            reporter.say(f"planned with code {planned_with}, running {here or 'code of no git repository'}")
        runner = StageRunner(opened, execution, reporter, stop)
        loop = Worker(
            plan,
            StoreState(opened),
            runner,
            reporter,
            stop,
            RetryPolicy(max_failures, forgive_before, forgive_deaths_before),
            TimeLimit(time.time(), deadline) if deadline else None,
            stop_when_tainted=_on_gpu,
        )
        try:
            result = loop.run()
        finally:
            runner.forget()
    if result.interrupted:
        raise InterruptedRunError(f"stopped by {stop.signal_name}; start a worker again to continue")
    if result.out_of_time:
        raise InterruptedRunError("out of time; start a worker with more of it to continue")
    if result.tainted and _on_gpu():
        reporter.say("a stage failed on the GPU; going on in a fresh process")
        os.execv(sys.executable, [sys.executable, "-P", "-m", "budgetctl", *sys.argv[1:]])
    reporter.say(f"worker done: ran {len(result.ran)} stages, {len(result.failed)} failed")
    for key, reason in result.failed.items():
        reporter.say(f"failed: {loop.plan.stages[key].stage} {key[:12]}: {reason}")
    if result.failed:
        raise typer.Exit(1)


def _on_gpu() -> bool:
    """Whether this process has used a GPU, whose context may not survive a failure."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
