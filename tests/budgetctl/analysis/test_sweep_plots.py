from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from analysis_grids import study, unfinished
from matplotlib.image import imread

from budgetctl.analysis.cells import CellResult, CellStatus
from budgetctl.analysis.plots import plot_sweep
from budgetctl.analysis.style import share_styles
from budgetctl.analysis.table import build_tables

STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_sweep_is_drawn_in_every_format(tmp_path: Path, ending: str) -> None:
    path = plot_sweep(build_tables(study()), tmp_path / f"sweep.{ending}")
    assert path.read_bytes().startswith(STARTS[ending])


def test_the_picture_shows_lines(tmp_path: Path) -> None:
    pixels = imread(plot_sweep(build_tables(study()), tmp_path / "sweep.png"))
    assert (pixels[..., :3].min(axis=2) < 0.5).mean() > 0.005


def test_names_are_not_read_as_mathematics(tmp_path: Path) -> None:
    cells = [replace(cell, task=r"50$ or $\frac{1}{$ 日本", base="<b>&") for cell in study()]
    svg = plot_sweep(build_tables(cells), tmp_path / "sweep.svg").read_text()
    assert "<b>&" not in svg


def test_the_same_table_gives_the_same_svg(tmp_path: Path) -> None:
    tables = build_tables(study())
    first = plot_sweep(tables, tmp_path / "one.svg").read_bytes()
    assert first == plot_sweep(tables, tmp_path / "two.svg").read_bytes()


def test_holes_and_a_single_budget_are_drawn(tmp_path: Path) -> None:
    cells = [
        *study(budgets=(100,)),
        unfinished(CellStatus.FAILED, budget=200, sft_share=0.5),
        CellResult("tiny", "arith", "", 0, 0, score=0.1, n_items=100),
    ]
    assert plot_sweep(build_tables(cells), tmp_path / "holes.png").stat().st_size > 5000


def test_nothing_to_draw_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no cell of the study is finished"):
        plot_sweep(build_tables([unfinished(CellStatus.RUNNING, budget=1, sft_share=1)]), tmp_path / "x.png")
    with pytest.raises(ValueError, match="png, svg, pdf"):
        plot_sweep(build_tables(study()), tmp_path / "x.bmp")


def test_lines_differ_in_lightness_and_marker() -> None:
    styles = list(share_styles([0, 0.25, 0.5, 0.75, 1]).values())
    grey = [0.299 * s.color[0] + 0.587 * s.color[1] + 0.114 * s.color[2] for s in styles]
    assert all(later - earlier > 0.08 for earlier, later in itertools.pairwise(grey))
    assert len({style.marker for style in styles}) == len({str(style.dash) for style in styles}) == 5
