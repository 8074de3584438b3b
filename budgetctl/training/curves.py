"""Logged values of a training, as rows of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

FILE_NAME = "curves.parquet"
_NOT_VALUES = ("step", "epoch")


class Curve:
    """Values by step: (step, examples seen, name, value). Steps count from 1."""

    def __init__(self, rows: list[tuple[int, int, str, float]]) -> None:
        self.rows = rows

    @classmethod
    def from_log(cls, history: Iterable[Mapping[str, float]], batch_size: int) -> Curve:
        """Take the entries of a trainer's log that belong to a step."""
        return cls([
            (int(entry["step"]), int(entry["step"]) * batch_size, name, float(value))
            for entry in history if "loss" in entry
            for name, value in entry.items() if name not in _NOT_VALUES
        ])  # fmt: skip

    def values(self, name: str) -> list[float]:
        """Return one value's course."""
        return [value for _, _, logged, value in self.rows if logged == name]

    def write(self, folder: Path) -> None:
        """Write `curves.parquet`: `step` int64, `examples` int64, `name` string, `value` double."""
        import pyarrow  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415

        types = {"step": "int64", "examples": "int64", "name": "string", "value": "float64"}
        schema = pyarrow.schema([(name, pyarrow.type_for_alias(alias)) for name, alias in types.items()])
        records = [dict(zip(types, row, strict=True)) for row in self.rows]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records, schema=schema), folder / FILE_NAME)
