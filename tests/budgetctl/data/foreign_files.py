"""Files of rows as somebody else might have made them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from budgetctl.data.columns import Columns
from budgetctl.data.sources import LocalFiles

ROWS = [{"q": f"question {n}", "a": f"answer {n}"} for n in range(40)]
COLUMNS = Columns(prompt="q", answer="a")


def write(path: Path, rows) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), "utf-8")
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def read(path: Path, columns: Columns = COLUMNS, kind="sft", split="train", set_aside=None):
    source, located = LocalFiles.at({"train": [path]}, columns, set_aside)
    return list(source.rows(kind, split, located))
