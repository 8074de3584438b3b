"""The answer convention `#### n` on the last line."""

from __future__ import annotations

import re

_LAST_LINE = re.compile(r"####[ \t]*(-?[0-9][0-9,]*(?:\.[0-9]+)?)")


def final_number(text: str) -> str | None:
    """The number after `####` on the last line that is not blank, without thousands separators.

    Returns None when the last line is anything else: a number that is not marked as the answer, or marked
    and then followed by more text, does not count.
    """
    lines = text.strip().splitlines()
    if not lines:
        return None
    match = _LAST_LINE.fullmatch(lines[-1].strip())
    return None if match is None else match.group(1).replace(",", "")


def same_number(found: str, expected: str) -> bool:
    """Whether two written numbers are equal as numbers (`9`, `9.0` and `9.00` are)."""
    from decimal import Decimal, InvalidOperation  # noqa: PLC0415  (slow to import, needed only when scoring)

    try:
        return Decimal(found.replace(",", "")) == Decimal(expected.replace(",", ""))
    except InvalidOperation:
        return False
