"""Rows from a dataset of the Hugging Face hub, or from a folder with the same files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from budgetctl.data.columns import Columns, Row
from budgetctl.data.layouts import Kind, Split
from budgetctl.data.reasons import LeftOut
from budgetctl.data.records import format_of
from budgetctl.data.sources.files import SetAside, mapped_batches, mapped_rows
from budgetctl.data.sources.hub_layout import split_files
from budgetctl.data.sources.source import in_batches
from budgetctl.errors import UsageError
from budgetctl.schema import Frozen

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_SPLITS: Mapping[Split, str] = {"train": "train", "test": "test"}
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubDataset(Frozen):
    """A dataset by name and declared revision. The key needs no network: a branch is what the user declared.

    Which commit a branch stood for is frozen per store at the first fetch and written into the manifest.
    """

    source: Literal["hub"] = "hub"
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    """A commit, a tag or a branch."""
    epoch: int = Field(default=0, ge=0)
    """Raised by `data refresh` when a branch is to be looked up anew."""
    folder: str = ""
    """Where in the repository the files lie, for datasets of several configurations."""
    columns: Columns
    set_aside: SetAside = SetAside()
    """Taken out of the train split, for datasets without dev or test rows of their own."""
    splits: Mapping[Split, str] = DEFAULT_SPLITS
    """Our splits → the dataset's own; a split that is not named has no rows of its own."""

    @property
    def name(self) -> str:
        """How an execution's `sources` names the folder that holds the dataset's files."""
        return f"hub:{self.repository}@{self.revision}+{self.epoch}"

    @property
    def folder_name(self) -> str:
        """What a copy's folder is called: the dataset's name without its owner."""
        return self.repository.split("/")[1]

    @property
    def pinned(self) -> bool:
        """Whether the declared revision is a commit, which never moves."""
        return bool(_COMMIT.fullmatch(self.revision))

    @property
    def title(self) -> str:
        return self.repository

    @property
    def small(self) -> bool:
        return False

    def batches(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[pa.RecordBatch]:
        left_out = LeftOut() if left_out is None else left_out
        own = self.splits.get(split)
        if (
            own is None
            or (split == "train" and self.set_aside.any)
            or (kind == "eval" and self.columns.reference is None)
        ):
            yield from in_batches(self.rows(kind, split, located, left_out), kind)
            return
        for path in self._files(own, located):
            yield from mapped_batches(path, format_of(path), self.columns, kind, left_out)

    def rows(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[Row]:
        """Yield the rows of one split."""
        if kind == "eval" and self.columns.reference is None:
            return  # demonstrations or pairs only: nothing here can be scored
        left_out = LeftOut() if left_out is None else left_out
        set_aside = split != "train" and split not in self.splits
        stem = self.splits.get("train" if set_aside else split)
        if stem is None:
            return
        for path in self._files(stem, located):
            rows = mapped_rows(path, format_of(path), self.columns, kind, left_out)
            divided = set_aside or split == "train"
            yield from self.set_aside.rows_of(split, rows, left_out) if divided else rows

    def files_by_split(self, root: Path) -> dict[str, list[Path]]:
        """The dataset's own splits (below the configuration's folder, if there is one) → their files in a copy.

        Raises:
            UsageError: The copy lacks the folder or parts of a split, or it is unclear which configuration is meant.
        """
        folder, stems = root / self.folder, sorted(set(self.splits.values()))
        return {
            (Path(self.folder) / stem).as_posix(): split_files(folder, stem, self.repository)
            for stem in stems
        }

    def _files(self, stem: str, located: Mapping[str, Path]) -> list[Path]:
        root = located.get(self.name)
        if root is None:
            raise UsageError(
                f"nobody fetched {self.repository}; run with a network, or bring its files as "
                f"FOLDER/{self.folder_name} and name FOLDER with --path"
            )
        found = split_files(root / self.folder, stem, self.repository)
        if not found:
            raise UsageError(
                f"{root / self.folder} has no files of the split {stem!r}: {self.repository} keeps it in files "
                f"named {stem}.jsonl, {stem}.parquet or {stem}-00000-of-0000N.parquet"
            )
        return found
