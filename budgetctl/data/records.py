"""Records of local files, whatever their format, with errors that name the file and the line."""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, get_args

from budgetctl.data.files import parsed, read_jsonl, require_characters
from budgetctl.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["jsonl", "json", "csv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
LONGEST_CELL = 64 * 2**20
ROWS_AT_ONCE = 8192

Record = tuple[str, dict[str, Any]]
"""Where it stands (file and line or row, for messages), and column → value."""


def format_of(path: Path) -> Format:
    """Tell the format from the file's name.

    Raises:
        UsageError: The name ends in none of the known ways.
    """
    ending = path.suffix.lower().removeprefix(".")
    for known in FORMATS:
        if ending == known:
            return known
    raise UsageError(
        f"{path}: cannot tell its format; files must end in {', '.join('.' + name for name in FORMATS)}"
    )


def read_records(path: Path, form: Format) -> Iterator[Record]:
    """Yield the records of a file.

    Raises:
        UsageError: The file is not what its format says.
    """
    if form == "jsonl":
        return ((f"{path}, line {number}", record) for number, record in read_jsonl(path))
    if form == "json":
        return _json(path)
    return _csv(path) if form == "csv" else _parquet(path)


def _json(path: Path) -> Iterator[Record]:
    try:
        text = path.read_bytes().removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not valid UTF-8 (byte {error.start + 1})") from error
    content = parsed(text, str(path), many_lines=True)
    halves = "\\ud" in text.lower()
    if not isinstance(content, list):
        raise UsageError(f"{path}: expected a list of objects, found a {type(content).__name__}")
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            raise UsageError(f"{path}, row {number}: expected an object, found a {type(record).__name__}")
        if halves:
            require_characters(record, f"{path}, row {number}")
        yield f"{path}, row {number}", record


def _csv(path: Path) -> Iterator[Record]:
    """Records by the line they begin on: a quoted cell may go over several."""
    csv.field_size_limit(LONGEST_CELL)
    names: list[str] | None = None
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        reader = csv.reader(_text_lines(stream, path), strict=True)
        while True:
            where = f"{path}, line {reader.line_num + 1}"
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise UsageError(f"{where}: not valid CSV ({error})") from error
            if cells is None:
                return
            if not cells:
                continue
            if names is None:
                names = cells
                if twice := sorted({name for name in names if names.count(name) > 1}):
                    raise UsageError(f"{where}: it names {', '.join(map(repr, twice))} more than once")
                continue
            if len(cells) != len(names):
                raise UsageError(f"{where}: it has {len(cells)} cells, and the first line {len(names)}")
            yield where, dict(zip(names, cells, strict=True))


def _text_lines(stream: TextIO, path: Path) -> Iterator[str]:
    """Lines of a file that was opened to let bytes pass that are no UTF-8."""
    for number, line in enumerate(stream, start=1):
        try:
            line.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{path}, line {number}: not valid UTF-8 (character {error.start + 1})"
            ) from error
        yield line


def _parquet(path: Path) -> Iterator[Record]:
    number = 0
    for batch in parquet_batches(path):
        for record in batch.to_pylist():
            number += 1
            yield f"{path}, row {number}", record


def parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield a Parquet file's rows in batches.

    Raises:
        UsageError: It is not a Parquet file, or not a whole one.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as content:
            done = 0
            for batch in content.iter_batches(batch_size=ROWS_AT_ONCE):
                _require_texts(batch, f"{path}, rows {done + 1} to {done + batch.num_rows}")
                done += batch.num_rows
                yield batch
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: not a whole Parquet file ({str(error).splitlines()[0]})") from error


def _require_texts(batch: pa.RecordBatch, where: str) -> None:
    """Check that texts are UTF-8, which Parquet's writers need not have done."""
    import pyarrow as pa  # noqa: PLC0415

    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            raise UsageError(f"{where}: column {name!r} is damaged ({str(error).splitlines()[0]})") from error
