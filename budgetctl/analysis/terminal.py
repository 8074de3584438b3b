"""Sweep tables for a terminal, in blocks of columns that fit its width."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from budgetctl.analysis import escape
from budgetctl.analysis.table import SweepTable, TableCell
from budgetctl.analysis.words import (
    AXIS_TITLES,
    BEST_MARK,
    TIE_MARK,
    baseline_text,
    legend,
    number,
    reason_lines,
    seeds_text,
    share_text,
    status_text,
    value_text,
)


def terminal_text(tables: Sequence[SweepTable], *, width: int, color: bool) -> str:
    """Titles, tables and legends; bold and dim only when `color`."""
    sink = io.StringIO()
    console = Console(
        file=sink,
        width=width,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for index, table in enumerate(tables):
        if index:
            console.print()
        console.print(Text(escape.plain(table.title), style="bold"))
        console.print(Text(f"base model: {baseline_text(table)}"))
        for block in _blocks(table, width):
            console.print(_rich_block(table, block))
        console.print(Text(legend(table), style="dim"))
        for line in reason_lines(table):
            console.print(Text(line, style="dim"))
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()) + "\n"


def _entry(cell: TableCell) -> str:
    if cell.estimate is None:
        return status_text(cell)
    mark = BEST_MARK if cell.best else TIE_MARK if cell.tied else " "
    return f"{value_text(cell.estimate)}{mark}{seeds_text(cell)}"


def _blocks(table: SweepTable, width: int) -> list[range]:
    """Splits the share columns so that each block fits the width; at least one column a block."""
    first = max([len("SFT share →"), *(len(number(row.value)) for row in table.rows)]) + 2
    widths = [
        max([len(share_text(share)), *(cell_len(_entry(row.cells[index])) for row in table.rows)]) + 2
        for index, share in enumerate(table.shares)
    ]
    blocks, start, used = [], 0, first
    for index, column in enumerate(widths):
        if index > start and used + column > width:
            blocks.append(range(start, index))
            start, used = index, first
        used += column
    return [*blocks, range(start, len(widths))] if widths else []


def _corner(table: SweepTable) -> str:
    """Two lines, so that the first column stays narrow."""
    return f"SFT share →\n{AXIS_TITLES[table.axis]} ↓"


def _rich_block(table: SweepTable, block: range) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, title=None)
    grid.add_column(_corner(table), justify="right", no_wrap=True)
    for index in block:
        grid.add_column(Text(share_text(table.shares[index])), justify="right", no_wrap=True)
    for row in table.rows:
        entries = []
        for index in block:
            cell = row.cells[index]
            style = "bold" if cell.best else "dim" if cell.estimate is None else ""
            entries.append(Text(_entry(cell), style=style))
        grid.add_row(Text(number(row.value)), *entries)
    return grid
