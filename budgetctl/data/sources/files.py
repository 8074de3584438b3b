"""Rows from local files: JSON lines, JSON, CSV or Parquet, with a mapping of columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from budgetctl.data.columns import Columns, Row
from budgetctl.data.dice import Dice
from budgetctl.data.files import content_hash, located_file
from budgetctl.data.layouts import Kind, Split
from budgetctl.data.prompt_ids import prompt_id
from budgetctl.data.reasons import SET_ASIDE, LeftOut
from budgetctl.data.records import Format, format_of, parquet_batches, read_records
from budgetctl.data.sources.source import in_batches
from budgetctl.schema import Frozen

if TYPE_CHECKING:
    import pyarrow as pa


class LocalFile(Frozen):
    """A file by content."""

    content: str = Field(pattern="^[0-9a-f]{64}$")
    format: Format


class SetAside(Frozen):
    """Shares of the prompts set aside by hash, for sources that have no dev or test rows of their own."""

    dev: float = Field(default=0.0, ge=0, le=0.5)
    """Rows that decide."""
    test: float = Field(default=0.0, ge=0, le=0.5)
    """Rows that report."""

    @property
    def splits(self) -> tuple[Split, ...]:
        """What is set aside."""
        splits: tuple[Split, ...] = ("dev", "test")
        return tuple(split for split in splits if getattr(self, split))

    @property
    def any(self) -> bool:
        """Whether anything is set aside."""
        return bool(self.splits)

    def rows_of(self, split: Split, rows: Iterator[Row], left_out: LeftOut) -> Iterator[Row]:
        """The rows of a file of training rows that belong to a split; what training loses to the others is counted."""
        if not self.any:
            yield from rows if split == "train" else ()
            return
        for row in rows:
            if self.split_of(row) == split:
                yield row
            elif split == "train":
                left_out[SET_ASIDE] += 1

    def split_of(self, row: Row) -> Split:
        """The split of a row: all answers to one prompt share it, whatever the file order."""
        prompt = row["prompt"] if "prompt" in row else row["messages"][:-1]
        at = Dice(f"set aside {prompt_id(prompt)}").share()
        return "dev" if at < self.dev else "test" if at < self.dev + self.test else "train"


class LocalFiles(Frozen):
    """Files by content; where they lie and what they are called is no part of it."""

    source: Literal["files"] = "files"
    train: tuple[LocalFile, ...] = ()
    dev: tuple[LocalFile, ...] = ()
    test: tuple[LocalFile, ...] = ()
    columns: Columns
    set_aside: SetAside = SetAside()
    """Taken out of the train files."""

    @classmethod
    def at(
        cls, paths: Mapping[Split, Sequence[Path]], columns: Columns, set_aside: SetAside | None = None
    ) -> tuple[LocalFiles, dict[str, Path]]:
        """Describe files, and say where their contents lie.

        Raises:
            UsageError: A file is missing or its name does not tell its format.
        """
        located: dict[str, Path] = {}
        splits: dict[str, list[LocalFile]] = {}
        for split, files in paths.items():
            for path in files:
                form, digest = format_of(path), content_hash(path)
                located[digest] = path
                splits.setdefault(split, []).append(LocalFile(content=digest, format=form))
        ordered = {
            split: tuple(sorted(files, key=lambda file: file.content)) for split, files in splits.items()
        }
        return cls.model_validate(
            {**ordered, "columns": columns, "set_aside": set_aside or SetAside()}
        ), located

    @property
    def title(self) -> str:
        return "the files"

    @property
    def small(self) -> bool:
        return False

    def batches(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[pa.RecordBatch]:
        left_out = LeftOut() if left_out is None else left_out
        own: tuple[LocalFile, ...] = getattr(self, split)
        whole = bool(own) and not (split == "train" and self.set_aside.any)
        if not whole or (kind == "eval" and self.columns.reference is None):
            yield from in_batches(self.rows(kind, split, located, left_out), kind)
            return
        for file in own:
            path = located_file(f"a {file.format} file of rows", file.content, located)
            yield from mapped_batches(path, file.format, self.columns, kind, left_out)

    def rows(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[Row]:
        """Yield the rows of one split."""
        if kind == "eval" and self.columns.reference is None:
            return  # demonstrations or pairs only: nothing here can be scored
        left_out = LeftOut() if left_out is None else left_out
        own: tuple[LocalFile, ...] = getattr(self, split)
        for file in own or self.train:
            path = located_file(f"a {file.format} file of rows", file.content, located)
            rows = mapped_rows(path, file.format, self.columns, kind, left_out)
            divided = split == "train" or not own
            yield from self.set_aside.rows_of(split, rows, left_out) if divided else rows


def mapped_rows(path: Path, form: Format, columns: Columns, kind: Kind, left_out: LeftOut) -> Iterator[Row]:
    """The rows of one file, in the layout of `kind`."""
    for where, record in read_records(path, form):
        yield from columns.rows(record, kind, where, left_out)


def mapped_batches(
    path: Path, form: Format, columns: Columns, kind: Kind, left_out: LeftOut
) -> Iterator[pa.RecordBatch]:
    """As `mapped_rows`, in batches; texts of a Parquet file never become Python objects."""
    if form != "parquet":
        yield from in_batches(mapped_rows(path, form, columns, kind, left_out), kind)
        return
    from budgetctl.data.plain_columns import plain_rows  # noqa: PLC0415

    number = 0
    for batch in parquet_batches(path):
        plain = plain_rows(columns, batch, kind)
        if plain is not None:
            yield plain
        else:
            records = enumerate(batch.to_pylist(), start=number + 1)
            yield from in_batches(
                (
                    row
                    for at, record in records
                    for row in columns.rows(record, kind, f"{path}, row {at}", left_out)
                ),
                kind,
            )
        number += batch.num_rows
