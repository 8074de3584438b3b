"""Rows and settings with which a watched run over the small model passes through every kind of trigger in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from budgetctl.forking.triggers import (
    ExamplesTrigger,
    PassTrigger,
    PerplexityTrigger,
    PlateauTrigger,
    WatchSettings,
)
from budgetctl.training.config import LoraSettings, OptimizerSettings, SftSettings

ROWS = 22
"""No multiple of the batch, so batches are cut across passes and the last one is filled from the next."""
BATCH = 8
SFT = SftSettings(
    epochs=10,
    batch_size=BATCH,
    optimizer=OptimizerSettings(learning_rate=1e-2),
    lora=LoraSettings(rank=8, dropout=0.1),
)
"""28 steps; with dropout, so that a disturbed random state would show."""
WATCH = WatchSettings(
    every=24,
    triggers=(
        PerplexityTrigger(at_most=30.0),
        PerplexityTrigger(at_most=3.0),
        PerplexityTrigger(at_most=1.0001),
        PassTrigger(k=4, at_least=0.1),
        PlateauTrigger(patience=2, min_gain=0.2),
        ExamplesTrigger(at=50),
    ),
    level=0.8,
    max_new_tokens=8,
    keep_state=True,
    monitors=("pass@1",),
)


def rows_of(first: int, count: int) -> list[dict[str, Any]]:
    """Questions with answers in the `arith` task's form, easy to learn by heart."""
    return [
        {
            "prompt_id": f"row-{number}",
            "prompt": [{"role": "user", "content": f"{number}?"}],
            "reference": str(number % 2),
            "answer": f"#### {number % 2}",
        }
        for number in range(first, first + count)
    ]


def write_rows(folder: Path) -> None:
    """Write `sft.parquet` and `eval.parquet`; the dev rows are not among the training rows."""
    demonstrations = [
        {
            "prompt_id": row["prompt_id"],
            "messages": [*row["prompt"], {"role": "assistant", "content": row["answer"]}],
        }
        for row in rows_of(0, ROWS)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(demonstrations), folder / "sft.parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows_of(100, 20)), folder / "eval.parquet")
