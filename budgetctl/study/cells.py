"""Cells: the points of a recipe's grid, each with exactly the rows its budget buys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from budgetctl.study.numerals import short
from budgetctl.study.purchase import Purchase, purchase
from budgetctl.study.recipe import Recipe


@dataclass(frozen=True, order=True)
class Cell:
    """One base, task, method, budget, SFT share and seed."""

    base: str
    task: str
    method: str
    budget: float
    share: float
    seed: int

    @property
    def name(self) -> str:
        """Readable and unique within a recipe."""
        return f"{self.base}/{self.task}/{self.method}/b{short(self.budget)}/s{short(self.share)}/seed{self.seed}"


def cells_of(recipe: Recipe) -> Iterator[tuple[Cell, Purchase]]:
    """Every cell of the grid but those of `leave_out`, with what it buys, in the recipe's order."""
    axes = (recipe.bases, recipe.tasks, recipe.methods, recipe.budgets, recipe.shares, recipe.seeds)
    for base, task, method, budget, share, seed in product(*axes):
        cell = Cell(base, task, method, budget, share, seed)
        if not any(
            all(getattr(cell, axis) == value for axis, value in entry.items()) for entry in recipe.leave_out
        ):
            yield cell, purchase(budget, share, recipe.prices)
