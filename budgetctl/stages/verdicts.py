"""The verdicts of one evaluation: gathered answer by answer, summed by prompt, written as `verdicts.parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from budgetctl.scoring.clustered import ClusteredShare, clustered_share
from budgetctl.tasks.task import Part

SCHEMA = pa.schema([
    ("prompt_id", pa.string()),
    ("sample", pa.int32()),
    ("part", pa.int32()),  # which part of the question, from 0; null for the answer as a whole
    ("kind", pa.string()),  # of the part
    ("metric", pa.string()),
    ("value", pa.float64()),
])  # fmt: skip
KIND_SCHEMA = pa.schema([
    ("kind", pa.string()),
    ("metric", pa.string()),
    ("n", pa.int64()),
    ("value", pa.float64()),
    ("low", pa.float64()),
    ("high", pa.float64()),
])  # fmt: skip


class VerdictTable:
    """One row a verdict: of an answer as a whole, or of one part of it."""

    def __init__(self) -> None:
        self._rows: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
        self._whole: dict[str, dict[str, list[float]]] = {}
        self._parts: dict[tuple[str, str], dict[str, list[float]]] = {}
        self.parts = 0

    def add(self, prompt_id: str, sample: int, scores: Mapping[str, float], parts: Sequence[Part]) -> None:
        """Take the verdicts on one answer."""
        for metric, value in scores.items():
            self._row(prompt_id, sample, None, None, metric, float(value))
            self._whole.setdefault(metric, {}).setdefault(prompt_id, []).append(float(value))
        for place, part in enumerate(parts):
            for metric, value in part.scores.items():
                self._row(prompt_id, sample, place, part.kind, metric, float(value))
                by_prompt = self._parts.setdefault((metric, part.kind), {})
                by_prompt.setdefault(prompt_id, []).append(float(value))
        self.parts += len(parts)

    def shares(self) -> Iterator[tuple[str, ClusteredShare]]:
        """Each metric over all its verdicts, those of whole answers before those of parts."""
        for metric, by_prompt in self._whole.items():
            yield metric, _share(by_prompt)
        for metric in dict.fromkeys(metric for metric, _ in self._parts):
            together: dict[str, list[float]] = {}
            for (name, _), by_prompt in self._parts.items():
                for prompt_id, values in by_prompt.items() if name == metric else ():
                    together.setdefault(prompt_id, []).extend(values)
            yield metric, _share(together)

    def flags(self) -> Iterator[tuple[str, list[list[float]]]]:
        """Each metric that says right or wrong of whole answers, with its verdicts by prompt."""
        for metric, by_prompt in self._whole.items():
            if all(value in (0.0, 1.0) for values in by_prompt.values() for value in values):
                yield metric, list(by_prompt.values())

    def write(self, file: Path) -> None:
        """Write every verdict."""
        pq.write_table(pa.table(self._rows, schema=SCHEMA), file)

    def write_kinds(self, file: Path) -> None:
        """Write the share of each kind of part, a row per kind and metric."""
        rows = []
        for metric, kind in sorted(self._parts, key=lambda place: (place[1], place[0])):
            share = _share(self._parts[metric, kind])
            rows.append({
                "kind": kind, "metric": metric, "n": share.n, "value": share.value, "low": share.interval.low,
                "high": share.interval.high,
            })  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows, schema=KIND_SCHEMA), file)

    def _row(self, *values: object) -> None:
        for name, value in zip(SCHEMA.names, values, strict=True):
            self._rows[name].append(value)


def _share(by_prompt: Mapping[str, Sequence[float]]) -> ClusteredShare:
    sums = np.array([sum(values) for values in by_prompt.values()])
    return clustered_share(sums, [len(values) for values in by_prompt.values()])
