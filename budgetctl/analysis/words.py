"""The words and numbers that every rendering of a sweep table shares."""

from __future__ import annotations

from budgetctl.analysis import escape
from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.table import SweepTable, TableCell
from budgetctl.analysis.uncertainty import Estimate

TIE_MARK = "≈"
BEST_MARK = "*"
AXIS_TITLES = {"budget": "budget", "cost": "cost", "n_sft": "SFT rows", "n_pft": "PFT rows"}


def axis_title(table: SweepTable) -> str:
    """The corner of the table: what runs down and what runs across."""
    return f"{AXIS_TITLES[table.axis]} ↓ SFT share →"


def number(value: float) -> str:
    """A budget or cost: thousands grouped, no needless decimals."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def short_number(value: float) -> str:
    """A budget for the axis of a picture: 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def share_text(share: float) -> str:
    """A share with as few digits as it needs."""
    return f"{share:.4g}"


def value_text(estimate: Estimate) -> str:
    """Mean ± half the interval, three decimals as scores between 0 and 1 deserve."""
    half = estimate.half_width
    return f"{estimate.mean:.3f}" if half is None else f"{estimate.mean:.3f} ±{half:.3f}"


def status_text(cell: TableCell) -> str:
    """What to show where there is no score."""
    if cell.status is CellStatus.MISSING:
        return "not planned" if cell.planned == 0 else "not run"
    return cell.status.value


def seeds_text(cell: TableCell) -> str:
    """Says when only some of the planned seeds are in the mean."""
    done = cell.estimate.n_seeds if cell.estimate else 0
    return f" [{done}/{cell.planned}]" if done and done < cell.planned else ""


def baseline_text(table: SweepTable) -> str:
    """The base model's score, or what is known of it."""
    if table.baseline is not None:
        return value_text(table.baseline)
    status = table.baseline_status
    return "not measured" if status is CellStatus.MISSING else status.value


def legend(table: SweepTable) -> str:
    """What the marks and intervals of this table mean."""
    cells = [cell for row in table.rows for cell in row.cells if cell.estimate]
    parts = []
    if any(cell.estimate and cell.estimate.half_width is not None for cell in cells):
        sources = "items" if table.noise.df == 0 else "seeds and items"
        if not any(cell.estimate and cell.estimate.n_items for cell in cells):
            sources = "seeds"
        parts.append(f"± {table.confidence * 100:g} % interval over {sources}")
    elif cells:
        parts.append("no intervals: neither seeds nor the number of items are known")
    gaps = [cell.to_best for cell in cells if cell.to_best]
    parts.append(f"{BEST_MARK} best of the row")
    if any(gap.is_real is not None for gap in gaps):
        how = "paired by item" if all(gap.paired for gap in gaps) else "not paired"
        parts.append(f"{TIE_MARK} within noise of the best ({how})")
    if table.noise.df:
        parts.append(f"a seed moves a score by {table.noise.sd:.3f} (sd, {table.noise.df} df)")
    return "; ".join(parts)


def reason_lines(table: SweepTable) -> list[str]:
    """One line per distinct reason, with the places it concerns."""
    places: dict[str, list[str]] = {}
    for row in table.rows:
        for cell in row.cells:
            if cell.reason and cell.planned:
                places.setdefault(cell.reason, []).append(f"{number(row.value)}×{share_text(cell.share)}")
    return [f"{', '.join(found)}: {escape.plain(reason)}" for reason, found in places.items()]
