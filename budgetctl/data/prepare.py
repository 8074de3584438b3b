"""From a pool to the rows of one budget: rank, cut, lay out, and say what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from budgetctl.data.amount import Size, Tokens
from budgetctl.data.errors import ShortageError
from budgetctl.data.layouts import KIND_NAMES, Kind, file_of, schema_of
from budgetctl.data.pool import Pool
from budgetctl.data.ranking import End, Grouping, distinct, ranked
from budgetctl.data.sources.source import ROWS_AT_ONCE
from budgetctl.data.turns import with_system

PROMPT_COLUMN = {"sft": "messages", "pref": "prompt", "unpaired": "prompt", "eval": "prompt"}


@dataclass(frozen=True)
class Order:
    """How a pool is ranked before it is cut; see `ranked`."""

    seed: int
    end: End = "front"
    grouping: Grouping = "together"


def cut(pool: Pool, kind: Kind, size: Size | None, order: Order, what: str) -> list[int]:
    """Choose the first rows of the ranking: `size` of them, or as many as so many tokens pay for; None takes all.

    Raises:
        ShortageError: There are fewer rows than that. Nothing is ever made up or quietly left short.
    """
    if not len(pool):
        raise ShortageError(f"{what} has no {KIND_NAMES[kind]}{_left_out_words(pool)}")
    if isinstance(size, Tokens):
        return _paid_for(pool, kind, size, order, what)
    if size is not None and size > len(pool):
        raise ShortageError(
            f"{what} has {len(pool)} {KIND_NAMES[kind]}{_left_out_words(pool)}, and {size} are asked for; "
            "lower the budget or change the share"
        )
    return ranked(order.seed, pool.prompt_ids, pool.digests, order.grouping, order.end)[:size]


def _paid_for(pool: Pool, kind: Kind, budget: Tokens, order: Order, what: str) -> list[int]:
    """The longest prefix of the ranking that a token budget pays for; never nothing, and never all for less."""
    ranking = ranked(order.seed, pool.prompt_ids, pool.digests, order.grouping, order.end)
    count, spent = budget.rows(pool.costs[row] for row in ranking)
    if not count:
        raise ShortageError(
            f"{budget.budget} tokens buy nothing of {what}: the first of its {KIND_NAMES[kind]} takes "
            f"{pool.costs[ranking[0]]}; raise the budget or change the share"
        )
    if count == len(ranking) and spent < budget.budget:
        raise ShortageError(
            f"{what} has {spent} tokens in {count} {KIND_NAMES[kind]}{_left_out_words(pool)}, and {budget.budget} are "
            "asked for; lower the budget or change the share"
        )
    return ranking[:count]


def require_apart(taken: Sequence[str], other: Sequence[str], n_sft: int) -> None:
    """Check that the two sides of a cell share no prompt.

    Raises:
        ShortageError: They do, because together they need more prompts than there are.
    """
    shared = len(set(taken) & set(other))
    if shared:
        raise ShortageError(
            f"overlap: disjoint cannot be kept: {len(taken)} preference rows and {n_sft} SFT rows need more "
            f"prompts than the sources have ({shared} would be on both sides); "
            "lower the budget or say overlap: shared"
        )


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


def _left_out_words(pool: Pool) -> str:
    if not pool.left_out:
        return ""
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(pool.left_out.items()))
    return f" left (left out: {counts})"
