"""Looks of the plots: legible in black and white and for the colour-blind.

Shares are ordered, so they run along viridis, a map whose lightness rises evenly for people with and
without colour vision deficiency (S. van der Walt and N. Smith, SciPy 2015). As lines may
cross where colours are alike, each share also has its own marker and dash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 3)))
_LIGHTEST = 0.86


@dataclass(frozen=True, slots=True)
class LineStyle:
    """How one share's line is drawn."""

    color: Any
    marker: str
    dash: Any


def share_styles(shares: Sequence[float]) -> dict[float, LineStyle]:
    """A style for every share, the darkest for SFT-only."""
    palette = mpl.colormaps["viridis"]
    ordered = sorted(shares, reverse=True)
    last = max(len(ordered) - 1, 1)
    return {
        share: LineStyle(
            color=palette(_LIGHTEST * index / last),
            marker=_MARKERS[index % len(_MARKERS)],
            dash=_DASHES[index % len(_DASHES)],
        )
        for index, share in enumerate(ordered)
    }
