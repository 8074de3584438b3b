"""Where things lie in a store, and which version of the layout it is."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from store.errors import NewerStore, StoreError
from store.files import fsync_path, make_directory, to_json, token, write_atomic
from store.payload import KEY_SCHEMA

STORE_VERSION = 1
"""Version of the layout on disk; see docs/reference/store.md."""

_FOLDERS = (
    "blobs", "artifacts", "drafts", "leases", "attempts", "plans", "pins", "aliases", "memo", "quarantine", "trash",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Paths inside the store at `root`."""

    root: Path

    def artifact(self, key: str) -> Path:
        return self.root / "artifacts" / key[:2] / key

    def manifest(self, key: str) -> Path:
        return self.artifact(key) / "manifest.json"

    def blob(self, digest: str) -> Path:
        return Path(self.blob_name(digest))

    def blob_name(self, digest: str) -> str:
        """The path as text: with thousands of small files each path object counts."""
        return f"{self.root}/blobs/{digest[:2]}/{digest}"

    def lease(self, name: str) -> Path:
        return self.root / "leases" / name

    def attempts(self, key: str) -> Path:
        return self.root / "attempts" / key[:2]

    def plan(self, identifier: str) -> Path:
        return self.root / "plans" / f"{identifier}.json"

    def pin(self, name: str) -> Path:
        return self.root / "pins" / f"{name}.json"

    def alias(self, key: str) -> Path:
        return self.root / "aliases" / key

    @property
    def drafts(self) -> Path:
        return self.root / "drafts"

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    def writable(self) -> bool:
        """Whether this process may write here."""
        return os.access(self.root, os.W_OK)


def open_layout(root: Path, create: bool) -> Layout:
    """Check the version of the store at `root`, creating an empty store if asked.

    Raises:
        NewerStore: A later program wrote it.
        StoreError: There is no store, or the folder is something else.
    """
    layout = Layout(root)
    version = root / "VERSION"
    if not version.exists():
        if not create:
            raise StoreError(
                f"{root} is not a store: it has no file VERSION (create one, or name another path)"
            )
        _create(layout, version)
    _check_version(version)
    return layout


def _create(layout: Layout, version: Path) -> None:
    strangers = [entry.name for entry in layout.root.iterdir()] if layout.root.exists() else []
    foreign = sorted(
        name for name in strangers if name not in {*_FOLDERS, "VERSION"} and not name.startswith(".VERSION.")
    )
    if foreign:
        raise StoreError(f"{layout.root} holds {foreign[0]!r} and is not a store: choose an empty folder")
    make_directory(layout.root)
    for name in _FOLDERS:
        (layout.root / name).mkdir(exist_ok=True)
    fsync_path(layout.root)
    write_atomic(version, to_json({"store": STORE_VERSION, "key_schema": KEY_SCHEMA}))


def _check_version(version: Path) -> None:
    try:
        document = json.loads(version.read_bytes())
        number = int(document["store"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{version} is not readable as a store's version: {error}") from error
    if number > STORE_VERSION:
        raise NewerStore(
            f"the store {version.parent} has layout {number} and this program knows up to {STORE_VERSION}: "
            "update budgetctl, or use another store"
        )


def file_system_now(layout: Layout) -> os.stat_result:
    """A stat with the times that the store's own file system would stamp now; this host's clock may differ."""
    probe = layout.trash / f"now.{token()}"
    probe.touch()
    try:
        return probe.stat()
    finally:
        probe.unlink()
