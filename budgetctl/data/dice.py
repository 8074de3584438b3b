"""Repeatable draws."""

from __future__ import annotations

import random
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws that depend on nothing but a text: the same for every Python version and machine.

    Uses `random.Random.random`, the one method whose sequence the Python documentation guarantees.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def below(self, n: int) -> int:
        """A whole number in [0, n)."""
        return int(self._random() * n)

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + self.below(high - low + 1)

    def pick(self, options: tuple[T, ...] | list[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def share(self) -> float:
        """A number in [0, 1)."""
        return self._random()

    def chance(self, probability: float) -> bool:
        """True at that rate."""
        return self._random() < probability
