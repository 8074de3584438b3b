"""What a cell buys: rows by number, or rows by tokens, and the axes that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from budgetctl.data.amount import Size, Tokens
from budgetctl.errors import UsageError
from budgetctl.study.budget import Prices, exact, require_share, split_budget
from budgetctl.study.numerals import in_full

TOKENS = "tokens"
"""The currency of budgets that are counted in tokens."""


@dataclass(frozen=True)
class Purchase:
    """The two sides of a cell.

    Attributes:
        sft: Demonstrations; None buys none.
        pft: Preference pairs; None buys none.
        axes: `n_sft`, `n_pft`, `left_over` and `cost`. With a budget in tokens the first three are None until the
            rows are there, and `tokens_sft` and `tokens_pft` say what each side may take.
    """

    sft: Size | None
    pft: Size | None
    axes: Mapping[str, Any]

    @property
    def in_tokens(self) -> bool:
        """Whether a tokenizer decides how many rows it buys."""
        return isinstance(self.sft, Tokens) or isinstance(self.pft, Tokens)


def purchase(budget: float | Fraction, share: float | Fraction, prices: Prices) -> Purchase:
    """What a budget buys at an SFT share.

    In examples or money, the rule of `budgetctl.study.budget`. In tokens, the SFT side gets the whole number of tokens
    nearest to share × budget, halves upward, and the preference side the rest; each side then buys the longest prefix
    of its ranked rows that fits (`budgetctl.data.amount`).

    Raises:
        UsageError: The share lies outside [0, 1], or the budget is not positive, or not whole in tokens.
    """
    if prices.currency == TOKENS:
        return _in_tokens(exact(budget, "the budget"), exact(share, "the SFT share"))
    split = split_budget(budget, share, prices)
    spent = split.n_sft * prices.sft + split.n_pft * prices.pft
    axes = {
        "n_sft": split.n_sft, "n_pft": split.n_pft, "left_over": float(split.left_over), "cost": float(spent),
    }  # fmt: skip
    return Purchase(split.n_sft or None, split.n_pft or None, axes)


def _in_tokens(budget: Fraction, share: Fraction) -> Purchase:
    require_share(budget, share)
    if budget.denominator != 1:
        raise UsageError(f"the budget is {in_full(float(budget))} tokens; it must be a whole number")
    sft = floor(share * budget + Fraction(1, 2))
    pft = int(budget) - sft
    axes = {
        "n_sft": None if sft else 0, "n_pft": None if pft else 0, "left_over": None, "cost": float(budget),
        "tokens_sft": sft, "tokens_pft": pft,
    }  # fmt: skip
    return Purchase(Tokens(sft) if sft else None, Tokens(pft) if pft else None, axes)
