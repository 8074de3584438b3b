"""Conversations in Arrow columns: reading them row by row, and putting a system message in front."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

Conversation = list[tuple[str | None, str | None]]
"""Turns as (role, content)."""


def conversations(column: pa.ListArray) -> Iterator[Conversation]:
    """Yield each row's turns; a null row has none."""
    offsets = column.offsets.to_pylist()
    roles = column.values.field("role").to_pylist()
    contents = column.values.field("content").to_pylist()
    for begin, end in pairwise(offsets):
        yield list(zip(roles[begin:end], contents[begin:end], strict=True))


def with_system(column: pa.ListArray, system_prompt: str) -> pa.ListArray:
    """Put a system message in front of every row that has none of its own. Vectorised."""
    offsets = column.offsets.to_numpy()
    begins, lengths = offsets[:-1], np.diff(offsets)
    turns = column.values
    roles = turns.field("role").to_numpy(zero_copy_only=False)
    has_turns = lengths > 0
    own = np.zeros(len(lengths), dtype=bool)
    own[has_turns] = roles[begins[has_turns]] == "system"
    new_lengths = lengths + ~own
    new_offsets = np.concatenate(([0], np.cumsum(new_lengths))).astype(np.int32)
    source = np.full(int(new_offsets[-1]), len(turns), dtype=np.int64)  # the appended system turn, by default
    shift = np.repeat(new_offsets[:-1] + ~own - begins, lengths)
    old = np.repeat(begins, lengths) + _within(lengths)
    source[old + shift] = old
    added = pa.array([{"role": "system", "content": system_prompt}], type=turns.type)
    return pa.ListArray.from_arrays(
        pa.array(new_offsets), pa.concat_arrays([turns, added]).take(pa.array(source))
    )


def _within(lengths: np.ndarray) -> np.ndarray:
    """0, 1, … inside each group."""
    ends = np.cumsum(lengths)
    within: np.ndarray = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return within
