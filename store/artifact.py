"""A published result, opened for reading."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.errors import CorruptArtifact, MissingArtifact
from store.manifest import FileEntry, Manifest, Scalar, read_manifest

DROPPED_NAME = "dropped.json"
"""Beside the manifest: names of files that `demote` removed. The manifest itself never changes."""


@dataclass(frozen=True)
class Artifact:
    """What a stage published under its key; every file is there with its size, unless dropped.

    Attributes:
        key: The key it was published under (an older one, if it was asked for by an alias).
        folder: Its directory in the store.
        manifest: Its record.
        dropped: Names of files that `demote` removed.
    """

    key: str
    folder: Path
    manifest: Manifest
    dropped: frozenset[str]

    @property
    def stage(self) -> str:
        return self.manifest.payload.stage

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.manifest.payload.identity

    @property
    def parents(self) -> Mapping[str, str]:
        return self.manifest.payload.parents

    @property
    def metrics(self) -> Mapping[str, Scalar]:
        return self.manifest.metrics

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.manifest.provenance

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """All published files by name, dropped ones included."""
        return self.manifest.files

    @property
    def size(self) -> int:
        """Bytes of the files that are here."""
        return sum(entry.size for name, entry in self.files.items() if name not in self.dropped)

    def path(self, name: str = "") -> Path:
        """The path of one file, or of the folder that holds them all.

        Raises:
            MissingArtifact: There is no such file, or it was dropped to save space.
        """
        if not name:
            return self.folder / "files"
        if name in self.dropped:
            raise MissingArtifact(
                f"{name} of {self.stage} {self.key[:12]} was dropped to save space: fetch it with "
                f"`budgetctl store pull {self.key[:12]}`, or forget the artifact to compute it again"
            )
        if name not in self.files and not any(other.startswith(f"{name}/") for other in self.files):
            raise MissingArtifact(
                f"{self.stage} {self.key[:12]} has no file {name!r}; it has {', '.join(sorted(self.files)) or 'none'}"
            )
        return self.folder / "files" / name


def open_artifact(folder: Path, key: str) -> Artifact:
    """Open the artifact in `folder` and check that each file is there with its size.

    Raises:
        FileNotFoundError: There is no manifest.
        CorruptArtifact: The manifest or a file is not what was published.
    """
    manifest = read_manifest(folder / "manifest.json", key)
    dropped = read_dropped(folder)
    problem = find_size_problem(folder, manifest, dropped)
    if problem:
        raise CorruptArtifact(
            f"{manifest.payload.stage} {key[:12]} is corrupt: {problem}; run `budgetctl store repair {key[:12]}`"
        )
    return Artifact(key, folder, manifest, dropped)


def read_dropped(folder: Path) -> frozenset[str]:
    """Names of the files that `demote` removed from the artifact in `folder`."""
    try:
        return frozenset(json.loads((folder / DROPPED_NAME).read_bytes()))
    except FileNotFoundError:
        return frozenset()
    except (ValueError, TypeError) as error:
        raise CorruptArtifact(f"{folder / DROPPED_NAME} is not a list of names: {error}") from error


def find_size_problem(folder: Path, manifest: Manifest, dropped: frozenset[str]) -> str:
    """What is wrong with the files' presence, kind or size; empty if nothing is."""
    root = str(folder / "files")
    parents = {name.rpartition("/")[0] for name in manifest.files if name not in dropped}
    for folder_name in {""} | {prefix for parent in parents for prefix in _prefixes(parent)}:
        if not _is_folder(f"{root}/{folder_name}".rstrip("/")):
            return f"the folder files/{folder_name} is missing or is a link"
    for name, entry in manifest.files.items():
        if name in dropped:
            continue
        try:
            status = os.lstat(f"{root}/{name}")
        except FileNotFoundError:
            return f"{name} is missing"
        if not stat.S_ISREG(status.st_mode):
            return f"{name} is not a plain file"
        if status.st_size != entry.size:
            return f"{name} has {status.st_size} bytes instead of {entry.size}"
    return ""


def _prefixes(parent: str) -> list[str]:
    parts = parent.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
