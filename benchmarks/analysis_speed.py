"""Time of the table, the default plots and the page for 10,000 cells with 100 curve points each.

python benchmarks/analysis_speed.py [runs] [--wall]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from budgetctl.analysis.cells import CellResult, Verdicts
from budgetctl.analysis.curve_plots import curves_from_table, plot_curves
from budgetctl.analysis.page.build import render_page
from budgetctl.analysis.page.content import PageContent
from budgetctl.analysis.plots import plot_sweep
from budgetctl.analysis.render import render
from budgetctl.analysis.table import build_tables

# Processor time of this one thread: the machine is shared, so wall time measures the neighbours.
clock = time.perf_counter if "--wall" in sys.argv else time.process_time

SHAPES = {
    "4 tasks × 25 budgets × 20 shares × 5 seeds": (4, 25, 20, 5),
    "24 tasks × 14 budgets × 6 shares × 5 seeds": (24, 14, 6, 5),
    "112 tasks × 6 budgets × 5 shares × 3 seeds": (112, 6, 5, 3),
}


def cells_of(shape: tuple[int, int, int, int], items: int = 0) -> list[CellResult]:
    tasks, budgets, shares, seeds = shape
    rng = np.random.default_rng(0)
    names = tuple(f"item{index}" for index in range(items))
    found = []
    for task in range(tasks):
        for budget in range(1, budgets + 1):
            for share in np.linspace(1, 0, shares):
                for seed in range(seeds):
                    score = float(rng.uniform(0.3, 0.7))
                    verdicts = None
                    if items:
                        values = (rng.random(items) < score).astype(float)
                        score, verdicts = float(values.mean()), Verdicts(names, values)
                    found.append(
                        CellResult(
                            "base",
                            f"task{task}",
                            "dpo",
                            budget * 100.0,
                            round(float(share), 4),
                            seed,
                            score=score,
                            n_items=items or 500,
                            verdicts=verdicts,
                            key=f"{len(found):064x}",
                        )
                    )
    return found


def curve_table(count: int, points: int = 100) -> pa.Table:
    """What one query over the curves table returns, in no order."""
    rng = np.random.default_rng(1)
    order = rng.permutation(count * points)
    run, step = order // points, order % points
    keys = pa.DictionaryArray.from_arrays(pa.array(run), pa.array([f"{k:064x}" for k in range(count)]))
    value = 1 / (1 + step + run % 7) + 0.02 * rng.standard_normal(len(order))
    names = pa.array(["loss"] * len(order))
    return pa.table({"key": keys.cast(pa.string()), "examples": step * 16, "name": names, "value": value})


def timed(work: Callable[[], object]) -> tuple[float, object]:
    start = clock()
    result = work()
    return clock() - start, result


def measure(shape: tuple[int, int, int, int], runs: int, folder: Path) -> dict[str, list[float]]:
    cells = cells_of(shape)
    columns = curve_table(len(cells))
    tables = build_tables(cells)
    steps: dict[str, Callable[[], object]] = {
        "table": lambda: build_tables(cells),
        "text": lambda: render(tables, "table"),
        "sweep plot": lambda: plot_sweep(tables, folder / "sweep.png"),
        "curves read": lambda: curves_from_table(columns),
        "curve plot": lambda: plot_curves(curves_from_table(columns), folder / "curves.png"),
        "page": lambda: render_page(PageContent("t", "q", tables)),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(runs):
        for name, step in steps.items():
            times[name].append(timed(step)[0])
    wanted = ("table", "text", "sweep plot", "curve plot")
    times["table, text and both plots"] = [sum(times[name][i] for name in wanted) for i in range(runs)]
    return times


def main(runs: int) -> None:
    print("| study | cells | step | median (s) | range |")
    print("|---|---:|---|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        for title, shape in SHAPES.items():
            for name, found in measure(shape, runs, Path(folder)).items():
                spread = f"{min(found):.2f}–{max(found):.2f}"
                count = int(np.prod(shape))
                print(
                    f"| {title} | {count:,} | {name} | {statistics.median(found):.2f} | {spread} |",
                    flush=True,
                )
    cells = cells_of((16, 25, 5, 5), items=500)
    found = [timed(lambda: build_tables(cells))[0] for _ in range(runs)]
    print(
        f"| 16 tasks × 25 budgets × 5 shares × 5 seeds, 500 verdicts each | {len(cells):,} | table "
        f"| {statistics.median(found):.2f} | {min(found):.2f}–{max(found):.2f} |"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
