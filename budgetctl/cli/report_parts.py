"""`budgetctl report lineage | compare | curves | cost`: smaller reports beside the sweep table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from budgetctl.cli.common import JsonOption, SetOption, StoreOption, open_store, recipe_from
from budgetctl.cli.drawing import drawn

if TYPE_CHECKING:
    from store import Artifact, Store


def lineage(
    key: Annotated[str, typer.Argument(help="A key or a unique prefix.")], store: StoreOption = None
) -> None:
    """Print what an artifact came from, as a tree with the figures of each stage.

    Example: budgetctl report lineage 3f9a
    """
    opened = open_store(store, create=False)
    _print_ancestors(opened, opened.resolve(key), "", "")


def compare(
    left: Annotated[str, typer.Argument(help="Key of an evaluation.")],
    right: Annotated[str, typer.Argument(help="Key of another one of the same task.")],
    store: StoreOption = None,
    json_: JsonOption = False,
) -> None:
    """Compare two evaluations, item by item where they share items: which is better, and is that noise?

    Example: budgetctl report compare 3f9a 77c0
    """
    opened = open_store(store, create=False)
    first, second = (opened.artifact(opened.resolve(key)) for key in (left, right))
    print_comparison(first, second, json_)


def print_comparison(left: Artifact, right: Artifact, as_json: bool) -> None:
    """Print two published evaluations against each other."""
    from budgetctl.analysis.compare import compare as compare_cells  # noqa: PLC0415
    from budgetctl.study.results import evaluation_result  # noqa: PLC0415

    found = compare_cells([evaluation_result(left)], [evaluation_result(right)])
    print(json.dumps(found.as_json()) if as_json else found.as_text(), end="\n" if as_json else "")


def curves(
    keys: Annotated[list[str], typer.Argument(help="Keys of trainings.")],
    plot: Annotated[Path, typer.Option("--plot", help="Where to draw: .png, .svg or .pdf.")] = Path(
        "curves.png"
    ),
    store: StoreOption = None,
) -> None:
    """Draw the training curves of some stages, one panel per value, and print the picture's path.

    Example: budgetctl report curves 3f9a 77c0 --plot curves.png
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from budgetctl.analysis.curve_plots import curves_from_table, plot_curves  # noqa: PLC0415
    from budgetctl.errors import UsageError  # noqa: PLC0415

    opened = open_store(store, create=False)
    tables = []
    for key in map(opened.resolve, keys):
        artifact = opened.artifact(key)
        if "curves.parquet" not in artifact.files:
            raise UsageError(f"{artifact.stage} {key[:12]} has no training curves; name sft or pft artifacts")
        table = pq.read_table(artifact.path("curves.parquet"))
        label = pa.array([f"{artifact.stage} {key[:8]}"] * table.num_rows)
        tables.append(table.append_column("key", label))
    print(drawn(plot_curves, curves_from_table(pa.concat_tables(tables)), plot))


def cost(
    grid: Annotated[Path, typer.Option("--grid", help="The recipe.")],
    store: StoreOption = None,
    json_: JsonOption = False,
    settings: SetOption = None,
) -> None:
    """Add up what a study has cost so far: stages and hours of computing, and the annotations its cells bought.

    Example: budgetctl report cost --grid recipes/quickstart.yaml
    """
    from budgetctl.study.build import plan_study  # noqa: PLC0415

    opened = open_store(store)
    recipe = recipe_from(grid, settings)
    plan = plan_study(recipe, opened, check=False)
    stages: dict[str, list[float]] = {}
    for key, there in opened.many_has(plan.stages).items():
        if there:
            wall_s = opened.artifact(key).provenance.get("wall_s", 0.0)
            stages.setdefault(plan.stages[key].stage, []).append(float(wall_s))
    bought = sum(float(cell.axes["cost"]) for cell in plan.cells)
    if json_:
        hours = {stage: {"stages": len(times), "hours": sum(times) / 3600} for stage, times in stages.items()}
        print(json.dumps({"stages": hours, "annotation": bought, "currency": recipe.cost.currency}))
        return
    for stage, times in stages.items():
        print(f"{stage:<5} {len(times):>6} stages  {sum(times) / 3600:8.3f} h")
    total = sum(sum(times) for times in stages.values()) / 3600
    print(f"total {sum(map(len, stages.values())):>6} stages  {total:8.3f} h, shared stages counted once")
    print(f"annotations of all cells: {bought:g} {recipe.cost.currency}")


def _print_ancestors(store: Store, key: str, role: str, indent: str) -> None:
    artifact = store.artifact(key)
    figures = "  ".join(f"{n} {v:.4g}" for n, v in artifact.metrics.items() if isinstance(v, float))
    print(f"{indent}{role + ': ' if role else ''}{artifact.stage} {key[:12]}  {figures}".rstrip())
    for parent_role, parent in artifact.parents.items():
        _print_ancestors(store, parent, parent_role, indent + "  ")


def shell(store: StoreOption = None) -> None:
    """Ask SQL questions one after the other; a statement ends with `;`, the session with Ctrl-D.

    Example: budgetctl report shell
    """
    from budgetctl.cli.sql import print_query  # noqa: PLC0415
    from store.errors import UsageError  # noqa: PLC0415

    opened = open_store(store, create=False)
    if sys.stdin.isatty():
        import readline  # noqa: F401, PLC0415  (gives `input` its history and editing)
    statement = ""
    while True:
        try:
            statement += input(("sql> " if not statement else "...> ") if sys.stdin.isatty() else "") + "\n"
        except EOFError:
            return
        if not statement.rstrip().endswith(";"):
            continue
        try:
            print_query(opened, statement, "table")
        except UsageError as error:
            print(f"budgetctl: {error}", file=sys.stderr)
        statement = ""
