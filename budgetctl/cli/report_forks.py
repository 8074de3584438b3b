"""`budgetctl report forks`: where a training run was forked, and what came of it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from budgetctl.cli.common import SetOption, StoreOption, ThresholdsOption, open_store
from budgetctl.cli.drawing import drawn
from budgetctl.cli.reported_study import GridOption, PageOption, PlanIdOption, ReportedStudy

if TYPE_CHECKING:
    from budgetctl.analysis.fork_table import ForkTable
    from budgetctl.study.plan import Plan
    from store import Store

Format = Literal["table", "md", "csv", "json", "latex"]


def forks(
    grid: GridOption = None,
    plan_id: PlanIdOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Also draw metrics and scores: .png, .svg or .pdf.", show_default=False),
    ] = None,
    html: PageOption = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = "table",
    settings: SetOption = None,
    thresholds: ThresholdsOption = None,
    store: StoreOption = None,
) -> None:
    """Print each fork of a study: the metric it fired on, what it left of the budget, its final score, its baselines.

    Example: budgetctl report forks --grid recipes/sweetspot.yaml --plot forks.png
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    if (grid is None) == (plan_id is None):
        raise UsageError("say what to report: --grid RECIPE or --plan ID")
    opened = open_store(store, create=grid is not None)
    study = ReportedStudy(grid, plan_id, settings, thresholds)
    plan = study.plan(opened)
    if not plan.branches:
        raise UsageError(f"{plan.name} has no forks; give its recipe a `forks` section with triggers")
    tables = print_forks(plan, opened, format_)
    if plot is not None:
        from budgetctl.analysis.fork_plots import plot_forks  # noqa: PLC0415

        print(f"plot: {drawn(plot_forks, tables, plot)}", file=sys.stderr)
    if html is not None:
        from budgetctl.analysis.fork_page import write_fork_page  # noqa: PLC0415

        page = write_fork_page(html, tables, title=plan.name, commands=study.commands("report forks"))
        print(f"page: {page}", file=sys.stderr)


def print_forks(plan: Plan, store: Store, format_: Format = "table") -> list[ForkTable]:
    """Print the tables of a plan's forks on stdout, and return them."""
    from budgetctl.analysis.fork_render import render_forks  # noqa: PLC0415
    from budgetctl.analysis.fork_table import fork_tables  # noqa: PLC0415
    from budgetctl.study.fork_results import fork_results  # noqa: PLC0415

    tables = fork_tables(fork_results(plan, store))
    width = shutil.get_terminal_size((100, 24)).columns
    print(render_forks(tables, format_, width=width, color=sys.stdout.isatty()), end="")
    return list(tables)
