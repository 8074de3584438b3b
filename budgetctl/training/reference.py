"""Log-probabilities of the reference policy, by the content of what was scored.

They depend on the policy a training starts from, the template and the precision, but on no β, seed, rate, method or
order of rows. So each text is scored once, whatever a sweep does with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

FILE_NAME = "reference.parquet"
SCHEMA = pyarrow.schema([("text", pyarrow.string()), ("logprob", pyarrow.float64())])
"""`text` is the digest of a prompt's and an answer's token ids, `logprob` the answer's summed log-probability."""


def text_digest(prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> str:
    """Name a prompt with its answer by their token ids, 32 hex digits."""
    prompt, answer = (np.asarray(ids, dtype="<i8").tobytes() for ids in (prompt_ids, answer_ids))
    return blake2b(len(prompt).to_bytes(8, "little") + prompt + answer, digest_size=16).hexdigest()


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
