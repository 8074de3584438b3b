"""Read back what a training wrote."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet

from budgetctl.models.adapters import Adapter


def curve_values(folder: Path, name: str) -> list[float]:
    """One logged value's course, from `curves.parquet`."""
    records = pyarrow.parquet.read_table(folder / "curves.parquet").to_pylist()
    return [record["value"] for record in records if record["name"] == name]


def largest_difference(one: Path, other: Path) -> float:
    """Between two adapters of the same shape."""
    first, second = Adapter.load(one).weights, Adapter.load(other).weights
    return max(float((first[name] - second[name]).abs().max()) for name in first)
