"""What can be wrong with the rows of a budget."""

from __future__ import annotations

from budgetctl.errors import BudgetctlError


class ShortageError(BudgetctlError):
    """A source has not the rows that a budget buys; nothing is ever made up or quietly left short."""
