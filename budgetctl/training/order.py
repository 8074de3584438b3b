"""Which rows each optimizer step sees: one stream of shuffled passes, cut into batches that are all full."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RowOrder:
    """The order of a whole training, a function of its seed alone.

    The stream is one permutation of the rows per pass, end to end, and batches are cut across passes. The last
    step is filled from the next pass, so every step has exactly `batch_size` rows and its gradient is the same
    for every micro-batch.

    Attributes:
        rows: Number of rows in the data.
        epochs: Passes over them, rounded up to whole steps.
        batch_size: Rows of one step.
        seed: Of the shuffles.
    """

    rows: int
    epochs: float
    batch_size: int
    seed: int

    @property
    def steps(self) -> int:
        """Number of optimizer steps, at least one."""
        return max(1, math.ceil(round(self.rows * self.epochs, 6) / self.batch_size))

    @property
    def examples(self) -> int:
        """Rows the whole training consumes."""
        return self.steps * self.batch_size

    def stream(self) -> list[int]:
        """Return the row index of every example in order."""
        return self.first(self.examples)

    def first(self, examples: int) -> list[int]:
        """Return the row index of so many examples; the order itself goes on without end."""
        if not examples:
            return []
        passes = math.ceil(examples / self.rows)
        shuffles = [
            np.random.default_rng([self.seed, epoch]).permutation(self.rows) for epoch in range(passes)
        ]
        return [int(index) for index in np.concatenate(shuffles)[:examples]]

    def distinct(self, examples: int) -> int:
        """How many different rows the first examples hold: a pass holds each row once, and the next only known ones."""
        return min(examples, self.rows)


@dataclass(frozen=True)
class Stretch:
    """The rows that follow a part of an order, in whole steps.

    Attributes:
        order: The order.
        after: Examples before the stretch.
        at_least: Examples of it, rounded up to whole steps.
    """

    order: RowOrder
    after: int
    at_least: int

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return math.ceil(self.at_least / self.order.batch_size)

    @property
    def examples(self) -> int:
        """Rows the stretch consumes."""
        return self.steps * self.order.batch_size

    def stream(self) -> list[int]:
        """Return the row index of every example in order."""
        return self.order.first(self.after + self.examples)[self.after :]
