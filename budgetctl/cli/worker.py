"""`budgetctl worker`: run the stages of a stored plan."""

from __future__ import annotations

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


def worker(
    plan_id: Annotated[str, typer.Option("--plan", help="Id of a stored plan, or a unique prefix.")],
    store: StoreOption = None,
    device: DeviceOption = "auto",
    micro_batch: MicroBatchOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    max_failures: Annotated[int, typer.Option(min=1, help="Failures after which a stage is given up.")] = 2,
    forgive_before: Annotated[
        str, typer.Option(help="ISO time before which failures do not count.", hidden=True)
    ] = "",
) -> None:
    """Claim, run and publish stages of a plan until none remains; start as many as you like, anywhere.

    Exit codes: 0 all published, 1 some stages failed, 75 interrupted and resumable.

    Example: budgetctl worker --plan 3f9a
    """
    from budgetctl.console import make_reporter  # noqa: PLC0415
    from budgetctl.errors import InterruptedRunError  # noqa: PLC0415
    from budgetctl.signals import stop_on_signals  # noqa: PLC0415
    from budgetctl.stages.stage import Execution  # noqa: PLC0415
    from budgetctl.study.plan import Plan  # noqa: PLC0415
    from budgetctl.study.worker import RetryPolicy, Worker  # noqa: PLC0415

    opened = open_store(store, create=False)
    plan = Plan.from_document(opened.load_plan(plan_id))
    execution = Execution(
        device=device,
        micro_batch=micro_batch,
        threads=threads,
        offline=offline,
        sources={name: Path(path) for name, path in plan.sources.items()},
    )
    reporter = make_reporter()
    with stop_on_signals() as stop:
        retry = RetryPolicy(max_failures, forgive_before)
        result = Worker(plan, opened, execution, reporter, stop, retry).run()
    if result.interrupted:
        raise InterruptedRunError(f"stopped by {stop.signal_name}; start a worker again to continue")
    reporter.say(f"worker done: ran {len(result.ran)} stages, {len(result.failed)} failed")
    if result.failed:
        raise typer.Exit(1)
