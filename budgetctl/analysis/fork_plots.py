"""Pictures of forks: a trunk's metrics with the places it was forked at, and the forks' final scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from budgetctl.analysis.figures import MAX_PANELS, add_note, new_figure, save_figure, set_title
from budgetctl.analysis.fork_group import ForkGroup
from budgetctl.analysis.fork_panels import draw_key, draw_metric, draw_scores
from budgetctl.analysis.fork_table import ForkTable
from budgetctl.analysis.words import number
from budgetctl.forking.triggers import PERPLEXITY


def plot_forks(tables: Sequence[ForkTable], path: Path) -> Path:
    """Four panels a base, task and budget: perplexity and pass@k of the trunks, final scores, and a key.

    Args:
        tables: what to draw; those whose trunks have not run are left out.
        path: ends in .png, .svg or .pdf.

    Raises:
        ValueError: when there is nothing to draw, or the ending is another.
    """
    groups = [group for group in fork_groups(tables) if group.metrics or group.has_scores]
    if not groups:
        raise ValueError("nothing to draw: no trunk of the study has run yet")
    metrics = [metric for group in groups for metric in group.metrics]
    kinds = [(PERPLEXITY, PERPLEXITY)] if PERPLEXITY in metrics else []
    kinds += [("pass@", "pass@k")] if any(metric != PERPLEXITY for metric in metrics) else []
    each = len(kinds) + 2
    shown = groups[: MAX_PANELS // each]
    figure, axes = new_figure(len(shown) * each, columns=min(each, 3) if each != 4 else 2)
    for place, group in enumerate(shown):
        *panels, scores, key = axes[place * each : (place + 1) * each]
        handles: dict[str, Any] = {}
        for panel, (start, title) in zip(panels, kinds, strict=True):
            own = [metric for metric in group.metrics if metric.startswith(start)]
            draw_metric(panel, group, own, title, handles)
        draw_scores(scores, group, handles)
        draw_key(key, group, handles)
        first = group.tables[0]
        set_title([*panels, scores][0], f"{first.base} · {first.task} · budget {number(first.budget)}")
    if len(groups) > len(shown):
        add_note(figure, f"the first {len(shown)} of {len(groups)} bases, tasks and budgets")
    return save_figure(figure, path)


def fork_groups(tables: Sequence[ForkTable]) -> list[ForkGroup]:
    """Tables of one base, task and budget, one a method, which share their trunks."""
    found: dict[tuple[str, str, float], list[ForkTable]] = {}
    for table in tables:
        found.setdefault((table.base, table.task, table.budget), []).append(table)
    return [ForkGroup(tuple(members)) for members in found.values()]
