"""How the files of a hub dataset lie in its folder: which of them hold a split, and whether they are all there."""

from __future__ import annotations

import re
from pathlib import Path

from budgetctl.data.files import content_hash
from budgetctl.data.records import FORMATS
from budgetctl.errors import UsageError

_PART = re.compile(r"(?P<head>.*-)(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})(?P<ending>\.\w+)")


class MissingPartError(UsageError):
    """A split is numbered in parts, and not all of them are there."""


def split_files(folder: Path, stem: str, what: str) -> list[Path]:
    """The files that hold a split, in order: `train.jsonl`, `train-00000-of-00002.parquet`, `data/train-….parquet`.

    Args:
        folder: Of the dataset, or of one configuration of it.
        stem: The dataset's own name of the split.
        what: The dataset's name, for messages.

    Raises:
        UsageError: The folder is missing, parts of the split are, or several configurations have such a split.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    found = {path for pattern in (f"{stem}.*", f"{stem}-*") for path in folder.rglob(pattern)}
    files = sorted(
        path for path in found if path.suffix.lower().removeprefix(".") in FORMATS and path.is_file()
    )
    files = _one_configuration(files, folder, stem, what)
    _require_parts(files)
    return files


def _one_configuration(files: list[Path], folder: Path, stem: str, what: str) -> list[Path]:
    """The files of the only folder that holds the split, or of one where all hold the same."""
    homes: dict[Path, list[Path]] = {}
    for path in files:
        homes.setdefault(path.parent, []).append(path)
    if len(homes) < 2:
        return files
    if len({tuple(sorted(map(content_hash, one))) for one in homes.values()}) > 1:
        names = ", ".join(str(home.relative_to(folder)) for home in homes)
        raise UsageError(
            f"{what} has several configurations with a split {stem!r}, in {names}; say which one is meant: "
            "`folder: NAME`"
        )
    return next(iter(homes.values()))


def _require_parts(files: list[Path]) -> None:
    there = {path.name for path in files}
    for path in files:
        part = _PART.fullmatch(path.name)
        if part is None:
            continue
        for number in range(int(part["count"])):
            name = f"{part['head']}{number:05d}-of-{part['count']}{part['ending']}"
            if name not in there:
                raise MissingPartError(f"{path.parent} has {path.name} but no {name}; bring the missing part")
