"""Pictures of training curves, costs and forks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from budgetctl.analysis import escape
from budgetctl.analysis.cells import CellResult, CellStatus, FloatArray
from budgetctl.analysis.figures import MAX_PANELS, new_figure, save_figure
from budgetctl.analysis.plots import scale_amounts
from budgetctl.analysis.style import share_styles
from budgetctl.analysis.table import build_tables
from budgetctl.analysis.words import share_text

_MANY_LINES = 60  # beyond this, single curves are drawn thin and unnamed


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
        ValueError: there are no curves, too many names, or the file's ending is not png, svg or pdf.
    """
    names = list(dict.fromkeys(curve.name for curve in curves))
    if not names:
        raise ValueError("nothing to draw: no stage has published curves")
    if len(names) > MAX_PANELS:
        raise ValueError(f"{len(names)} kinds of curve do not fit one picture (at most {MAX_PANELS})")
    figure, axes = new_figure(len(names))
    for name, panel in zip(names, axes, strict=True):
        _draw_curves(panel, name, [curve for curve in curves if curve.name == name])
    return save_figure(figure, path)


def plot_cost(cells: Sequence[CellResult], path: Path) -> Path:
    """Score against what the cells cost in money, one panel per base, task and method.

    The line joins the cells that no cheaper one beats: what a given sum can reach.

    Raises:
        ValueError: no finished cell has a cost, or the file's ending is not png, svg or pdf.
    """
    priced = [cell for cell in cells if cell.status is CellStatus.DONE and cell.cost is not None]
    tables = build_tables(priced, by="cost")
    tables = [table for table in tables if table.rows]
    if not tables:
        raise ValueError("nothing to draw: no finished cell has a cost; give prices in the recipe")
    if len(tables) > MAX_PANELS:
        raise ValueError(f"{len(tables)} tables do not fit one picture (at most {MAX_PANELS}); select fewer")
    styles = share_styles(sorted({share for table in tables for share in table.shares}))
    figure, axes = new_figure(len(tables))
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
        panel.set_title(escape.mathtext(table.title), loc="left")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", title="SFT share", frameon=False)
    return save_figure(figure, path)


def cost_frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, score) points that no cheaper or equally dear one reaches, by rising cost."""
    edge: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not edge or score > edge[-1][1]:
            edge.append((cost, score))
    return edge


def curves_from_columns(columns: Mapping[str, Sequence[Any]], label: str) -> list[Curve]:
    """The curves of one artifact from the columns `examples`, `name` and `value` of its `curves.parquet`."""
    names = np.asarray(columns["name"], dtype=object)
    examples = np.asarray(columns["examples"], dtype=np.float64)
    values = np.asarray(columns["value"], dtype=np.float64)
    found = []
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        order = np.argsort(examples[own], kind="stable")
        found.append(Curve(str(name), label, examples[own][order], values[own][order]))
    return found


def _draw_curves(panel: Any, name: str, curves: Sequence[Curve]) -> None:
    many = len(curves) > _MANY_LINES
    styles = list(share_styles([float(-index) for index in range(len(curves))]).values())
    for curve, style in zip(curves, styles, strict=True):
        panel.plot(
            curve.examples,
            curve.value,
            color=style.color,
            linestyle="-" if many else style.dash,
            linewidth=0.5 if many else 1.4,
            label=escape.mathtext(curve.label),
        )
        for fork in curve.forks:
            height = float(np.interp(fork, curve.examples, curve.value))
            panel.plot([fork], [height], marker="|", markersize=12, markeredgewidth=2, color=style.color)
    panel.set_xlabel("examples")
    panel.set_title(escape.mathtext(name), loc="left")
    if not many and len(curves) <= 10:
        panel.legend(frameon=False, fontsize=7)
