"""Reference log-probabilities: which texts have one, and files of them by the content of what was scored.

They depend on the policy a training starts from, the template and the precision, but on no β, seed, rate, method or
order of rows. So each text of the rows is scored once, whatever a sweep does with it. Only KTO's mismatched texts (a
prompt with another row's answer) follow from a training's order, and lie in a file of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

OWN_FILE = "reference.parquet"
MISMATCHED_FILE = "mismatched.parquet"
PARTS = "reference-part-*.parquet"
SCHEMA = pyarrow.schema([("text", pyarrow.string()), ("logprob", pyarrow.float64())])
"""`text` is the digest of a prompt's and an answer's token ids, `logprob` the answer's summed log-probability."""


@dataclass(frozen=True)
class Text:
    """A prompt with an answer, as token ids."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)

    @cached_property
    def digest(self) -> str:
        """Its name by its content."""
        return text_digest(self.prompt, self.answer)


@dataclass(frozen=True)
class ReferenceTexts:
    """What a training needs scores of.

    Attributes:
        own: Every answer of every row.
        mismatched: Prompts with other rows' answers, in KTO.
    """

    own: Sequence[Text]
    mismatched: Sequence[Text] = ()

    @cached_property
    def by_digest(self) -> Mapping[str, Text]:
        """Each distinct text once."""
        return {text.digest: text for text in (*self.own, *self.mismatched)}


def text_digest(prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> str:
    """Name a prompt with its answer by their token ids, 32 hex digits."""
    prompt, answer = (np.asarray(ids, dtype="<i8").tobytes() for ids in (prompt_ids, answer_ids))
    return blake2b(len(prompt).to_bytes(8, "little") + prompt + answer, digest_size=16).hexdigest()


def part_file(folder: Path, process: int) -> Path:
    """Where one process of a pass keeps what it has scored so far."""
    return folder / PARTS.replace("*", str(process))


def read_scores(files: Iterable[Path | None]) -> dict[str, float]:
    """Return what the files that exist hold, text → log-probability; values that are no numbers are left out."""
    scores: dict[str, float] = {}
    for file in files:
        if file is not None and file.exists():
            table = pyarrow.parquet.read_table(file, schema=SCHEMA)
            found = zip(table["text"].to_pylist(), table["logprob"].to_pylist(), strict=True)
            scores |= {text: value for text, value in found if np.isfinite(value)}
    return scores


def write_scores(file: Path, scores: Mapping[str, float]) -> None:
    """Write a file that is whole or not there."""
    columns = {"text": list(scores), "logprob": list(scores.values())}
    unfinished = file.with_suffix(".unfinished")
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=SCHEMA), unfinished)
    unfinished.replace(file)
