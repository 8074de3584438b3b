"""`budgetctl data plan`: what every cell of a study buys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from budgetctl.cli.common import JsonOption, SetOption, StoreOption, open_store, settings_from


def plan(
    grid: Annotated[Path, typer.Option("--grid", help="The recipe.")],
    json_: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    settings: SetOption = None,
    store: StoreOption = None,
) -> None:
    """Print the rows that every cell of a study buys, what is left over, and why a cell cannot be had.

    Nothing is prepared. Datasets of a hub are looked into where `data.path` names a copy or they were fetched before;
    budgets in tokens and rows that are too long are counted where the base model is in the store.

    Example: budgetctl data plan --grid recipes/quickstart.yaml
    """
    from dataclasses import asdict  # noqa: PLC0415

    from budgetctl.errors import UsageError  # noqa: PLC0415
    from budgetctl.study.data_plan import COLUMNS, cell_rows, to_table  # noqa: PLC0415
    from budgetctl.study.recipe import load_recipe  # noqa: PLC0415

    if json_ and csv:
        raise UsageError("--json and --csv exclude each other")
    rows = cell_rows(load_recipe(grid, settings_from(settings)), open_store(store))
    if json_:
        import json  # noqa: PLC0415

        print(json.dumps([asdict(row) for row in rows]))
    elif csv:
        import csv as csv_format  # noqa: PLC0415

        writer = csv_format.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    else:
        print(to_table(rows))
