"""Rows to Parquet, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from budgetctl.data.layouts import Kind, file_of, schema_of

ROWS_AT_ONCE = 8192


def write_rows(folder: Path, kind: Kind, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows in the layout of `kind` and return the file."""
    path, schema = folder / file_of(kind), schema_of(kind)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        batch: list[Mapping[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    return path
