"""Pictures of training curves, costs and forks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from budgetctl.analysis import escape
from budgetctl.analysis.cells import CellResult, CellStatus, FloatArray
from budgetctl.analysis.figures import add_legend, add_note, first_panels, new_figure, save_figure, set_title
from budgetctl.analysis.plots import scale_amounts
from budgetctl.analysis.style import share_styles
from budgetctl.analysis.table import SweepTable, build_tables
from budgetctl.analysis.words import share_text

_MANY_LINES = 60  # beyond this, single curves are a blot; their spread is drawn instead
_GRID_POINTS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One value over the course of training.

    Attributes:
        name: what is measured, e.g. `loss`; curves of one name share a panel.
        label: which run it is.
        examples: shape (n,), training examples seen.
        value: shape (n,).
        forks: examples at which another run branched off.
    """

    name: str
    label: str
    examples: FloatArray
    value: FloatArray
    forks: tuple[float, ...] = ()


def plot_curves(curves: Sequence[Curve], path: Path) -> Path:
    """One panel a name, one line a run; the places where runs fork off are marked.

    Raises:
        ValueError: there are no curves, or the file's ending is not png, svg or pdf.
    """
    names = list(dict.fromkeys(curve.name for curve in curves))
    if not names:
        raise ValueError("nothing to draw: no stage has published curves")
    shown, note = first_panels(names, "kinds of curve")
    figure, axes = new_figure(len(shown))
    add_note(figure, note)
    for name, panel in zip(shown, axes, strict=True):
        own = [curve for curve in curves if curve.name == name]
        draw = _draw_summary if len(own) > _MANY_LINES else _draw_curves
        draw(panel, own)
        panel.set_xlabel("examples")
        set_title(panel, name)
    return save_figure(figure, path)


def plot_cost(cells: Sequence[CellResult], path: Path) -> Path:
    """Score against what the cells cost in money, one panel per base, task and method.

    The line joins the cells that no cheaper one beats: what a given sum can reach.

    Raises:
        ValueError: no finished cell has a cost, or the file's ending is not png, svg or pdf.
    """
    priced = [cell for cell in cells if cell.status is CellStatus.DONE and cell.cost is not None]
    tables: Sequence[SweepTable] = [table for table in build_tables(priced, by="cost") if table.rows]
    if not tables:
        raise ValueError("nothing to draw: no finished cell has a cost; give prices in the recipe")
    tables, note = first_panels(tables, "tables")
    styles = share_styles(sorted({share for table in tables for share in table.shares}))
    figure, axes = new_figure(len(tables), legend=True)
    add_note(figure, note)
    for table, panel in zip(tables, axes, strict=True):
        points = [
            (row.value, cell.estimate.mean, cell.share)
            for row in table.rows
            for cell in row.cells
            if cell.estimate is not None
        ]
        for share in table.shares:
            own = [(cost, score) for cost, score, other in points if other == share]
            style = styles[share]
            panel.plot(
                *zip(*own, strict=True),
                linestyle="none",
                marker=style.marker,
                color=style.color,
                label=share_text(share),
            )
        edge = cost_frontier([(cost, score) for cost, score, _ in points])
        panel.step(*zip(*edge, strict=True), where="post", color="#666666", linewidth=1.0, zorder=0)
        scale_amounts(panel, [row.value for row in table.rows])
        panel.set_xlabel("cost")
        panel.set_ylabel("score")
        set_title(panel, table.title)
    handles, labels = axes[0].get_legend_handles_labels()
    add_legend(figure, handles, labels, "SFT share")
    return save_figure(figure, path)


def cost_frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, score) points that no cheaper or equally dear one reaches, by rising cost."""
    edge: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not edge or score > edge[-1][1]:
            edge.append((cost, score))
    return edge


def curves_from_table(table: Any, label: str = "key") -> list[Curve]:
    """All curves of many runs at once, from one Arrow table.

    Args:
        table: an Arrow table with the columns `examples`, `name`, `value` and the one named by `label`.
        label: the column that tells runs apart.
    """
    codes, words = [], []
    for column in (label, "name"):
        encoded = table.column(column).combine_chunks().dictionary_encode()
        codes.append(np.asarray(encoded.indices))
        words.append(encoded.dictionary.to_pylist())
    examples = np.asarray(table.column("examples"), dtype=np.float64)
    values = np.asarray(table.column("value"), dtype=np.float64)
    run = codes[0].astype(np.int64) * max(len(words[1]), 1) + codes[1]
    order = np.lexsort((examples, run))
    starts = np.flatnonzero(np.diff(run[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    found = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        own = order[start:end]
        name, title = words[1][codes[1][own[0]]], words[0][codes[0][own[0]]]
        found.append(Curve(str(name), str(title), examples[own], values[own]))
    return found


def _draw_curves(panel: Any, curves: Sequence[Curve]) -> None:
    styles = list(share_styles([float(-index) for index in range(len(curves))]).values())
    for curve, style in zip(curves, styles, strict=True):
        panel.plot(
            curve.examples,
            curve.value,
            color=style.color,
            linestyle=style.dash,
            linewidth=1.4,
            label=escape.mathtext(curve.label),
        )
        for fork in curve.forks:
            height = float(np.interp(fork, curve.examples, curve.value))
            panel.plot([fork], [height], marker="|", markersize=12, markeredgewidth=2, color=style.color)
    if len(curves) <= 10:
        panel.legend(frameon=False, fontsize=7)


def _draw_summary(panel: Any, curves: Sequence[Curve]) -> None:
    """Median, middle half and middle 90 % of many runs, over those that got that far."""
    grid = np.linspace(0, max(float(curve.examples[-1]) for curve in curves), _GRID_POINTS)
    values = np.stack(
        [np.interp(grid, curve.examples, curve.value, left=np.nan, right=np.nan) for curve in curves]
    )
    reached = ~np.isnan(values).all(axis=0)
    low, early, middle, late, high = np.nanpercentile(values[:, reached], [5, 25, 50, 75, 95], axis=0)
    panel.fill_between(
        grid[reached], low, high, color="#21918c", alpha=0.18, linewidth=0, label="90 % of runs"
    )
    panel.fill_between(grid[reached], early, late, color="#21918c", alpha=0.35, linewidth=0, label="half")
    panel.plot(grid[reached], middle, color="#440154", linewidth=1.6, label=f"median of {len(curves):,}")
    panel.legend(frameon=False, fontsize=7)
