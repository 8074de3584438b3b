"""Budget arithmetic: how many SFT rows and how many preference pairs a cell gets.

The rule, once and for all cells. With budget B, prices p_sft and p_pft per row and SFT share s:

1. share 1 buys SFT rows only, share 0 preference pairs only;
2. n_sft is the whole number of rows nearest to s·B / p_sft, halves upward, but never more than B pays for;
3. n_pft is every pair that the rest, B − n_sft·p_sft, pays for;
4. what is left over is less than the price of one row of the last kind bought, and is reported.

With a budget in examples both prices are 1, so n_sft + n_pft = B exactly and nothing is left over.
All of it is exact rational arithmetic: a price of 0.1 is one tenth.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from budgetctl.errors import UsageError


def exact(value: float | int | str | Fraction, what: str) -> Fraction:
    """Read a number as the decimal it was written as.

    Raises:
        UsageError: `value` is not a finite decimal number.
    """
    try:
        return value if isinstance(value, Fraction) else Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"{what} is {value!r}; give a decimal number such as 0.25") from error


@dataclass(frozen=True)
class Prices:
    """What one row of each kind costs, in `currency` (`examples` when both are 1)."""

    sft: Fraction = Fraction(1)
    pft: Fraction = Fraction(1)
    currency: str = "examples"

    def __post_init__(self) -> None:
        for kind, price in (("sft", self.sft), ("pft", self.pft)):
            if price <= 0:
                raise UsageError(f"the price of one {kind} row is {float(price):g}; it must be above 0")


@dataclass(frozen=True)
class Split:
    """What a cell buys."""

    n_sft: int
    n_pft: int
    left_over: Fraction

    @property
    def rows(self) -> int:
        """Annotated rows in all."""
        return self.n_sft + self.n_pft


def split_budget(budget: float | int | Fraction, share: float | int | Fraction, prices: Prices) -> Split:
    """Apply the rule above.

    Raises:
        UsageError: The share lies outside [0, 1], or the budget is not positive.
    """
    total, part = exact(budget, "the budget"), exact(share, "the SFT share")
    require_share(total, part)
    if part == 1:
        n_sft, n_pft = floor(total / prices.sft), 0
    else:
        nearest = floor(part * total / prices.sft + Fraction(1, 2))
        n_sft = min(nearest, floor(total / prices.sft))
        n_pft = floor((total - n_sft * prices.sft) / prices.pft)
    return Split(n_sft, n_pft, total - n_sft * prices.sft - n_pft * prices.pft)


def require_share(budget: Fraction, share: Fraction) -> None:
    """Check a budget and its SFT share.

    Raises:
        UsageError: The share lies outside [0, 1], or the budget is not positive.
    """
    if not 0 <= share <= 1:
        raise UsageError(
            f"the SFT share is {float(share):g}; it must lie between 0 (pairs only) and 1 (SFT only)"
        )
    if budget <= 0:
        raise UsageError(f"the budget is {float(budget):g}; it must be above 0")
