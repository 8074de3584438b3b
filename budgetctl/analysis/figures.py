"""Making, laying out and saving figures; the only place that opens Matplotlib.

Import the plotting modules late: Matplotlib takes most of a second to load.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
MAX_PANELS = 24
_PANEL_INCHES = (4.1, 3.1)
_SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.hashsalt": "budgetctl",
    "pdf.fonttype": 42,
}


def new_figure(panels: int, *, max_columns: int = 2) -> tuple[Any, list[Any]]:
    """A figure without any window system behind it, and its axes, one a panel.

    Args:
        panels: how many axes, 1 to `MAX_PANELS`.
        max_columns: panels side by side at most.
    """
    if not 1 <= panels <= MAX_PANELS:
        raise ValueError(f"a figure holds 1 to {MAX_PANELS} panels, not {panels}")
    columns = min(panels, max_columns)
    rows = math.ceil(panels / columns)
    width, height = _PANEL_INCHES
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width * columns + 1.2, height * rows), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False)
    axes = list(grid.flat)
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def save_figure(figure: Any, path: Path) -> Path:
    """Writes the figure in the format of the file's ending (png, svg or pdf).

    Raises:
        ValueError: for another ending.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ValueError(f"cannot draw {path.name}: the ending must be one of {', '.join(FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending, {})
    with mpl.rc_context(_SETTINGS):
        figure.savefig(path, format=ending, dpi=150, metadata=metadata)
    return path
