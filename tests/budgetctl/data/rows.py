"""A source in memory, for tests of everything that stands behind sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from budgetctl.data.layouts import Kind, Split
from budgetctl.data.reasons import LeftOut
from budgetctl.data.sources.source import in_batches


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def sft_row(prompt: str, answer: str) -> dict[str, Any]:
    return {"messages": user(prompt) + assistant(answer)}


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {"prompt": user(prompt), "chosen": assistant(chosen), "rejected": assistant(rejected)}


def question(prompt: str, reference: str = "1") -> dict[str, Any]:
    return {"prompt": user(prompt), "reference": reference}


@dataclass(frozen=True)
class ListedSource:
    """Rows by (kind, split), as a `Source`."""

    rows: Mapping[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    small: bool = True
    title: str = "listed rows"

    def batches(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[pa.RecordBatch]:
        return in_batches(self.rows.get((kind, split), []), kind)
