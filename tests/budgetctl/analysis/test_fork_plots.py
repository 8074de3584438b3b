from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pytest
from fork_studies import baseline, curve, fork, silent, study
from matplotlib.image import imread

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.fork_page import write_fork_page
from budgetctl.analysis.fork_panels import _levels
from budgetctl.analysis.fork_plots import fork_groups, plot_forks
from budgetctl.analysis.fork_table import fork_tables
from budgetctl.analysis.forks import ForkResults


def drawn_text(results: ForkResults, path: Path) -> str:
    """The picture as SVG whose letters are letters."""
    with mpl.rc_context({"svg.fonttype": "none"}):
        return plot_forks(fork_tables(results), path).read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_study_is_drawn(tmp_path: Path, ending: str) -> None:
    path = plot_forks(fork_tables(study()), tmp_path / f"forks.{ending}")
    assert path.stat().st_size > 8000


def test_the_picture_names_what_it_shows(tmp_path: Path) -> None:
    text = drawn_text(study(), tmp_path / "forks.svg")
    for words in (
        "tiny · arith · budget 256",
        "perplexity (dev)",
        "pass@k (dev)",
        "final score (test)",
        "pass@4",
        "same split",
        "SFT only",
        "PFT only",
        "perplexity&lt;=3",
        "plateau(perplexity,patience=3,gain=0.01)",
        "did not fire: perplexity&lt;=2",
        ">2,3<",
    ):
        assert words in text, words
    assert "examples=64" not in text, "a count of examples is read off the axis"


def test_a_fork_that_is_not_decided_yet_is_not_said_to_have_failed(tmp_path: Path) -> None:
    waiting = silent(
        "perplexity<=2", value=None, metric=None, status=CellStatus.MISSING, reason="not run yet"
    )
    other = fork("perplexity<=5", 10, 0.4, seed=1)
    text = drawn_text(ForkResults([waiting, other], [curve(1)]), tmp_path / "waiting.svg")
    assert "did not fire" not in text and "perplexity&lt;=5 (1/1 seeds)" in text
    assert "not decided yet: perplexity&lt;=2" in text


def test_several_seeds_are_drawn_as_means_over_faint_ones(tmp_path: Path) -> None:
    rows = [replace(row, seed=seed, step=seed + (row.step or 0)) for seed in range(3) for row in study().rows]
    results = ForkResults(rows, [curve(seed) for seed in range(3)], study().baselines)
    several = drawn_text(results, tmp_path / "several.svg")
    one = drawn_text(study(), tmp_path / "one.svg")
    assert "one seed" in several and "(3/3 seeds)" in several and "one seed" not in one
    faint = "opacity: 0.35"
    assert faint in several and faint not in one
    (group,) = fork_groups(fork_tables(results))
    assert len(group.states) == 15 and len(group.places) == 5


def test_nothing_is_cut_off_at_the_edges(tmp_path: Path) -> None:
    names = [f"plateau(pass@{k},patience=12,gain=0.0125)" for k in range(1, 25)]
    rows = [fork(name, 1 + place, 0.3, metric="pass@1") for place, name in enumerate(names)]
    rows += [silent(f"perplexity<=1.{place:04}") for place in range(20)]
    results = ForkResults(rows, [curve()], study().baselines)
    pixels = imread(plot_forks(fork_tables(results), tmp_path / "crowded.png"))[..., :3].min(axis=2)
    edge = [pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]]
    assert all((side > 0.95).all() for side in edge)
    assert "more triggers" in drawn_text(results, tmp_path / "crowded.svg")


def test_numbers_that_would_touch_are_stacked() -> None:
    assert _levels([(0.1, "1"), (0.5, "2"), (0.9, "3")]) == [0, 0, 0]
    assert _levels([(0.50, "1"), (0.51, "2"), (0.52, "3"), (0.9, "4")]) == [0, 1, 2, 0]
    assert _levels([]) == []


def test_one_fork_none_and_a_trunk_alone_are_drawn(tmp_path: Path) -> None:
    one = ForkResults([fork("perplexity<=5", 10, 0.5)], [curve()])
    none = ForkResults(
        [silent("perplexity<=2")], [curve(metrics=("perplexity",))], [baseline("sft-only", 0.3)]
    )
    scores = ForkResults([fork("examples=64", 4, 0.5, metric=None, value=None)])
    for number, results in enumerate((one, none, scores)):
        assert plot_forks(fork_tables(results), tmp_path / f"{number}.png").stat().st_size > 4000
    assert "pass@" not in drawn_text(none, tmp_path / "none.svg")
    single = ForkResults([fork("pass@4>=0.3", 10, 0.5, metric="pass@4")], [curve(metrics=("pass@4",))])
    assert "pass@4 (dev)" in drawn_text(single, tmp_path / "single.svg")


def test_before_a_trunk_has_run_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no trunk of the study has run yet"):
        plot_forks(fork_tables(ForkResults([silent("perplexity<=2")])), tmp_path / "none.png")
    with pytest.raises(ValueError, match="must be one of png, svg, pdf"):
        plot_forks(fork_tables(study()), tmp_path / "forks.bmp")


def test_seeds_and_methods_share_the_panels_of_their_budget(tmp_path: Path) -> None:
    rows = [
        replace(row, seed=seed, method=method)
        for seed in (0, 1)
        for method in ("dpo", "kto")
        for row in study().rows
    ]
    results = ForkResults(rows, [curve(0), curve(1)], study().baselines)
    (group,) = fork_groups(fork_tables(results))
    assert len(group.tables) == 2 and len(group.trunks) == 2
    text = drawn_text(results, tmp_path / "both.svg")
    assert "fork, dpo" in text and "fork, kto" in text and "PFT only, dpo" in text


def test_more_budgets_than_fit_are_said_to_be_left_out(tmp_path: Path) -> None:
    budgets = [256.0 * 2**power for power in range(5)]
    rows = [fork("perplexity<=5", 10, 0.5, budget=budget) for budget in budgets]
    results = ForkResults(rows, [curve(budget=budget) for budget in budgets])
    assert "the first 3 of 5" in drawn_text(results, tmp_path / "many.svg")


def test_names_with_signs_of_other_languages_are_drawn(tmp_path: Path) -> None:
    rows = [replace(row, base="Größe $x$ <&>", task="ελληνικά") for row in study().rows]
    trunk = replace(curve(), base="Größe $x$ <&>", task="ελληνικά")
    text = drawn_text(ForkResults(rows, [trunk]), tmp_path / "names.svg")
    assert "Größe $x$ &lt;&amp;&gt; · ελληνικά" in text


def test_the_page_holds_everything_and_obeys_no_name(tmp_path: Path) -> None:
    rows = [replace(row, base="<script>alert(1)</script>") for row in study().rows]
    tables = fork_tables(ForkResults(rows, [replace(curve(), base="<script>alert(1)</script>")]))
    page = write_fork_page(
        tmp_path / "deep" / "forks.html", tables, title="a < b", commands=["budgetctl run"]
    )
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "a &lt; b" in text and "budgetctl run" in text
    assert "http://" not in text.split("base64,")[0] and "did not fire" in text
    picture = text.split("base64,")[1].split('"')[0]
    assert base64.b64decode(picture).lstrip().startswith(b"<?xml")
    assert [path.name for path in page.parent.iterdir()] == ["forks.html"]


def test_a_page_without_a_picture_has_its_table(tmp_path: Path) -> None:
    tables = fork_tables(ForkResults([silent("perplexity<=2", metric=None, value=None)]))
    text = write_fork_page(tmp_path / "forks.html", tables, title="t").read_text(encoding="utf-8")
    assert "<img" not in text and "perplexity&lt;=2" in text
