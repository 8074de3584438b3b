"""How many rows of an effective batch go through the model at once."""

from __future__ import annotations

CPU_TOKENS = 2048
"""Padded tokens of one CPU forward pass; a larger batch gains nothing there and takes memory."""
GPU_TOKENS = 32768
"""Where the search for a fitting size starts on a GPU; halved until it fits."""


def first_micro_batch(batch_size: int, longest: int, on_gpu: bool, asked: int | None, least: int = 1) -> int:
    """Return the number of rows to begin with: a divisor of the batch, so that every step stays exact.

    Args:
        batch_size: Rows of one optimizer step on this process.
        longest: Padded tokens of the longest row (both answers of a pair).
        on_gpu: Whether a GPU computes.
        asked: What the user wants; the largest divisor not above it is taken.
        least: The method's own minimum, at most `batch_size`. It goes before both limits: where no divisor lies
            between, the smallest one from here on is taken.
    """
    limit = asked or max(1, (GPU_TOKENS if on_gpu else CPU_TOKENS) // max(1, longest))
    divisors = [rows for rows in range(least, batch_size + 1) if batch_size % rows == 0]
    return max((rows for rows in divisors if rows <= limit), default=divisors[0])


def smaller(batch_size: int, rows: int, least: int = 1) -> int | None:
    """Return the next smaller divisor of the batch, or None below `least`."""
    divisors = [size for size in range(least, rows) if batch_size % size == 0]
    return max(divisors, default=None)
