"""From chosen rows of a pool to a file: lay them out, and say what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from budgetctl.data.amount import Size, Tokens
from budgetctl.data.layouts import Kind, file_of, schema_of
from budgetctl.data.pool import Pool
from budgetctl.data.ranking import distinct
from budgetctl.data.sources.source import ROWS_AT_ONCE
from budgetctl.data.turns import with_system

PROMPT_COLUMN = {"sft": "messages", "pref": "prompt", "unpaired": "prompt", "eval": "prompt"}


def write_rows(
    folder: Path, pool: Pool, chosen: Sequence[int], kind: Kind, system_prompt: str | None
) -> Path:
    """Write the chosen rows in the layout of `kind`, in the ranking's order, and return the file."""
    path, schema = folder / file_of(kind), schema_of(kind)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _laid_out(pool, chosen, kind, system_prompt):
            writer.write_batch(batch)
    return path


def _laid_out(
    pool: Pool, chosen: Sequence[int], kind: Kind, system_prompt: str | None
) -> Iterator[pa.RecordBatch]:
    schema = schema_of(kind)
    for start in range(0, len(chosen), ROWS_AT_ONCE):
        batch = pool.take(chosen[start : start + ROWS_AT_ONCE])
        if kind == "unpaired":
            batch = _unpaired(batch, schema)
        if system_prompt is not None:
            at = schema.get_field_index(PROMPT_COLUMN[kind])
            columns = list(batch.columns)
            columns[at] = with_system(columns[at], system_prompt)
            batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        yield batch


def _unpaired(pairs: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Each pair as two rows, the chosen answer first: desirable and undesirable answers always balance."""
    count = pairs.num_rows
    twice = pa.array([row for row in range(count) for _ in range(2)], pa.int64())
    interleaved = pa.array([row + side * count for row in range(count) for side in (0, 1)], pa.int64())
    completions = pa.concat_arrays([pairs.column("chosen"), pairs.column("rejected")]).take(interleaved)
    labels = pa.array([True, False] * count, pa.bool_())
    prompts = pairs.column("prompt").take(twice)
    return pa.RecordBatch.from_arrays(
        [pairs.column("prompt_id").take(twice), prompts, completions, labels], schema=schema
    )


def card(pool: Pool, chosen: Sequence[int], kind: Kind, size: Size | None = None) -> dict[str, Any]:
    """Counts of rows and prompts, what there was to choose from, and what was left out and why."""
    counts: dict[str, Any] = {
        "kind": kind,
        "rows": len(chosen) * (2 if kind == "unpaired" else 1),
        "annotations": len(chosen),
        "prompts": distinct(pool.prompt_ids[row] for row in chosen),
        "available": len(pool),
        "available_prompts": distinct(pool.prompt_ids),
        "left_out": dict(pool.left_out),
    }
    if pool.lengths:
        from budgetctl.data.lengths import statistics  # noqa: PLC0415  (loads the template machinery)

        counts["tokens"] = statistics([pool.lengths[row] for row in chosen])
    if isinstance(size, Tokens):
        spent = sum(pool.costs[row] for row in chosen)
        counts["token_budget"] = {
            "tokens": size.budget, "tokens_spent": spent, "tokens_left_over": size.budget - spent,
        }  # fmt: skip
    if kind == "unpaired":
        counts["desirable"] = counts["undesirable"] = len(chosen)
        counts["weights"] = {"desirable": 1.0, "undesirable": 1.0}  # as many of each, so none need weigh more
    return counts
