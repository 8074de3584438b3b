"""Picks cells by conditions such as `task=gsm8k` or `budget>=1000`."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from budgetctl.analysis.cells import CellResult
from budgetctl.errors import UsageError

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"\s*(\w+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*")
_WORDS = ("base", "task", "method", "status", "key")
_NUMBERS = ("budget", "share", "seed", "n_sft", "n_pft", "score", "cost")
_OF_GROUPS = ("base", "task")


def select_cells(cells: Iterable[CellResult], conditions: Sequence[str]) -> list[CellResult]:
    """The cells that meet all conditions; a base model's own score only has a base and a task to meet.

    Args:
        cells: what to choose from.
        conditions: `NAME OP VALUE` with =, !=, <, <=, > or >=.

    Raises:
        UsageError: a condition cannot be read, or names an unknown column (near names are given).
    """
    tests = [_parse(condition) for condition in conditions]
    return [cell for cell in cells if all(_meets(cell, *test) for test in tests)]


def _parse(condition: str) -> tuple[str, Callable[[Any, Any], bool], str | float]:
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise UsageError(
            f"cannot read the condition {condition!r}; write for example task=gsm8k or budget>=1000"
        )
    name, sign, text = match.groups()
    if name in _WORDS:
        if sign not in ("=", "!="):
            raise UsageError(
                f"the condition {condition!r} compares words; only = and != make sense for {name}"
            )
        return name, _OPERATORS[sign], text
    if name not in _NUMBERS:
        near = difflib.get_close_matches(name, (*_WORDS, *_NUMBERS), n=2, cutoff=0.4)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join((*_WORDS, *_NUMBERS))}"
        )
        raise UsageError(f"unknown column {name!r} in the condition {condition!r}; {hint}")
    try:
        return name, _OPERATORS[sign], float(text)
    except ValueError as error:
        raise UsageError(f"the condition {condition!r} needs a number after {sign}, not {text!r}") from error


def _meets(cell: CellResult, name: str, compare: Callable[[Any, Any], bool], wanted: str | float) -> bool:
    if cell.is_baseline and name not in _OF_GROUPS:
        return True
    value = {
        "base": cell.base,
        "task": cell.task,
        "method": cell.method,
        "status": cell.status.value,
        "key": cell.key,
        "budget": cell.budget,
        "share": cell.sft_share,
        "seed": cell.seed,
        "n_sft": cell.n_sft,
        "n_pft": cell.n_pft,
        "score": cell.score,
        "cost": cell.cost,
    }[name]
    return value is not None and compare(value, wanted)
