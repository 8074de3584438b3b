"""Tables of ready texts, printed for a terminal, markdown, LaTeX or HTML."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from budgetctl.analysis import escape

_LATEX = {"±": r"$\pm$", "≈": r"$\approx$", "−": "$-$", "–": "--", "≥": r"$\geq$", "≤": r"$\leq$"}
_GAP = 2
"""Blanks between two columns of a terminal's table."""


@dataclass(frozen=True, slots=True)
class FlatTable:
    """A heading, a table and notes below it; all plain text that the renderers escape.

    Attributes:
        rows: As many texts each as `head` has; the first column is set left, the others right.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def terminal_tables(tables: Sequence[FlatTable], *, width: int, color: bool) -> str:
    """For people at a terminal; long entries are broken at spaces to fit the width."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    sink = io.StringIO()
    console = Console(
        file=sink, width=width, force_terminal=color, no_color=not color, highlight=False, markup=False, emoji=False
    )  # fmt: skip
    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(Text(escape.plain(table.title), style="bold"))
        grid = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
        for column, (name, wide) in enumerate(zip(table.head, _widths(table, width), strict=True)):
            title = Text(name.replace(" (", "\n(") if column else name)
            grid.add_column(title, justify="right" if column else "left", overflow="fold", width=wide)
        for row in table.rows:
            grid.add_row(*(Text(escape.plain(entry)) for entry in row))
        console.print(grid)
        for note in table.notes:
            console.print(Text(escape.plain(note), style="dim"))
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()) + "\n"


def _widths(table: FlatTable, width: int) -> list[int]:
    """Columns as wide as their entries; where that is too much, the widest give way, first down to their words."""
    from rich.cells import cell_len  # noqa: PLC0415

    columns = list(zip(table.head, *table.rows, strict=True))
    widths = [max(map(cell_len, (*entries, *re.split(r" (?=\()", head)))) for head, *entries in columns]
    words = [
        max(map(cell_len, (*head.split(" "), *(word for entry in entries for word in _words(entry)))))
        for head, *entries in columns
    ]
    while sum(widths) + _GAP * (len(widths) - 1) > width and max(widths) > 1:
        loose = [place for place, wide in enumerate(widths) if wide > words[place]] or range(len(widths))
        widths[max(loose, key=lambda place: widths[place])] -= 1
    return widths


def _words(entry: str) -> list[str]:
    """Where an entry may be broken: between its figures, and not within a phrase such as "did not fire"."""
    return entry.split(" ") if any(map(str.isdigit, entry)) else [entry]


def markdown_tables(tables: Sequence[FlatTable]) -> str:
    """GitHub-flavoured markdown."""
    return "\n".join(_markdown(table) for table in tables)


def latex_tables(tables: Sequence[FlatTable]) -> str:
    """One tabular each; needs no package but a font encoding that knows the names' letters."""
    return "\n".join(_latex(table) for table in tables)


def html_tables(tables: Sequence[FlatTable]) -> str:
    """Sections for the body of a page."""
    return "\n".join(_html(table) for table in tables)


def _markdown(table: FlatTable) -> str:
    def bar(entries: Sequence[str]) -> str:
        return "| " + " | ".join(escape.markdown(entry) for entry in entries) + " |"

    rule = "|" + "|".join(["---", *["---:"] * (len(table.head) - 1)]) + "|"
    lines = [f"**{escape.markdown(table.title)}**", "", bar(table.head), rule, *map(bar, table.rows), ""]
    lines += [escape.markdown(note) + "  " for note in table.notes]
    return "\n".join(lines) + "\n"


def _latex(table: FlatTable) -> str:
    lines = [
        f"% {escape.plain(table.title)}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        r"\hline",
        _latex_row(table.head),
        r"\hline",
        *map(_latex_row, table.rows),
        r"\hline",
        r"\end{tabular}",
    ]
    sentences = [_latex_text(text).rstrip(".") + "." for text in (table.title, *table.notes)]
    lines.append(rf"\par\smallskip {' '.join(sentences)}")
    return "\n".join(lines) + "\n"


def _latex_row(entries: Sequence[str]) -> str:
    return " & ".join(map(_latex_text, entries)) + r" \\"


def _latex_text(text: str) -> str:
    escaped = escape.latex(text)
    for character, command in _LATEX.items():
        escaped = escaped.replace(character, command)
    return escaped


def _html(table: FlatTable) -> str:
    head = "".join(f"<th>{escape.html_text(name)}</th>" for name in table.head)
    rows = []
    for first, *others in table.rows:
        cells = "".join(f"<td>{escape.html_text(entry)}</td>" for entry in others)
        rows.append(f"<tr><th>{escape.html_text(first)}</th>{cells}</tr>")
    notes = "".join(f'<p class="note">{escape.html_text(note)}</p>' for note in table.notes)
    return (
        f'<section class="group"><h2>{escape.html_text(table.title)}</h2><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{notes}</section>"
    )
