"""The panels of a fork plot: one metric's curves, the final scores, and the key."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, ScalarFormatter

from budgetctl.analysis import escape
from budgetctl.analysis.fork_group import ForkGroup
from budgetctl.analysis.fork_means import BaselineMean
from budgetctl.analysis.fork_words import BASELINE_NAMES
from budgetctl.analysis.forks import TrunkCurve
from budgetctl.analysis.style import LineStyle, share_styles
from budgetctl.analysis.words import short_number

_BAND_ALPHA, _SEED_ALPHA = 0.13, 0.35
_GREY = "#666666"
_FORK_LINE: dict[str, Any] = {"color": "#999999", "lw": 0.7, "ls": (0, (2, 2)), "zorder": 0.5}
_FORK_MARK: dict[str, Any] = {"marker": "o", "markersize": 5, "mec": "white", "mew": 0.6, "linestyle": "none"}
_SFT_DASHES: tuple[Any, ...] = ((0, (6, 2)), (0, (6, 2, 1, 2)), (0, (12, 2)))
_PFT_DASH: Any = (0, (1, 1.5))
_LOG_RANGE = 4.0  # a perplexity that spans more than this factor gets a logarithmic axis
_LETTER, _LINE = 0.018, 0.07  # of an axis's width and height: one letter, one line of the numbers' size
_KEY_LETTERS, _MOST_KEYS = 46, 16
_Points = Sequence[tuple[float, float]]
_Bars = Sequence[tuple[float, float, float | None, float | None]]
"""Per point x, y and the ends of y's interval."""


def draw_metric(
    panel: Any, group: ForkGroup, metrics: Sequence[str], title: str, handles: dict[str, Any]
) -> None:
    """Draws some metrics of the trunks, and marks the forks on them.

    One trunk has a band for its intervals; of several the mean is drawn, and each of them faintly.

    Args:
        panel: Matplotlib axes.
        group: whose trunks.
        metrics: perplexity alone, or several pass@k.
        title: of the vertical axis when there are several.
        handles: label → line, for the key; added to.
    """
    for metric, style in zip(metrics, _styles(len(metrics)), strict=True):
        curves = [(curve, found) for curve in group.trunks if (found := _curve(curve, metric))]
        if not curves:
            continue
        shown = curves[0][1] if len(curves) == 1 else _mean_curve([found for _, found in curves])
        (drawn,) = panel.plot(
            *zip(*shown, strict=True), color=style.color, linestyle=style.dash, linewidth=1.5
        )
        if len(metrics) > 1:  # a single one is named by the axis
            handles.setdefault(metric, drawn)
        if len(curves) == 1:
            points = [point for point in curves[0][0].points if point.metric == metric]
            low, high = [point.low for point in points], [point.high for point in points]
            panel.fill_between(
                [x for x, _ in shown], low, high, color=style.color, alpha=_BAND_ALPHA, linewidth=0
            )
        for curve, found in curves if len(curves) > 1 else ():
            panel.plot(*zip(*found, strict=True), color=style.color, linewidth=0.7, alpha=_SEED_ALPHA)
            own = [row.examples or 0 for row in group.states if row.place == curve.place]
            _mark_forks(panel, own, found, color=style.color, alpha=_SEED_ALPHA)
        _mark_forks(panel, group.places, shown, color=style.color)
    values = [point.value for curve in group.trunks for point in curve.points if point.metric in metrics]
    if values and min(values) > 0 and max(values) / min(values) > _LOG_RANGE and max(values) > 1:
        _logarithmic(panel)
    panel.set_ylabel(f"{metrics[0] if len(metrics) == 1 else title} (dev)")
    _finish(panel, group)


def draw_scores(panel: Any, group: ForkGroup, handles: dict[str, Any]) -> None:
    """Draws the final scores against the examples at the fork, the same splits hollow beside them.

    Of several seeds the means with their intervals, and the seeds' own scores faintly.
    """
    nudge = group.end * 0.012
    for table, style in zip(group.tables, _styles(len(group.tables)), strict=True):
        which = f", {table.method}" if len(group.tables) > 1 else ""
        means = [mean for mean in table.means if mean.examples is not None and not mean.same_as]
        aside = -nudge if any(mean.same_split for mean in means) else 0.0
        forks = [
            (mean.examples.mean + aside, mean.score.mean, mean.score.low, mean.score.high)
            for mean in means
            if mean.examples and mean.score
        ]
        splits = [
            (mean.examples.mean + nudge, mean.same_split.mean, mean.same_split.low, mean.same_split.high)
            for mean in means
            if mean.examples and mean.same_split
        ]
        if forks:
            handles.setdefault(f"fork{which}", _draw_bars(panel, forks, style))
        if splits:
            handles.setdefault(f"same split{which}", _draw_bars(panel, splits, style, hollow=True))
        if group.several:
            lines = [line for line in table.lines if line.fork.fired and not line.fork.same_as]
            own = [(line.fork.examples or 0, line.fork.score) for line in lines]
            other = [(line.fork.examples or 0, line.same_split.score) for line in lines if line.same_split]
            _draw_faint(panel, [(x + aside, y) for x, y in own if y is not None], style)
            _draw_faint(panel, [(x + nudge, y) for x, y in other if y is not None], style, hollow=True)
        for one in table.baseline_means:
            _draw_baseline(panel, one, group, style.color if which and one.method else _GREY, handles)
    if group.several and group.has_scores:
        handles.setdefault("one seed", Line2D([], [], color=_GREY, alpha=_SEED_ALPHA, **_FORK_MARK))
    panel.set_ylabel("final score (test)")
    _finish(panel, group)


def draw_key(panel: Any, group: ForkGroup, handles: dict[str, Any]) -> None:
    """Turns a panel into the key: lines and marks, the numbered triggers, and those that did not fire."""
    panel.set_axis_off()
    entries = [(_wrapped(label), handle) for label, handle in handles.items()]
    means = group.tables[0].means
    fired = {mean.trigger: f" ({mean.fired}/{mean.decided} seeds)" if group.several else "" for mean in means}
    names = [(str(place), name + fired[name]) for name, place in group.numbers.items()]
    names += [("", f"did not fire: {mean.trigger}") for mean in means if mean.did_not_fire]
    names += [("", f"not decided yet: {mean.trigger}") for mean in means if not mean.decided]
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


def _curve(curve: TrunkCurve, metric: str) -> list[tuple[float, float]]:
    return [(point.examples, point.value) for point in curve.points if point.metric == metric]


def _mean_curve(curves: Sequence[_Points]) -> list[tuple[float, float]]:
    """The mean of trunks where all of them were measured."""
    values = [dict(points) for points in curves]
    shared = [x for x in values[0] if all(x in one for one in values)]
    return [(x, float(np.mean([one[x] for one in values]))) for x in shared]


def _mark_forks(panel: Any, forks: Sequence[float], curve: _Points, **look: Any) -> None:
    if curve:
        heights = np.interp(forks, [x for x, _ in curve], [y for _, y in curve])
        panel.plot(forks, heights, **_FORK_MARK, **look)


def _draw_bars(panel: Any, points: _Bars, style: LineStyle, hollow: bool = False) -> Any:
    """Scores with their intervals."""
    below = [y - low if low is not None else 0.0 for _, y, low, _ in points]
    above = [high - y if high is not None else 0.0 for _, y, _, high in points]
    return panel.errorbar(
        [x for x, *_ in points], [y for _, y, *_ in points], yerr=np.maximum([below, above], 0.0), color=style.color,
        marker=style.marker, markersize=6, markerfacecolor="white" if hollow else style.color,
        linewidth=0 if hollow else 1.0, elinewidth=0.9, linestyle=style.dash, capsize=2,
    )  # fmt: skip


def _draw_faint(panel: Any, points: _Points, style: LineStyle, hollow: bool = False) -> None:
    panel.plot(
        [x for x, _ in points], [y for _, y in points], linestyle="none", marker=style.marker, markersize=3.5,
        color=style.color, markerfacecolor="white" if hollow else style.color, alpha=_SEED_ALPHA, zorder=1,
    )  # fmt: skip


def _draw_baseline(
    panel: Any, one: BaselineMean, group: ForkGroup, color: Any, handles: dict[str, Any]
) -> None:
    """A line across the panel with its interval."""
    if one.score is None:
        return
    rows = sorted(
        {
            other.n_sft or 0
            for table in group.tables
            for other in table.baseline_means
            if other.kind == "sft-only"
        }
    )
    dash = _PFT_DASH if one.kind == "pft-only" else _SFT_DASHES[rows.index(one.n_sft or 0) % len(_SFT_DASHES)]
    drawn = panel.axhline(one.score.mean, color=color, lw=1.1, ls=dash)
    if one.score.low is not None and one.score.high is not None:
        panel.axhspan(one.score.low, one.score.high, color=color, alpha=0.08, linewidth=0)
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
    labels = group.labels
    levels = _levels([(x / end, text) for x, text in labels])
    _make_headroom(panel, 1 + max(levels, default=-1))
    for place in group.places:
        panel.axvline(place, **_FORK_LINE)
    for (x, text), level in zip(labels, levels, strict=True):
        panel.text(
            x, 0.995 - level * _LINE, text, transform=panel.get_xaxis_transform(), ha="center", va="top",
            fontsize=7, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


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
