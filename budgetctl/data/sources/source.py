"""What every source offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from budgetctl.data.layouts import Kind, Split

Row = Mapping[str, Any]
"""One row in the layout of its kind, without `prompt_id` and without a system message."""


class Source(Protocol):
    """A frozen pydantic model with a literal field `source`; every field of it enters the data key."""

    def rows(self, kind: Kind, split: Split, located: Mapping[str, Path]) -> Iterator[Row]:
        """Yield every row of that kind and split, in any order.

        `unpaired` is never asked for: it is made from `pref`.

        Args:
            kind: `sft`, `pref` or `eval`.
            split: Disjoint from the other splits, whatever the file order.
            located: Content hash (or declared name) of a local source → where it lies on this machine.

        Raises:
            UsageError: The source cannot give such rows, is not found, or is malformed.
        """
