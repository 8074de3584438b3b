"""What every source offers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from budgetctl.data.layouts import Kind, Split, content_schema
from budgetctl.data.reasons import LeftOut

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 8192

Row = Mapping[str, Any]
"""One row in the layout of its kind, without `prompt_id` and without the task's system message."""


class Source(Protocol):
    """A frozen pydantic model with a literal field `source`; every field of it enters the data key."""

    @property
    def title(self) -> str:
        """What messages call it."""

    @property
    def small(self) -> bool:
        """Whether all rows surely fit in memory."""

    def batches(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield every row of that kind and split, in any order, in the layout's columns without `prompt_id`.

        `unpaired` is never asked for: it is made from `pref`.

        Args:
            kind: `sft`, `pref` or `eval`.
            split: Disjoint from the other splits, whatever the file order.
            located: Content hash (or declared name) of a local source → where it lies on this machine.
            left_out: Counts what gives no row of that kind and split although it is there; None lets it go uncounted.

        Raises:
            UsageError: The source cannot give such rows, is not found, or is malformed.
        """

    def rows(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[Row]:
        """As `batches`, one by one; slower for large sources."""


def in_batches(rows: Iterable[Row], kind: Kind) -> Iterator[pa.RecordBatch]:
    """Rows as Arrow batches in the layout of `kind`."""
    import pyarrow as pa  # noqa: PLC0415

    schema, stream = content_schema(kind), iter(rows)
    while part := list(islice(stream, ROWS_AT_ONCE)):
        yield pa.RecordBatch.from_pylist(part, schema=schema)
