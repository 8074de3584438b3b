from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.image import imread

from budgetctl.analysis import fonts
from budgetctl.analysis.curve_plots import Curve, plot_curves
from budgetctl.analysis.figures import new_figure, save_figure, set_title

MATPLOTLIBS = font_manager.findfont("DejaVu Sans")


def square_font(folder: Path, family: str, signs: str) -> str:
    """A font in which each of some signs is a full square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [f"uni{ord(sign):04X}" for sign in signs]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap({ord(sign): name for sign, name in zip(signs, names, strict=True)})
    builder.setupGlyf({name: square for name in [".notdef", *names]})
    builder.setupHorizontalMetrics({name: (1000, 0) for name in [".notdef", *names]})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = folder / f"{family}.ttf"
    builder.save(path)
    return str(path)


@pytest.fixture
def only_these_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A machine whose installed fonts are the ones a test puts into this list, beside Matplotlib's own."""
    system: list[str] = []
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.ttflist[:] = [
        e for e in before if e.fname == MATPLOTLIBS or "Last Resort" in e.name
    ]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_: system)
    yield system
    font_manager.fontManager.ttflist[:] = before
    font_manager.fontManager._findfont_cached.cache_clear()


def titled(path: Path, title: str) -> Path:
    figure, (panel,) = new_figure(1)
    set_title(panel, title)
    return save_figure(figure, path)


def test_signs_that_no_font_has_are_named_once(
    tmp_path: Path, only_these_fonts: list[str], capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:  # fmt: skip
    titled(tmp_path / "boxes.png", "模型 模 and Größe")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "boxes.png: no installed font can draw 模 型; boxes stand for them" in said.err
    assert not [warning for warning in recwarn if "missing from font" in str(warning.message)]


def test_an_installed_font_that_has_them_is_used(
    tmp_path: Path, only_these_fonts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = imread(titled(tmp_path / "boxes.png", "模型"))
    only_these_fonts.append(square_font(tmp_path, "Squares", "模型"))
    capsys.readouterr()
    after = imread(titled(tmp_path / "squares.png", "模型"))
    assert capsys.readouterr().err == ""
    black = [(picture[:50, ..., :3].max(axis=2) < 0.2).sum() for picture in (before, after)]
    assert black[1] > 1.5 * black[0], "full squares are blacker than boxes"
    for ending in ("svg", "pdf"):
        assert titled(tmp_path / f"squares.{ending}", "模型").stat().st_size > 2000
    assert capsys.readouterr().err == ""


def test_several_fonts_may_be_needed_and_the_one_that_has_most_comes_first(
    tmp_path: Path, only_these_fonts: list[str]
) -> None:
    few, most = square_font(tmp_path, "Few", "日"), square_font(tmp_path, "Most", "模型")
    only_these_fonts += [few, most, str(tmp_path / "gone.ttf")]
    assert fonts.fonts_for("日模型語", fonts.installed_fonts()) == (["Most", "Few"], "語")
    assert fonts.fonts_for("語", []) == ([], "語")


def test_a_broken_font_file_is_passed_over(tmp_path: Path, only_these_fonts: list[str]) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    only_these_fonts += [str(broken), square_font(tmp_path, "Squares", "模")]
    assert fonts.fonts_for("模", fonts.installed_fonts()) == (["Squares"], "")
    assert fonts.fonts_for("模", [str(broken)]) == ([], "模")


def test_usual_names_need_no_other_font(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> list[str]:
        raise AssertionError("the fonts of the machine were looked through without need")

    monkeypatch.setattr(fonts, "installed_fonts", fail)
    plot_curves([Curve("loss · ελληνικά · Größe", "a $b$", *[[0.0, 1.0]] * 2)], tmp_path / "curves.png")  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""
