"""How numbers are written where digits matter: in full, and short enough for names but never two alike."""

from __future__ import annotations

from decimal import Decimal


def in_full(value: float, thousands: str = "") -> str:
    """All digits of a number and no exponent: 1234567 and 12345.67, where `:g` says 1.23457e+06 and 12345.7.

    Args:
        value: The number.
        thousands: What stands between groups of three digits: "," or nothing.
    """
    text = format(Decimal(repr(value)), f"{thousands}f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def short(value: float) -> str:
    """A number in six digits, or in as many as tell it from every other."""
    text = f"{value:g}"
    return text if float(text) == value else in_full(value)
