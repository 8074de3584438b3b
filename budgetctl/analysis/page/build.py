"""Writes the page: template, style, scripts and data in one file that needs no network."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from budgetctl.analysis import escape
from budgetctl.analysis.page.content import PageContent, page_data

SCRIPTS = ("elements.js", "plot.js", "lineage.js", "main.js")


def render_page(content: PageContent) -> str:
    """The whole page as text."""
    folder = files("budgetctl.analysis.page")
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    parts = {
        "title": escape.html_text(content.title),
        "style": (folder / "page.css").read_text(encoding="utf-8"),
        "script": script,
        "data": script_json(page_data(content)),
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    pieces = page.split("{{")
    # Split once, then fill: text that itself contains a placeholder is never filled again.
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        filled += [parts[name], rest]
    return "".join(filled)


def write_page(content: PageContent, path: Path) -> Path:
    """Writes the page to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(render_page(content), encoding="utf-8")
    draft.replace(path)
    return path


def script_json(data: object) -> str:
    """JSON that may stand inside a script element: no tag can begin or end in it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
