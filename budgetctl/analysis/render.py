"""Sweep tables in the format somebody asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from budgetctl.analysis.documents import latex_table, markdown_table
from budgetctl.analysis.records import csv_text, json_text
from budgetctl.analysis.table import SweepTable
from budgetctl.analysis.terminal import terminal_text

TextFormat = Literal["table", "md", "csv", "json", "latex"]


def render(
    tables: Sequence[SweepTable], format_: TextFormat, *, width: int = 100, color: bool = False
) -> str:
    """The tables in one of the text formats, ending with a newline.

    Args:
        tables: what to show.
        format_: `table` is for people; the others for files and programs.
        width: columns of the terminal; wider tables are broken into blocks of shares (`table` only).
        color: whether the terminal understands bold and colour (`table` only).
    """
    if format_ == "table":
        return terminal_text(tables, width=width, color=color)
    if format_ == "csv":
        return csv_text(tables)
    if format_ == "json":
        return json_text(tables)
    one = markdown_table if format_ == "md" else latex_table
    return "\n".join(one(table) for table in tables)
