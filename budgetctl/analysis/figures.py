"""Making, laying out and saving figures; the only place that opens Matplotlib.

Import the plotting modules late: Matplotlib takes most of a second to load.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from budgetctl.analysis import escape
from budgetctl.analysis.fonts import use_fonts_for_all_signs

Item = TypeVar("Item")

FORMATS = ("png", "svg", "pdf")
MAX_PANELS = 12
_AXES_INCHES = (3.5, 2.4)
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.65, 0.15, 0.35, 0.6  # inches around each axes, for its labels and title
_LEGEND_INCHES = 1.1
_TITLE_LETTERS = 44
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


def new_figure(
    panels: int, *, legend: bool = False, flexible: bool = False, columns: int | None = None
) -> tuple[Any, list[Any]]:
    """A figure without any window system behind it, and its axes, one a panel.

    Args:
        panels: how many axes, 1 to `MAX_PANELS`.
        legend: keep room for a legend at the right.
        flexible: let Matplotlib find the room for labels, for colour bars; several times slower.
        columns: panels in one row; None chooses by their number.
    """
    if not 1 <= panels <= MAX_PANELS:
        raise ValueError(f"a figure holds 1 to {MAX_PANELS} panels, not {panels}")
    columns = columns or min(panels, 2 if panels <= 4 else 3)
    rows = math.ceil(panels / columns)
    cell_width, cell_height = _AXES_INCHES[0] + _LEFT + _RIGHT, _AXES_INCHES[1] + _TOP + _BOTTOM
    width = cell_width * columns + (_LEGEND_INCHES if legend else 0.0)
    height = cell_height * rows
    fixed = {
        "left": _LEFT / width,
        "right": (cell_width * columns - _RIGHT) / width,
        "bottom": _BOTTOM / height,
        "top": 1 - _TOP / height,
        "wspace": (_LEFT + _RIGHT) / _AXES_INCHES[0],
        "hspace": (_TOP + _BOTTOM) / _AXES_INCHES[1],
    }
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained" if flexible else None)
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw=None if flexible else fixed)
    axes = list(grid.flat)
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def add_legend(figure: Any, handles: Sequence[Any], labels: Sequence[str], title: str) -> None:
    """Puts a legend into the room at the right of a figure made with `legend`."""
    width, height = figure.get_size_inches()
    corner = (1 - _LEGEND_INCHES / width, 1 - _TOP / height)
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=corner, title=title, frameon=False)


def set_title(panel: Any, text: str) -> None:
    """A panel's title from a name: no mathematics, and no longer than fits."""
    shown = text if len(text) <= _TITLE_LETTERS else text[: _TITLE_LETTERS - 1] + "…"
    panel.set_title(escape.mathtext(shown), loc="left")


def first_panels(items: Sequence[Item], figure_of: str) -> tuple[Sequence[Item], str]:
    """As many items as fit one picture, and a note when some were left out."""
    if len(items) <= MAX_PANELS:
        return items, ""
    return items[:MAX_PANELS], f"the first {MAX_PANELS} of {len(items)} {figure_of}; select to see others"


def add_note(figure: Any, text: str) -> None:
    """A small line at the foot of the figure; nothing for an empty text."""
    if text:
        figure.text(0.01, 0.003, text, fontsize=7, color="#666666", va="bottom")


def save_figure(figure: Any, path: Path) -> Path:
    """Writes the figure in the format of the file's ending (png, svg or pdf).

    Signs that no installed font knows are named on stderr, once a picture.

    Raises:
        ValueError: for another ending.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ValueError(f"cannot draw {path.name}: the ending must be one of {', '.join(FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending, {})
    options: dict[str, Any] = {"pil_kwargs": {"compress_level": 4}} if ending == "png" else {}
    unknown = use_fonts_for_all_signs(figure)
    if unknown:
        print(
            f"{path.name}: no installed font can draw {' '.join(unknown)}; boxes stand for them "
            "(fonts such as Noto Sans CJK know most scripts)",
            file=sys.stderr,
        )
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure.savefig(path, format=ending, dpi=150, metadata=metadata, **options)
    return path
