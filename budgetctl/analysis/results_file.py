"""Scores measured anywhere: reads them from a CSV or takes them from a study's cells."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from budgetctl.analysis.cells import CellResult, CellStatus
from budgetctl.errors import UsageError
from budgetctl.study.budget import Prices, split_budget

REQUIRED = ("base", "task", "budget", "sft_ratio", "score")
OPTIONAL = ("n", "seed")


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured score.

    Attributes:
        budget: annotated rows in all; 0 is the untrained base model.
        sft_share: part of the budget that went to SFT.
        n_items: test items behind the score; None when not known.
    """

    base: str
    task: str
    budget: float
    sft_share: float
    n_sft: int
    n_pft: int
    score: float
    n_items: int | None = None
    seed: int = 0
    method: str = ""


def read_results(path: Path) -> list[Observation]:
    """Reads a CSV with the columns `base,task,budget,sft_ratio,score` and maybe `n` and `seed`.

    Other columns are ignored. A budget of 0 is the untrained base model; its `sft_ratio` may be empty.

    Raises:
        UsageError: the file is missing, empty, lacks columns, or a value is out of range; the message
            names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist; --results takes a CSV file with {_columns()}") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise UsageError(f"{path} is not a UTF-8 text file: {error}") from error
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    header = [name.strip() for name in reader.fieldnames or []]
    _check_header(path, header)
    reader.fieldnames = header
    found = [_observation(row, f"{path}, line {reader.line_num}") for row in reader if any(row.values())]
    if not found:
        raise UsageError(f"{path} has a header but no results")
    return found


def observations_of(cells: Iterable[CellResult]) -> list[Observation]:
    """A study's finished cells as observations."""
    return [
        Observation(
            base=cell.base,
            task=cell.task,
            budget=cell.budget,
            sft_share=cell.sft_share,
            n_sft=_rows(cell)[0],
            n_pft=_rows(cell)[1],
            score=cell.score,
            n_items=cell.n_items,
            seed=cell.seed,
            method=cell.method,
        )
        for cell in cells
        if cell.status is CellStatus.DONE and cell.score is not None
    ]


def _rows(cell: CellResult) -> tuple[int, int]:
    if cell.n_sft is not None and cell.n_pft is not None:
        return cell.n_sft, cell.n_pft
    return _split(cell.budget, cell.sft_share)


def _split(budget: float, share: float) -> tuple[int, int]:
    if budget == 0:
        return 0, 0
    split = split_budget(budget, share, Prices())
    return split.n_sft, split.n_pft


def _columns() -> str:
    return f"the columns {','.join(REQUIRED)} and optionally {','.join(OPTIONAL)}"


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if not missing:
        return
    hints = []
    for name in missing:
        near = difflib.get_close_matches(name, header, n=1, cutoff=0.5)
        hints.append(f"{name} (there is {near[0]!r})" if near else name)
    raise UsageError(
        f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(hints)}; need {_columns()}"
    )


def _observation(row: Mapping[str | None, str | None], where: str) -> Observation:
    if None in row:
        raise UsageError(f"{where}: more values than columns")
    base, task = ((row[name] or "").strip() for name in ("base", "task"))
    if not base or not task:
        raise UsageError(f"{where}: base and task must not be empty")
    budget = _number(row, "budget", where)
    untrained = budget == 0 and not (row["sft_ratio"] or "").strip()
    share = 0.0 if untrained else _number(row, "sft_ratio", where)
    if budget < 0:
        raise UsageError(f"{where}: budget is {budget:g}; it must not be negative (0 is the untrained model)")
    if not 0 <= share <= 1:
        raise UsageError(f"{where}: sft_ratio is {share:g}; it is a share, between 0 and 1")
    n_sft, n_pft = _split(budget, share)
    items = _number(row, "n", where) if (row.get("n") or "").strip() else None
    if items is not None and items < 1:
        raise UsageError(f"{where}: n is {items:g}; it counts test items, so it is at least 1")
    seed = _number(row, "seed", where) if (row.get("seed") or "").strip() else 0
    return Observation(
        base=base,
        task=task,
        budget=budget,
        sft_share=share,
        n_sft=n_sft,
        n_pft=n_pft,
        score=_number(row, "score", where),
        n_items=None if items is None else int(items),
        seed=int(seed),
    )


def _number(row: Mapping[str | None, str | None], name: str, where: str) -> float:
    text = (row.get(name) or "").strip()
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"{where}: {name} is {text!r}, not a number") from error
    if not math.isfinite(value):
        raise UsageError(f"{where}: {name} is {text}, not a finite number")
    return value
