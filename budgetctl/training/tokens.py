"""Rows of a data file as token ids, kept as a file so that a sweep tokenises the same rows once.

What is kept depends on the rows, the tokenizer and the template alone: not on a length limit, a method, a seed or
which tokens the loss counts. Whoever reads it applies those.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from budgetctl.errors import UsageError
from budgetctl.models.encoding import Encoder

FILE_NAME = "tokens.parquet"
REVISION = 1
"""Raise it when the same rows, tokenizer and template give other tokens."""
WORTH_KEEPING = 1000
"""Fewer rows are tokenised in less time than an artifact takes to publish."""

Record = Mapping[str, Any]
Form = Callable[[Record, Encoder, str], dict[str, Any]]
"""(row, encoder, its name in messages) → the row's columns of token ids."""


def conversation(record: Record, encoder: Encoder, origin: str) -> dict[str, Any]:
    """A whole conversation: `ids`, and `learn` for the assistant's tokens."""
    encoded = encoder.conversation(record["messages"], origin)
    return {"ids": list(encoded.ids), "learn": list(encoded.learn)}


def pair(record: Record, encoder: Encoder, origin: str) -> dict[str, Any]:
    """A prompt and two answers: `prompt`, `chosen`, `rejected`."""
    given = record["prompt"]
    answers = {side: encoder.answer(given, record[side], origin) for side in ("chosen", "rejected")}
    return {"prompt": encoder.prompt(given, origin), **answers}


def single(record: Record, encoder: Encoder, origin: str) -> dict[str, Any]:
    """A prompt with one answer: `prompt`, `answer`, `wanted`."""
    prompt = encoder.prompt(record["prompt"], origin)
    answer = encoder.answer(record["prompt"], record["completion"], origin)
    return {"prompt": prompt, "answer": answer, "wanted": record["label"]}


def tokenised(file: Path, form: Form, encoder: Encoder, kept: Path | None) -> list[dict[str, Any]]:
    """Every row's prompt id and token ids.

    Args:
        file: Parquet file of a data artifact.
        form: How its rows are laid out.
        encoder: Template and tokenizer.
        kept: Read instead of tokenising if it is there; written otherwise.

    Raises:
        UsageError: There are no rows, or the template cannot render one.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if kept is not None and kept.exists():
        return list(pq.read_table(kept).to_pylist())
    records = pq.read_table(file).to_pylist()
    if not records:
        raise UsageError(f"{file.name} of the data artifact holds no rows; there is nothing to train on.")
    rows = [
        {"prompt_id": record["prompt_id"], **form(record, encoder, origin_of(record))} for record in records
    ]
    if kept is not None and len(rows) >= WORTH_KEEPING:
        unfinished = kept.with_suffix(f".{os.getpid()}.unfinished")
        pq.write_table(pa.Table.from_pylist(rows), unfinished)
        unfinished.replace(kept)
    return rows


def origin_of(record: Record) -> str:
    """What messages call a row."""
    return f"row {record['prompt_id']!r}"


def libraries() -> dict[str, str]:
    """Versions of what turns text into ids: another one tokenises anew."""
    return {name: version(name) for name in ("tokenizers", "transformers")}
