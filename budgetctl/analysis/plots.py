"""Pictures of sweep tables: score against budget, one line a share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from budgetctl.analysis.figures import add_legend, add_note, first_panels, new_figure, save_figure, set_title
from budgetctl.analysis.style import LineStyle, share_styles
from budgetctl.analysis.table import SweepTable
from budgetctl.analysis.words import AXIS_TITLES, share_text, short_number

_BAND_ALPHA = 0.13
_LOG_RANGE = 4.0  # a budget axis that spans more than this factor is logarithmic


def plot_sweep(tables: Sequence[SweepTable], path: Path) -> Path:
    """Draws score against budget, one panel a table and one line with its band a share.

    Args:
        tables: those without a finished cell are left out; of very many the first dozen are drawn.
        path: ends in .png, .svg or .pdf.

    Raises:
        ValueError: when no cell is finished, or the ending is another.
    """
    finished = [table for table in tables if any(cell.estimate for row in table.rows for cell in row.cells)]
    if not finished:
        raise ValueError("nothing to draw: no cell of the study is finished")
    drawn, note = first_panels(finished, "tables")
    styles = share_styles(sorted({share for table in drawn for share in table.shares}))
    figure, axes = new_figure(len(drawn), legend=True)
    for table, panel in zip(drawn, axes, strict=True):
        draw_sweep(panel, table, styles)
    handles, labels = _legend_entries(axes)
    add_legend(figure, handles, labels, "SFT share")
    add_note(figure, note)
    return save_figure(figure, path)


def draw_sweep(panel: Any, table: SweepTable, styles: dict[float, LineStyle]) -> None:
    """Draws one table into Matplotlib axes."""
    values = [row.value for row in table.rows]
    for index, share in enumerate(table.shares):
        points = [(row.value, row.cells[index].estimate) for row in table.rows]
        found = [(value, estimate) for value, estimate in points if estimate is not None]
        if not found:
            continue
        style = styles[share]
        panel.plot(
            [value for value, _ in found],
            [estimate.mean for _, estimate in found],
            color=style.color,
            linestyle=style.dash,
            marker=style.marker,
            markersize=5,
            linewidth=1.6,
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=share_text(share),
        )
        band = [(value, e.low, e.high) for value, e in found if e.low is not None and e.high is not None]
        if band:
            columns = list(zip(*band, strict=True))
            panel.fill_between(*columns, color=style.color, alpha=_BAND_ALPHA, linewidth=0)
    if table.baseline is not None:
        panel.axhline(table.baseline.mean, color="#666666", lw=1.0, ls=(0, (2, 2)), label="base")
    scale_amounts(panel, values)
    panel.set_xlabel(AXIS_TITLES[table.axis])
    panel.set_ylabel("score")
    set_title(panel, table.title)


def scale_amounts(panel: Any, values: Sequence[float]) -> None:
    """A logarithmic axis where budgets span decades, with a tick at every budget that was run."""
    positive = [value for value in values if value > 0]
    if len(positive) == len(values) and len(values) > 1 and max(values) / min(values) > _LOG_RANGE:
        panel.set_xscale("log")
    shown = _spaced(values, panel.get_xscale() == "log")
    panel.set_xticks(shown, [short_number(value) for value in shown])
    panel.set_xticks([], minor=True)


def _spaced(values: Sequence[float], log: bool) -> list[float]:
    """Those values whose labels do not run into each other."""
    if len(values) < 2:
        return list(values)
    place = np.log(values) if log else np.asarray(values, dtype=float)
    gap = (place[-1] - place[0]) / 9
    kept = [0]
    for index in range(1, len(values)):
        if place[index] - place[kept[-1]] >= gap:
            kept.append(index)
    return [values[index] for index in kept]


def _legend_entries(axes: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Every line once, SFT-only first and the base model last."""
    found: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    order = sorted(found, key=lambda label: -1.0 if label == "base" else float(label), reverse=True)
    return [found[label] for label in order], order
