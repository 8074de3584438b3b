"""Sweep tables for a document: markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from budgetctl.analysis import escape
from budgetctl.analysis.table import SweepTable
from budgetctl.analysis.words import (
    AXIS_TITLES,
    BEST_MARK,
    TIE_MARK,
    axis_title,
    baseline_text,
    legend,
    number,
    reason_lines,
    seeds_text,
    share_text,
    status_text,
    value_text,
)


def markdown_table(table: SweepTable) -> str:
    """One table with its title and legend in GitHub-flavoured markdown."""
    head = [axis_title(table), *(share_text(share) for share in table.shares)]
    lines = [f"**{escape.markdown(table.title)}** (base model: {baseline_text(table)})", ""]
    lines += [_bar(head), _bar(["---:"] * len(head))]
    for row in table.rows:
        entries = []
        for cell in row.cells:
            if cell.estimate is None:
                entries.append(f"*{status_text(cell)}*")
            elif cell.best:
                entries.append(f"**{value_text(cell.estimate)}**{seeds_text(cell)}")
            else:
                entries.append(value_text(cell.estimate) + (TIE_MARK if cell.tied else "") + seeds_text(cell))
        lines.append(_bar([number(row.value), *entries]))
    lines += ["", legend(table).replace(f"{BEST_MARK} best", "bold: best") + "."]
    lines += [escape.markdown(line) + "  " for line in reason_lines(table)]
    return "\n".join(lines) + "\n"


def _bar(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def latex_table(table: SweepTable) -> str:
    """One tabular and its legend; needs no package but a font encoding that knows the names' letters."""
    columns = "r" * (len(table.shares) + 1)
    head = [
        AXIS_TITLES[table.axis] + r" $\downarrow$ SFT share $\rightarrow$",
        *(share_text(share) for share in table.shares),
    ]
    lines = [
        f"% {escape.plain(table.title)}; base model: {baseline_text(table)}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\hline",
        " & ".join(head) + r" \\",
        r"\hline",
    ]
    for row in table.rows:
        entries = []
        for cell in row.cells:
            if cell.estimate is None:
                entries.append(rf"\emph{{{status_text(cell)}}}")
                continue
            half = cell.estimate.half_width
            text = f"{cell.estimate.mean:.3f}" + ("" if half is None else rf"\,$\pm$\,{half:.3f}")
            text = rf"\textbf{{{text}}}" if cell.best else text
            entries.append(text + (r"$^\approx$" if cell.tied else "") + seeds_text(cell))
        lines.append(" & ".join([number(row.value).replace(",", r"\,"), *entries]) + r" \\")
    lines += [r"\hline", r"\end{tabular}"]
    title = f"{escape.latex(table.title)} (base model: {baseline_text(table)})".replace("±", r"$\pm$")
    note = escape.latex(legend(table)).replace("±", r"$\pm$").replace("≈", r"$\approx$")
    lines.append(rf"\par\smallskip {title}. {note.replace('* best', 'bold: best')}.")
    return "\n".join(lines) + "\n"
