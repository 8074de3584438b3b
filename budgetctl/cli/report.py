"""`budgetctl report`: the sweep table, its plot, and SQL over the store."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from budgetctl.cli.common import StoreOption, open_store

if TYPE_CHECKING:
    from budgetctl.study.plan import Plan
    from store import Store

Format = Literal["table", "md", "csv", "json", "latex"]


def report(
    grid: Annotated[Path | None, typer.Option("--grid", help="The recipe.", show_default=False)] = None,
    plan_id: Annotated[
        str | None, typer.Option("--plan", help="Or the id of a stored plan.", show_default=False)
    ] = None,
    sql: Annotated[
        str | None, typer.Option("--sql", help="Or a query over the tables of the store.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Also draw the curves: .png, .svg or .pdf.", show_default=False),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = "table",
    store: StoreOption = None,
) -> None:
    """Print the sweep table of a study: rows budgets, columns SFT shares, mean ± 95 % interval.

    Example: budgetctl report --grid recipes/quickstart.yaml --plot sweep.png
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    if [grid, plan_id, sql].count(None) != 2:
        raise UsageError("say what to report: one of --grid RECIPE, --plan ID or --sql QUERY")
    opened = open_store(store, create=grid is not None)
    if sql is not None:
        from budgetctl.cli.sql import print_query  # noqa: PLC0415

        print_query(opened, sql, format_)
        return
    print_tables(_plan(opened, grid, plan_id), opened, format_, plot)


def _plan(store: Store, grid: Path | None, plan_id: str | None) -> Plan:
    from budgetctl.study.plan import Plan  # noqa: PLC0415

    if grid is None:
        assert plan_id is not None
        return Plan.from_document(store.load_plan(plan_id))
    from budgetctl.study.build import plan_study  # noqa: PLC0415
    from budgetctl.study.recipe import load_recipe  # noqa: PLC0415

    return plan_study(load_recipe(grid), store)


def print_tables(plan: Plan, store: Store, format_: Format = "table", plot: Path | None = None) -> None:
    """Print a plan's sweep tables on stdout, and draw the plot if asked for."""
    from budgetctl.analysis.render import render  # noqa: PLC0415
    from budgetctl.analysis.table import build_tables  # noqa: PLC0415
    from budgetctl.study.results import cell_results  # noqa: PLC0415

    tables = build_tables(cell_results(plan, store))
    width = shutil.get_terminal_size((100, 24)).columns
    print(render(tables, format_, width=width, color=sys.stdout.isatty()), end="")
    if plot is not None:
        from budgetctl.analysis.plots import plot_sweep  # noqa: PLC0415

        print(f"plot: {plot_sweep(tables, plot)}", file=sys.stderr)
