"""How much of a ranking a budget takes: so many rows, or the rows that so many tokens pay for.

A token budget buys the longest prefix of the ranked rows whose tokens together do not exceed it. A row's tokens are
those that a model reads in one pass over it, rendered in the base's template and counted by its tokenizer: the whole
conversation of a demonstration; for a pair the prompt with the chosen answer and the prompt with the rejected one.
What is left over is less than the next row costs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Tokens:
    """A budget in tokens."""

    budget: int

    def rows(self, costs: Iterable[int]) -> tuple[int, int]:
        """How many of the next rows the budget pays for, and the tokens they take together.

        Args:
            costs: Tokens of each row, in the order in which rows are taken.
        """
        count = spent = 0
        for cost in costs:
            if spent + cost > self.budget:
                break
            spent += cost
            count += 1
        return count, spent


Size = int | Tokens
