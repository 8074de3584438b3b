from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from analysis_grids import study, unfinished
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.curve_plots import (
    Curve,
    cost_frontier,
    curves_from_table,
    plot_cost,
    plot_curves,
)
from budgetctl.analysis.grid_plots import plot_frontier, plot_heat_map
from budgetctl.analysis.table import build_tables


def ink(path: Path) -> float:
    """Part of the picture that is not white."""
    return float((imread(path)[..., :3].min(axis=2) < 0.95).mean())


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_heat_map_and_frontier_are_drawn(tmp_path: Path, ending: str) -> None:
    hole = unfinished(CellStatus.FAILED, budget=100, sft_share=0.9)
    tables = build_tables([*study(), hole])
    for draw in (plot_heat_map, plot_frontier):
        path = draw(tables, tmp_path / f"{draw.__name__}.{ending}")
        assert path.stat().st_size > 4000
        if ending == "png":
            assert ink(path) > 0.02


def test_the_heat_map_shows_every_score_and_status(tmp_path: Path) -> None:
    cells = [*study(seeds=1), unfinished(CellStatus.FAILED, budget=100, sft_share=0.9)]
    import matplotlib as mpl  # noqa: PLC0415

    with mpl.rc_context({"svg.fonttype": "none"}):
        svg = plot_heat_map(build_tables(cells), tmp_path / "heat.svg").read_text()
    assert "failed" in svg
    for cell in cells[:-1]:
        assert f"{cell.score:.3f}" in svg


def test_200_shares_are_drawn_without_numbers(tmp_path: Path) -> None:
    cells = study(budgets=(10, 20), shares=[round(i / 199, 4) for i in range(200)], seeds=1, items=8)
    assert plot_heat_map(build_tables(cells), tmp_path / "wide.png").stat().st_size > 4000


def test_cost_is_drawn_from_priced_cells_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no finished cell has a cost"):
        plot_cost(study(), tmp_path / "cost.png")
    cells = [replace(cell, cost=cell.budget * (1 + 3 * cell.sft_share)) for cell in study()]
    assert ink(plot_cost(cells, tmp_path / "cost.png")) > 0.01


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1, 1)), min_size=1, max_size=40))
def test_nothing_beats_the_cost_frontier(points: list[tuple[float, float]]) -> None:
    edge = cost_frontier(points)
    assert set(edge) <= set(points)
    assert edge == sorted(edge) and [s for _, s in edge] == sorted({s for _, s in edge})
    for cost, score in points:
        assert any(dear <= cost and good >= score for dear, good in edge)


def test_curves_are_split_by_name_sorted_and_drawn(tmp_path: Path) -> None:
    columns = {
        "key": ["b", "a", "a", "a"],
        "examples": [5, 20, 10, 10],
        "name": ["loss", "loss", "loss", "margin"],
        "value": [3.0, 1.0, 2.0, 0.1],
    }
    last, *curves = curves_from_table(pa.table(columns))
    assert (last.label, last.value.tolist()) == ("b", [3.0])
    assert [(curve.label, curve.name) for curve in curves] == [("a", "loss"), ("a", "margin")]
    assert curves[0].examples.tolist() == [10, 20] and curves[0].value.tolist() == [2.0, 1.0]
    forked = replace(curves[0], forks=(15.0,))
    assert ink(plot_curves([forked, *curves], tmp_path / "curves.png")) > 0.005
    with pytest.raises(ValueError, match="no stage has published curves"):
        plot_curves([], tmp_path / "none.png")


def test_many_curves_are_summed_up(tmp_path: Path) -> None:
    x = np.arange(100.0)
    curves = [Curve("loss", f"run {index}", x, np.exp(-x / (10 + index))) for index in range(200)]
    assert plot_curves(curves, tmp_path / "many.png").stat().st_size > 5000
