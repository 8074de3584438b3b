"""Fonts for names in any script: Matplotlib's own knows Latin, Greek and Cyrillic but no Chinese or Japanese."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

_PLACEHOLDERS = "Last Resort"
"""Fonts of this name have a box for every sign there is."""


def use_fonts_for_all_signs(figure: Any) -> str:
    """Gives the texts of a figure installed fonts that know their signs, where the default font does not.

    Returns:
        The signs that no installed font knows, in order of appearance; empty when all can be drawn.
    """
    texts = [artist for artist in figure.findobj(Text) if artist.get_text()]
    default = font_manager.findfont(font_manager.FontProperties())
    strange = unknown_signs("".join(dict.fromkeys(text.get_text() for text in texts)), default)
    if not strange:
        return ""
    families, left = fonts_for(strange, installed_fonts())
    for text in texts:
        if families and unknown_signs(text.get_text(), default):
            text.set_fontfamily([*text.get_fontfamily(), *families])
    return left


def unknown_signs(text: str, font: str) -> str:
    """The signs of a text that a font file has no glyph for, each once."""
    found = FT2Font(font)
    return "".join(
        sign for sign in dict.fromkeys(text) if sign.isprintable() and not found.get_char_index(ord(sign))
    )


def fonts_for(signs: str, fonts: Sequence[str]) -> tuple[list[str], str]:
    """Families that together know as many of the signs as they can, and the signs that are left.

    Args:
        signs: what shall be drawn.
        fonts: files to choose from; of two that know as many signs the first is taken.
    """
    families = []
    left = signs
    while left:
        unknown = {font: _unknown_or_all(left, font) for font in fonts}
        best = min(unknown, key=lambda font: len(unknown[font]), default=None)
        if best is None or len(unknown[best]) == len(left):
            break
        families.append(_family(best))
        left = unknown[best]
    return families, left


def installed_fonts() -> list[str]:
    """Files of the installed fonts, upright ones of normal weight first."""
    known = {entry.fname: entry for entry in font_manager.fontManager.ttflist}
    for path in _new_fonts(known):
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError):
            continue  # a format that Matplotlib cannot read, such as coloured bitmaps
    entries = [
        entry for entry in font_manager.fontManager.ttflist if not entry.name.startswith(_PLACEHOLDERS)
    ]
    return list(dict.fromkeys(entry.fname for entry in sorted(entries, key=_oddness)))


def _new_fonts(known: Iterable[str]) -> list[str]:
    """Fonts that were installed since Matplotlib made its list."""
    seen = set(known)
    return [path for path in font_manager.findSystemFonts() if path not in seen and Path(path).is_file()]


def _oddness(entry: font_manager.FontEntry) -> tuple[bool, int, bool, str]:
    weight = (
        entry.weight if isinstance(entry.weight, int) else font_manager.weight_dict.get(entry.weight, 400)
    )
    return entry.style != "normal", abs(weight - 400), "Mono" in entry.name, entry.fname


def _unknown_or_all(signs: str, font: str) -> str:
    try:
        return unknown_signs(signs, font)
    except (OSError, RuntimeError):
        return signs


def _family(font: str) -> str:
    return next(entry.name for entry in font_manager.fontManager.ttflist if entry.fname == font)
