"""`budgetctl report`: the sweep table, its pictures and page, and SQL over the store."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from budgetctl.cli import report_forks, report_parts
from budgetctl.cli.common import SetOption, StoreOption, open_store
from budgetctl.cli.drawing import drawn
from budgetctl.cli.reported_study import GridOption, PageOption, PlanIdOption, ReportedStudy

if TYPE_CHECKING:
    from budgetctl.analysis.cells import CellResult
    from budgetctl.analysis.page.content import PageContent
    from budgetctl.analysis.table import SweepTable
    from budgetctl.study.plan import Plan
    from store import Store

app = typer.Typer(invoke_without_command=True)

Format = Literal["table", "md", "csv", "json", "latex", "html"]


@dataclass(frozen=True)
class View:
    """How a study is to be shown."""

    format: Format = "table"
    by: Literal["budget", "cost", "n_sft", "n_pft"] = "budget"
    where: tuple[str, ...] = ()
    plot: Path | None = None
    plot_kind: str = "sweep"
    html: Path | None = None
    metric: str | None = None
    commands: tuple[str, ...] = ()
    """What a page names as the way to it."""


@app.callback()
def report(
    context: typer.Context,
    grid: GridOption = None,
    plan_id: PlanIdOption = None,
    sql: Annotated[
        str | None, typer.Option("--sql", help="Or a query over the tables of the store.", show_default=False)
    ] = None,
    shell: Annotated[
        bool, typer.Option("--shell", help="Or ask queries one after the other, as `report shell`.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Also draw the curves: .png, .svg or .pdf.", show_default=False),
    ] = None,
    plot_kind: Annotated[
        Literal["sweep", "heat", "frontier", "cost"], typer.Option(help="Which picture --plot draws.")
    ] = "sweep",
    by: Annotated[
        Literal["budget", "cost", "n_sft", "n_pft"], typer.Option(help="What the table's rows are.")
    ] = "budget",
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="Which score; default: each task's primary one.", show_default=False),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only cells that meet it, such as task=gsm8k or budget>=1000; repeatable.",
            show_default=False,
        ),
    ] = None,
    html: PageOption = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = "table",
    settings: SetOption = None,
    store: StoreOption = None,
) -> None:
    """Print the sweep table of a study: rows budgets, columns SFT shares, mean ± 95 % interval.

    Example: budgetctl report --grid recipes/quickstart.yaml --plot sweep.png
    """
    from budgetctl.errors import UsageError  # noqa: PLC0415

    if context.invoked_subcommand is not None:
        return
    if [grid, plan_id, sql, shell or None].count(None) != 3:
        raise UsageError("say what to report: one of --grid RECIPE, --plan ID, --sql QUERY or --shell")
    if shell:
        report_parts.shell(store)
        return
    opened = open_store(store, create=grid is not None)
    if sql is not None:
        from budgetctl.cli.sql import print_query  # noqa: PLC0415

        print_query(opened, sql, format_)
        return
    study = ReportedStudy(grid, plan_id, settings)
    commands = tuple(study.commands("report"))
    view = View(format_, by, tuple(where or ()), plot, plot_kind, html, metric, commands)
    print_tables(study.plan(opened), opened, view)


app.command("forks")(report_forks.forks)
app.command("lineage")(report_parts.lineage)
app.command("compare")(report_parts.compare)
app.command("curves")(report_parts.curves)
app.command("cost")(report_parts.cost)
app.command("shell")(report_parts.shell)


def print_tables(plan: Plan, store: Store, view: View | None = None) -> None:
    """Print a plan's sweep tables on stdout, and draw the plot and write the page if asked for."""
    from budgetctl.analysis.render import render  # noqa: PLC0415
    from budgetctl.analysis.select import select_cells  # noqa: PLC0415
    from budgetctl.analysis.table import build_tables  # noqa: PLC0415
    from budgetctl.study.results import cell_results  # noqa: PLC0415

    view = view or View()
    cells = select_cells(cell_results(plan, store, metric=view.metric), view.where)
    tables = build_tables(cells, by=view.by)
    if view.format == "html":
        from budgetctl.analysis.page.build import render_page  # noqa: PLC0415

        print(render_page(_page(plan, cells, store, view)), end="")
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        print(render(tables, view.format, width=width, color=sys.stdout.isatty()), end="")
    if view.plot is not None:
        print(f"plot: {_draw(cells, tables, view.plot, view.plot_kind)}", file=sys.stderr)
    if view.html is not None:
        from budgetctl.analysis.page.build import write_page  # noqa: PLC0415

        print(f"page: {write_page(_page(plan, cells, store, view), view.html)}", file=sys.stderr)
        if os.access(store.root, os.W_OK):
            store.save_plan(plan.document())  # what a page shows stays, whatever is collected


def _page(plan: Plan, cells: Sequence[CellResult], store: Store, view: View) -> PageContent:
    from budgetctl.analysis.page.study import study_content  # noqa: PLC0415
    from budgetctl.study.recipe import parse_recipe  # noqa: PLC0415

    prices = parse_recipe(plan.recipe).prices
    return study_content(cells, store, title=plan.name, commands=view.commands, prices=prices, by=view.by)


def _draw(cells: Sequence[CellResult], tables: Sequence[SweepTable], path: Path, kind: str) -> Path:
    from budgetctl.analysis.curve_plots import plot_cost  # noqa: PLC0415
    from budgetctl.analysis.grid_plots import plot_frontier, plot_heat_map  # noqa: PLC0415
    from budgetctl.analysis.plots import plot_sweep  # noqa: PLC0415

    if kind == "cost":
        return drawn(plot_cost, cells, path)
    draw = {"sweep": plot_sweep, "heat": plot_heat_map, "frontier": plot_frontier}[kind]
    return drawn(draw, tables, path)
