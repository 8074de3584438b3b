"""The panels of a fork plot: one metric's curves, the final scores, and the key."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, ScalarFormatter

from budgetctl.analysis import escape
from budgetctl.analysis.fork_table import ForkTable
from budgetctl.analysis.fork_words import BASELINE_NAMES
from budgetctl.analysis.forks import BaselineRow, ForkRow, TrunkCurve
from budgetctl.analysis.style import LineStyle, share_styles
from budgetctl.analysis.words import short_number

_BAND_ALPHA = 0.13
_GREY = "#666666"
_FORK_LINE: dict[str, Any] = {"color": "#999999", "lw": 0.7, "ls": (0, (2, 2)), "zorder": 0.5}
_FORK_MARK: dict[str, Any] = {"marker": "o", "markersize": 5, "mec": "white", "mew": 0.6}
_SFT_DASHES: tuple[Any, ...] = ((0, (6, 2)), (0, (6, 2, 1, 2)), (0, (12, 2)))
_PFT_DASH: Any = (0, (1, 1.5))
_LOG_RANGE = 4.0  # a perplexity that spans more than this factor gets a logarithmic axis
_LETTER, _LINE = 0.018, 0.07  # of an axis's width and height: one letter, one line of the numbers' size
_KEY_LETTERS, _MOST_KEYS = 46, 16


@dataclass(frozen=True, slots=True)
class ForkGroup:
    """Tables of one base, task and budget, one a method; all have the same trunks and forks."""

    tables: tuple[ForkTable, ...]

    @property
    def trunks(self) -> tuple[TrunkCurve, ...]:
        """The curves of every seed."""
        return self.tables[0].trunks

    @property
    def metrics(self) -> list[str]:
        """What the trunks measured."""
        return list(dict.fromkeys(point.metric for curve in self.trunks for point in curve.points))

    @property
    def states(self) -> list[ForkRow]:
        """Every saved state once, in the order of examples."""
        return sorted(self.tables[0].states, key=_examples)

    @property
    def has_scores(self) -> bool:
        """Whether any fork has its final score."""
        return any(row.score is not None for table in self.tables for row in table.states)

    @property
    def numbers(self) -> dict[str, int]:
        """Number of each trigger that fired on a metric; a count of examples can be read off the axis."""
        rows = [line.fork for line in self.tables[0].lines]
        fired = sorted((row for row in rows if row.fired and not row.counts_examples), key=_examples)
        return {
            name: place for place, name in enumerate(dict.fromkeys(row.trigger for row in fired), start=1)
        }

    @property
    def end(self) -> float:
        """Where the longest trunk ends, in examples."""
        seen = [point.examples for curve in self.trunks for point in curve.points]
        return float(max([1, *seen, *map(_examples, self.states)]))


def draw_metric(
    panel: Any, group: ForkGroup, metrics: Sequence[str], title: str, handles: dict[str, Any]
) -> None:
    """Draws some metrics of every trunk with their intervals, and marks the forks on them.

    Args:
        panel: Matplotlib axes.
        group: whose trunks.
        metrics: perplexity alone, or several pass@k.
        title: of the vertical axis when there are several.
        handles: label → line, for the key; added to.
    """
    for metric, style in zip(metrics, _styles(len(metrics)), strict=True):
        for curve in group.trunks:
            points = [point for point in curve.points if point.metric == metric]
            if not points:
                continue
            examples, values = [point.examples for point in points], [point.value for point in points]
            (drawn,) = panel.plot(examples, values, color=style.color, linestyle=style.dash, linewidth=1.5)
            low, high = [point.low for point in points], [point.high for point in points]
            panel.fill_between(examples, low, high, color=style.color, alpha=_BAND_ALPHA, linewidth=0)
            if len(metrics) > 1:  # a single one is named by the axis
                handles.setdefault(metric, drawn)
            forks = [_examples(row) for row in group.states if row.place == curve.place]
            heights = np.interp(forks, examples, values)
            panel.plot(forks, heights, color=style.color, linestyle="none", **_FORK_MARK)
    values = [point.value for curve in group.trunks for point in curve.points if point.metric in metrics]
    if values and min(values) > 0 and max(values) / min(values) > _LOG_RANGE and max(values) > 1:
        _logarithmic(panel)
    panel.set_ylabel(f"{metrics[0] if len(metrics) == 1 else title} (dev)")
    _finish(panel, group)


def draw_scores(panel: Any, group: ForkGroup, handles: dict[str, Any]) -> None:
    """Draws the final scores against the examples at the fork, the same splits hollow beside them."""
    nudge = group.end * 0.012
    for table, style in zip(group.tables, _styles(len(group.tables)), strict=True):
        which = f", {table.method}" if len(group.tables) > 1 else ""
        for seed in table.seeds:
            own = [line for line in table.lines if line.fork.seed == seed and not line.fork.same_as]
            forks = [(_examples(line.fork), line.fork) for line in own if line.fork.fired]
            splits = [(_examples(line.fork), line.same_split) for line in own if line.same_split is not None]
            drawn = _draw_points(panel, forks, style, -nudge if splits else 0.0)
            if drawn is not None:
                handles.setdefault(f"fork{which}", drawn)
            drawn = _draw_points(panel, splits, style, nudge, hollow=True)
            if drawn is not None:
                handles.setdefault(f"same split{which}", drawn)
        for one in table.baselines:
            _draw_baseline(panel, one, group, style.color if which and one.method else _GREY, handles)
    panel.set_ylabel("final score (test)")
    _finish(panel, group)


def draw_key(panel: Any, group: ForkGroup, handles: dict[str, Any]) -> None:
    """Turns a panel into the key: lines and marks, the numbered triggers, and those that did not fire."""
    panel.set_axis_off()
    entries = [(_wrapped(label), handle) for label, handle in handles.items()]
    names = [(str(place), name) for name, place in group.numbers.items()]
    silent = [line.fork.trigger for line in group.tables[0].lines if line.fork.did_not_fire]
    names += [("", f"did not fire: {name}") for name in dict.fromkeys(silent) if name not in group.numbers]
    most = max(_MOST_KEYS - len(entries), 1)
    if len(names) > most:
        names = [*names[: most - 1], ("", f"… and {len(names) - most + 1} more triggers")]
    for place, name in names:
        mark = Line2D([], [], linestyle="none", color="black", marker=f"${place}$" if place else "none")
        mark.set(markersize=6 if len(place) < 2 else 9, markeredgewidth=0)
        entries.append((_wrapped(name), mark))
    panel.legend(
        [handle for _, handle in entries], [label for label, _ in entries], loc="upper left",
        bbox_to_anchor=(-0.15, 1.03), frameon=False, fontsize=7.5, labelspacing=0.35, handlelength=2.6,
    )  # fmt: skip


def _draw_points(
    panel: Any,
    found: Sequence[tuple[int, ForkRow | BaselineRow]],
    style: LineStyle,
    nudge: float,
    hollow: bool = False,
) -> Any:
    """Scores with their intervals; None when there are none."""
    points = [(x + nudge, row.score, row) for x, row in found if row.score is not None]
    if not points:
        return None
    xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
    below = [y - (row.score_low if row.score_low is not None else y) for _, y, row in points]
    above = [(row.score_high if row.score_high is not None else y) - y for _, y, row in points]
    container = panel.errorbar(
        xs, ys, yerr=np.maximum([below, above], 0.0), color=style.color, marker=style.marker, markersize=6,
        markerfacecolor="white" if hollow else style.color, linewidth=0 if hollow else 1.0, elinewidth=0.9,
        linestyle=style.dash, capsize=2,
    )  # fmt: skip
    return container


def _draw_baseline(
    panel: Any, one: BaselineRow, group: ForkGroup, color: Any, handles: dict[str, Any]
) -> None:
    """A line across the panel, with its interval where it is the only one of its kind."""
    if one.score is None:
        return
    rows = sorted(
        {other.n_sft or 0 for table in group.tables for other in table.baselines if other.kind == "sft-only"}
    )
    dash = _PFT_DASH if one.kind == "pft-only" else _SFT_DASHES[rows.index(one.n_sft or 0) % len(_SFT_DASHES)]
    drawn = panel.axhline(one.score, color=color, lw=1.1, ls=dash)
    if one.score_low is not None and one.score_high is not None and len(group.trunks) == 1:
        panel.axhspan(one.score_low, one.score_high, color=color, alpha=0.08, linewidth=0)
    parts = [BASELINE_NAMES[one.kind]]
    parts += [f"of {one.n_sft:,} rows"] if len(rows) > 1 and one.n_sft else []
    which = f", {one.method}" if one.method and len(group.tables) > 1 else ""
    handles.setdefault(" ".join(parts) + which, drawn)


def _finish(panel: Any, group: ForkGroup) -> None:
    """The horizontal axis, and a line with its numbers at every fork."""
    end = group.end
    panel.set_xlim(-0.03 * end, 1.03 * end)
    panel.set_xlabel("examples of the trunk")
    panel.xaxis.set_major_formatter(lambda value, _: short_number(value))
    labels = _fork_labels(group)
    levels = _levels([(x / end, text) for x, text in labels])
    _make_headroom(panel, 1 + max(levels, default=-1))
    for row in group.states:
        panel.axvline(_examples(row), **_FORK_LINE)
    for (x, text), level in zip(labels, levels, strict=True):
        panel.text(
            x, 0.995 - level * _LINE, text, transform=panel.get_xaxis_transform(), ha="center", va="top",
            fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


def _fork_labels(group: ForkGroup) -> list[tuple[int, str]]:
    """At each number of examples the numbers of the triggers that fired there."""
    numbers = group.numbers
    found: dict[int, set[int]] = {}
    for line in group.tables[0].lines:
        if line.fork.fired and line.fork.trigger in numbers:
            found.setdefault(_examples(line.fork), set()).add(numbers[line.fork.trigger])
    return [(x, ",".join(map(str, sorted(places)))) for x, places in sorted(found.items())]


def _levels(labels: Sequence[tuple[float, str]]) -> list[int]:
    """For labels from left to right the first line on which each has room."""
    ends: list[float] = []
    levels = []
    for place, text in labels:
        half = _LETTER * (len(text) + 1) / 2
        level = next((number for number, end in enumerate(ends) if end <= place - half), len(ends))
        ends[level : level + 1] = [place + half]
        levels.append(level)
    return levels


def _make_headroom(panel: Any, lines: int) -> None:
    """Stretches the vertical axis so that the numbers stand above what is drawn."""
    if not lines:
        return
    low, high = panel.get_ylim()
    share = min(lines * _LINE, 0.4)
    if panel.get_yscale() == "log":
        panel.set_ylim(low, high * (high / low) ** (share / (1 - share)))
    else:
        panel.set_ylim(low, high + (high - low) * share / (1 - share))


def _logarithmic(panel: Any) -> None:
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter(ScalarFormatter())
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_minor_formatter(NullFormatter())


def _styles(count: int) -> list[LineStyle]:
    """Styles without the lightest, which a grey print would lose."""
    return list(share_styles([float(-place) for place in range(count + 1)]).values())[:count]


def _wrapped(text: str) -> str:
    lines = textwrap.wrap(escape.plain(text), _KEY_LETTERS, break_on_hyphens=False) or [""]
    return "\n  ".join(map(escape.mathtext, lines))


def _examples(row: ForkRow) -> int:
    return row.examples or 0
