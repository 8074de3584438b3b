"""Rank, filter and write a million rows: wall and CPU time, and peak memory, of the data stage's path.

    python benchmarks/data_million_rows.py [--rows 1000000] [--kind sft]

Each measurement runs in a process of its own, so that its peak resident memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from budgetctl.data.columns import Columns
from budgetctl.data.cutting import Order, cut
from budgetctl.data.overlap import matrix, of_rows
from budgetctl.data.pool import load_pool
from budgetctl.data.prepare import card, write_rows
from budgetctl.data.sources import LocalFiles
from budgetctl.data.sources.files import SetAside

WORDS = (
    "the",
    "a",
    "of",
    "one",
    "two",
    "red",
    "box",
    "pen",
    "book",
    "gives",
    "takes",
    "counts",
    "long",
    "river",
)
COLUMNS = {
    "sft": Columns(prompt="prompt", answer="answer"),
    "pref": Columns(prompt="prompt", chosen="answer", rejected="other"),
}


def text(number: int, length: int) -> str:
    return " ".join(
        WORDS[(number * 7 + place * place + number % (place + 2)) % len(WORDS)] for place in range(length)
    )


def make(path: Path, rows: int) -> None:
    """About 500 bytes a row, every hundredth empty, every fiftieth a repetition."""
    schema = pa.schema([("prompt", pa.string()), ("answer", pa.string()), ("other", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 50_000):
            part = []
            for number in range(start, min(start + 50_000, rows)):
                same = number - 1 if number % 50 == 49 else number
                answer = "" if number % 100 == 0 else f"{same} {text(same, 50)}"
                part.append(
                    {"prompt": f"Number {same}: {text(same, 20)}?", "answer": answer, "other": f"no, {same}"}
                )
            writer.write_table(pa.Table.from_pylist(part, schema=schema))


def measure(path: Path, kind: str) -> dict[str, float]:
    """Read, filter, rank, take all that is left, and write, as the data stage does."""
    marks = {}
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        folder = Path(scratch)
        started = time.monotonic()
        source, located = LocalFiles.at({"train": [path]}, COLUMNS[kind], SetAside())
        marks["hash"] = time.monotonic() - started
        pool = load_pool(source, kind, "train", located, frozenset(), folder)
        marks["read and filter"] = time.monotonic() - started
        chosen = cut(pool, kind, len(pool), Order(0), "benchmark")
        marks["rank"] = time.monotonic() - started
        card(pool, chosen, kind)
        matrix({kind: of_rows(pool, chosen, kind)})
        written = write_rows(folder, pool, chosen, kind, "Answer well.")
        marks["write"] = time.monotonic() - started
        counts = {"rows": len(pool), **pool.left_out, "written MB": written.stat().st_size / 1e6}
    marks["CPU"] = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {**marks, "peak GiB": peak, **counts}


def main() -> None:
    """Measure three times and print the median, the spread and the runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=tuple(COLUMNS), default="sft")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child, given.kind)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        make(path, given.rows)
        command = [sys.executable, __file__, "--kind", given.kind, "--child", str(path)]
        runs = [json.loads(subprocess.check_output(command, text=True)) for _ in range(given.runs)]
    for run in runs:
        print(json.dumps({name: round(value, 2) for name, value in run.items()}))
    walls = [run["write"] for run in runs]
    cpu = statistics.median(run["CPU"] for run in runs)
    print(
        f"{given.rows} {given.kind} rows: median {statistics.median(walls):.1f} s "
        f"({min(walls):.1f} to {max(walls):.1f}), {cpu:.1f} s of CPU"
    )


if __name__ == "__main__":
    main()
