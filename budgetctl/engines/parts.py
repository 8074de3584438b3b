"""Finished answers on disk while a generation runs, so that a killed one continues where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from budgetctl.engines.protocol import Answer
from store.files import fsync_path

SCHEMA = pyarrow.schema([
    ("prompt_id", pyarrow.string()),
    ("sample", pyarrow.int32()),
    ("text", pyarrow.string()),
    ("token_ids", pyarrow.list_(pyarrow.int32())),
    ("finish_reason", pyarrow.string()),
    ("logprob", pyarrow.float64()),
])  # fmt: skip
"""Columns of `generations.parquet`."""


class AnswerParts:
    """Numbered Parquet files in a folder, each written whole or not at all.

    Attributes:
        damaged: Names of parts that could not be read (a disk's fault can empty a finished file). They are removed, so
            that their answers count as missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._records: list[dict[str, Any]] = []
        self._next = 0
        damaged = []
        for path in sorted(self._folder.glob("part-*.parquet")):
            self._next = int(path.stem.removeprefix("part-")) + 1
            try:
                self._records += pyarrow.parquet.read_table(path, columns=SCHEMA.names).to_pylist()
            except (OSError, pyarrow.ArrowException) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the system's refusal (no permission, say), not a fault of the bytes
                damaged.append(path.name)
                path.unlink()
        self.damaged = tuple(damaged)

    def done(self) -> frozenset[tuple[str, int]]:
        """Return (prompt, sample) of every answer that is there."""
        return frozenset((record["prompt_id"], record["sample"]) for record in self._records)

    def add(self, answers: Sequence[Answer], texts: Sequence[str]) -> None:
        """Write one more part."""
        records = [
            {
                "prompt_id": answer.prompt_id, "sample": answer.sample, "text": text,
                "token_ids": list(answer.token_ids), "finish_reason": answer.finish_reason, "logprob": answer.logprob,
            }
            for answer, text in zip(answers, texts, strict=True)
        ]  # fmt: skip
        target = self._folder / f"part-{self._next:06d}.parquet"
        unfinished = target.with_suffix(".unfinished")
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records, schema=SCHEMA), unfinished)
        fsync_path(unfinished)  # before the rename, or a power cut could leave the name without the bytes
        unfinished.replace(target)
        fsync_path(self._folder)
        self._records += records
        self._next += 1

    def write(self, file: Path, prompt_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Write all answers to one file, in the prompts' order and by sample, and return them."""
        place = {prompt_id: index for index, prompt_id in enumerate(prompt_ids)}
        records = sorted(self._records, key=lambda record: (place[record["prompt_id"]], record["sample"]))
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records, schema=SCHEMA), file)
        return records
