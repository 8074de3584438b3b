"""Pictures of the whole grid: heat map of share × budget, and the frontier of the best share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.figures import add_note, first_panels, new_figure, save_figure, set_title
from budgetctl.analysis.table import SweepTable, TableCell
from budgetctl.analysis.words import AXIS_TITLES, share_text, short_number, status_text

_DARK = 0.55  # below this lightness of the map, white letters are easier to read
_MANY = 12  # more columns than this get no numbers in their squares


def plot_heat_map(tables: Sequence[SweepTable], path: Path) -> Path:
    """One panel a table: budgets down, shares across, lightness and number for the score.

    The best of a row is framed, those within its noise have a dotted frame; cells without a score say why.

    Raises:
        ValueError: there is nothing to draw, or the file's ending is not png, svg or pdf.
    """
    drawn, note = first_panels(_with_scores(tables), "tables")
    figure, axes = new_figure(len(drawn), flexible=True)
    add_note(figure, note)
    for table, panel in zip(drawn, axes, strict=True):
        _draw_heat(figure, panel, table)
    return save_figure(figure, path)


def plot_frontier(tables: Sequence[SweepTable], path: Path) -> Path:
    """One panel a table: the best share at each budget, with a bar over the shares tied with it.

    Raises:
        ValueError: there is nothing to draw, or the file's ending is not png, svg or pdf.
    """
    drawn = [table for table in _with_scores(tables) if any(row.best for row in table.rows)]
    if not drawn:
        raise ValueError("nothing to draw: no row of the study has two finished cells to compare")
    shown, note = first_panels(drawn, "tables")
    figure, axes = new_figure(len(shown))
    add_note(figure, note)
    for table, panel in zip(shown, axes, strict=True):
        _draw_frontier(panel, table)
    return save_figure(figure, path)


def _with_scores(tables: Sequence[SweepTable]) -> list[SweepTable]:
    drawn = [table for table in tables if any(cell.estimate for row in table.rows for cell in row.cells)]
    if not drawn:
        raise ValueError("nothing to draw: no cell of the study is finished")
    return drawn


def _draw_heat(figure: Any, panel: Any, table: SweepTable) -> None:
    scores = np.array(
        [[cell.estimate.mean if cell.estimate else np.nan for cell in row.cells] for row in table.rows]
    )
    palette = mpl.colormaps["cividis"].with_extremes(bad="#f0f0f0")
    image = panel.imshow(scores, cmap=palette, aspect="auto", origin="lower")
    panel.grid(visible=False)
    numbers = len(table.shares) <= _MANY
    for y, row in enumerate(table.rows):
        for x, cell in enumerate(row.cells):
            _draw_square(panel, image, x, y, cell, numbers)
    step = max(1, len(table.shares) // _MANY)
    panel.set_xticks(range(0, len(table.shares), step), [share_text(share) for share in table.shares[::step]])
    panel.set_yticks(range(len(table.rows)), [short_number(row.value) for row in table.rows])
    panel.set_xlabel("SFT share")
    panel.set_ylabel(AXIS_TITLES[table.axis])
    set_title(panel, table.title)
    figure.colorbar(image, ax=panel, label="score", shrink=0.85)


def _draw_square(panel: Any, image: Any, x: int, y: int, cell: TableCell, numbers: bool) -> None:
    if cell.estimate is None:
        if numbers:
            text = "–" if cell.status is CellStatus.MISSING else status_text(cell)
            panel.text(x, y, text, ha="center", va="center", color="#444444", fontsize=7)
        return
    red, green, blue, _ = image.cmap(image.norm(cell.estimate.mean))
    ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < _DARK else "black"
    if cell.best or cell.tied:
        line: dict[str, Any] = {"linewidth": 2.0, "linestyle": "-" if cell.best else (0, (1, 1.5))}
        corner = (x - 0.46, y - 0.46)
        panel.add_patch(mpl.patches.Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=ink, **line))
    if numbers:
        weight = "bold" if cell.best else "normal"
        text = f"{cell.estimate.mean:.3f}"
        panel.text(x, y, text, ha="center", va="center", color=ink, weight=weight, fontsize=8)


def _draw_frontier(panel: Any, table: SweepTable) -> None:
    rows = [row for row in table.rows if row.best is not None]
    places = range(len(rows))
    best = [row.best.share for row in rows if row.best is not None]
    for place, row in zip(places, rows, strict=True):
        tied = [cell.share for cell in row.cells if cell.tied or cell.best]
        panel.plot(
            [place, place], [min(tied), max(tied)], color="#bbbbbb", linewidth=7, solid_capstyle="round"
        )
        panel.plot([place] * len(tied), tied, "o", color="white", markeredgecolor="#555555", markersize=5)
    panel.plot(places, best, "-D", color="#440154", markersize=7, linewidth=1.6)
    panel.set_xticks(list(places), [short_number(row.value) for row in rows])
    panel.set_ylim(-0.06, 1.06)
    panel.set_xlabel(AXIS_TITLES[table.axis])
    panel.set_ylabel("best SFT share (bar: ties)")
    set_title(panel, table.title)
