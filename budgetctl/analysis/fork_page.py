"""A fork report as one HTML file that needs no network and no script."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from budgetctl.analysis import escape
from budgetctl.analysis.flat_tables import html_tables
from budgetctl.analysis.fork_plots import plot_forks
from budgetctl.analysis.fork_table import ForkTable
from budgetctl.analysis.fork_words import flat_table

_STYLE = """
figure { margin: 0 0 1rem; background: #fff; }
figure img { max-width: 100%; height: auto; }
th:first-child { text-align: left; white-space: normal; }
.note { margin: 0.2rem 0; }
"""


def write_fork_page(
    path: Path, tables: Sequence[ForkTable], *, title: str, commands: Sequence[str] = ()
) -> Path:
    """Writes the page, whole or not at all.

    Args:
        path: the HTML file.
        tables: what to show; the picture is left out while there is nothing to draw.
        title: of the page, e.g. the recipe's name.
        commands: what was typed to make it.
    """
    style = (files("budgetctl.analysis.page") / "page.css").read_text(encoding="utf-8")
    typed = "\n".join(escape.html_text(command) for command in commands)
    body = [
        f"<h1>{escape.html_text(title)}</h1>",
        '<p id="question">From which state of one supervised run is preference finetuning worth its budget?</p>',
        _picture(tables),
        html_tables([flat_table(table) for table in tables]),
        f"<footer><pre>{typed}</pre></footer>" if typed else "",
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape.html_text(title)}</title><style>{style}{_STYLE}</style></head>\n"
        f"<body>{chr(10).join(body)}</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def _picture(tables: Sequence[ForkTable]) -> str:
    """The plot as an image inside the page: vector graphics whose names cannot meet the page's own."""
    with TemporaryDirectory() as folder:
        try:
            drawn = plot_forks(tables, Path(folder) / "forks.svg").read_bytes()
        except ValueError:
            return ""
    source = f"data:image/svg+xml;base64,{base64.b64encode(drawn).decode('ascii')}"
    return (
        f'<figure><img alt="metrics of the trunks and final scores of their forks" src="{source}"></figure>'
    )
