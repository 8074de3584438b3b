"""Print the answer of an SQL query over the store's tables."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from budgetctl.errors import UsageError

if TYPE_CHECKING:
    from store import Store


def print_query(store: Store, sql: str, format_: str) -> None:
    """Run a reading query over the index and print its rows on stdout.

    Raises:
        UsageError: The query is wrong, writes, or reads outside the store; DuckDB's own message, with a caret.
    """
    result = store.index().query(sql)
    columns, rows = result.columns, result.rows
    if format_ == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    elif format_ == "json":
        print(json.dumps(result.dicts(), default=str))
    elif format_ == "md":
        print(_markdown(columns, rows))
    elif format_ == "table":
        print(_aligned(columns, rows))
    else:
        raise UsageError(f"--format {format_} is for sweep tables; a query prints as table, md, csv or json")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    table = [list(columns), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(value.replace("|", "\\|").replace("\n", " ") for value in values) + " |"

    return "\n".join(
        [
            line(columns),
            line(["---"] * len(columns)),
            *(line([_text(value) for value in row]) for row in rows),
        ]
    )
