"""Where a stage writes, and how that becomes an artifact in one step.

The draft is a private folder. Publishing hashes its files, gives them to the blobs by hard link, writes the manifest,
syncs all of it, and renames one folder into place; until that rename nothing exists, after it everything does.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from blake3 import blake3

from store.artifact import Artifact, open_artifact
from store.blobs import keep_blob
from store.errors import CorruptArtifact, StoreError, UsageError
from store.files import (
    check_name,
    disk_errors,
    fsync_path,
    make_directory,
    remove_tree,
    share_file,
    sync_files,
    token,
    walk_files,
    write_synced,
)
from store.hashing import Signature, hash_file, side_by_side, signature
from store.layout import Layout
from store.manifest import FileEntry, Manifest, Scalar
from store.payload import Payload
from store.process import Holder
from store.quarantine import quarantine_artifact

_LOG = logging.getLogger("store")
_COPY_BYTES = 1 << 20
_PUBLISH_ROUNDS = 5


class Draft:
    """A private folder for one attempt at one key. Use `Store.draft`.

    Attributes:
        payload: What is being made.
        folder: The draft's own folder.
        files: What is written here gets published.
        scratch: Never published; survives a kill and is there for the next attempt at the key.
        resumed: Whether scratch holds something that an earlier attempt left.
    """

    def __init__(self, layout: Layout, payload: Payload, folder: Path) -> None:
        self._layout = layout
        self._known: dict[str, tuple[Signature, str]] = {}
        self._user = os.geteuid()
        self.payload = payload
        self.folder = folder
        self.files = folder / "files"
        self.scratch = folder / "scratch"
        for path in (self.files, self.scratch):
            path.mkdir(exist_ok=True)
        self.resumed = any(self.scratch.iterdir())

    @contextmanager
    def create(self, name: str) -> Iterator[HashingWriter]:
        """Write a file of `files/` and hash it on the way, so that publishing need not read it again."""
        target = Path(self._target(name))
        with disk_errors(self._layout.root), target.open("xb") as file:
            writer = HashingWriter(file)
            yield writer
        self._known[name] = (signature(target.lstat()), writer.hexdigest())

    def link(self, source: Path, name: str) -> None:
        """Publish an existing file that nobody will change, without copying where the file system can.

        The file becomes read-only, because its bytes are now the store's too.

        Raises:
            UsageError: `source` is not a file, or `name` is taken or not a plain relative name.
        """
        real = source.resolve() if os.path.islink(source) else source  # noqa: PTH114
        with disk_errors(self._layout.root):
            target = self._target(name)
            try:
                if share_file(real, target):
                    return
                with self.create(name) as writer, real.open("rb") as reader:
                    shutil.copyfileobj(reader, writer, _COPY_BYTES)
            except FileExistsError:
                raise UsageError(f"the draft already has a file {name!r}") from None
            except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
                if real.is_file():
                    raise
                raise UsageError(f"{source} is not a file") from error

    def _target(self, name: str) -> str:
        """Where a file of this name goes, as text: with thousands of small files each path object counts."""
        target = f"{self.files}/{check_name(name)}"
        if "/" in name:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        return target

    def publish(self, metrics: Mapping[str, Scalar], provenance: Mapping[str, Any]) -> Artifact:
        """Make what is in `files/` the artifact of this key, whole or not at all.

        If another process was first, its artifact is returned and this draft is thrown away.

        Args:
            metrics: Numbers, texts and truth values worth asking for in SQL.
            provenance: How it came about; plain JSON.

        Raises:
            NoSpace: The disk is full; the draft is kept and can be published once there is space.
            StoreError: `files/` holds links or devices.
        """
        with disk_errors(self._layout.root):
            self._unstage()
            return self._commit(Manifest(self.payload, self._settle_files(), dict(metrics), dict(provenance)))

    def publish_as(self, manifest: Manifest) -> Artifact:
        """Publish under a manifest that was made elsewhere, if the files are the ones it promises.

        Raises:
            CorruptArtifact: They are not.
        """
        with disk_errors(self._layout.root):
            self._unstage()
            files = self._settle_files()
            wrong = sorted(
                name
                for name in files.keys() | manifest.files.keys()
                if files.get(name) != manifest.files.get(name)
            )
            if wrong:
                raise CorruptArtifact(
                    f"{wrong[0]} of {manifest.payload.key[:12]} is not the file its manifest promises"
                )
            return self._commit(manifest)

    def discard(self) -> None:
        """Throw the draft away, scratch included."""
        remove_tree(self.folder)

    def _unstage(self) -> None:
        staged = self.folder / "ready" / "files"
        if staged.exists():
            self.files.rmdir()
            staged.rename(self.files)
        remove_tree(self.folder / "ready")

    def _settle_files(self) -> dict[str, FileEntry]:
        """Hash and protect every file, and give it to the blobs."""
        listed = list(walk_files(self.files))
        for name, _ in listed:
            check_name(name)
        return dict(side_by_side(self._settle_file, listed))

    def _settle_file(self, row: tuple[str, os.stat_result]) -> tuple[str, FileEntry]:
        name, status = row
        path = f"{self.files}/{name}"
        known = self._known.get(name)
        digest = known[1] if known and known[0] == signature(status) else hash_file(path, status.st_size)
        if status.st_mode & 0o222 and self._user in {0, status.st_uid}:
            os.chmod(path, 0o444)  # noqa: PTH101
        keep_blob(self._layout, path, digest, self.folder)
        return name, FileEntry(status.st_size, digest)

    def _commit(self, manifest: Manifest) -> Artifact:
        ready = self.folder / "ready"
        ready.mkdir()
        (ready / "manifest.json").write_bytes(manifest.to_bytes())
        self.files.rename(ready / "files")
        sync_files(ready, ["manifest.json", "files", *(f"files/{name}" for name in manifest.files)])
        home = self._layout.artifact(self.payload.key)
        make_directory(home.parent)
        artifact = self._move_in(ready, home, manifest)
        self.discard()
        return artifact

    def _move_in(self, ready: Path, home: Path, manifest: Manifest) -> Artifact:
        for _ in range(_PUBLISH_ROUNDS):
            try:
                ready.rename(home)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
                try:
                    return open_artifact(home, self.payload.key)
                except CorruptArtifact as broken:
                    quarantine_artifact(self._layout, self.payload.key, str(broken))
                except FileNotFoundError:
                    quarantine_artifact(self._layout, self.payload.key, "a folder without a manifest")
            else:
                fsync_path(home.parent)
                return Artifact(self.payload.key, home, manifest, frozenset())
        raise StoreError(f"{home} keeps coming back broken: does something else write into the store?")


class HashingWriter:
    """A binary file that hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hasher = blake3()

    def write(self, content: bytes) -> int:
        self._hasher.update(content)
        return self._file.write(content)

    def hexdigest(self) -> str:
        return self._hasher.hexdigest()


def open_draft(layout: Layout, payload: Payload, holds_lease: bool) -> Draft:
    """Make a draft for `payload`, continuing what an abandoned one left in its scratch folder.

    A draft whose process is dead is taken over whole. One whose process cannot be judged (another host, or asleep)
    is only copied from, and only by the holder of the key's lease: its process may wake and write on.
    """
    with disk_errors(layout.root):
        folder = layout.drafts / _draft_name(payload.key)
        found = sorted(find_drafts(layout, payload.key), key=_last_change, reverse=True)
        for old in found:
            if draft_owner_lives(old) is False and _take_over(old, folder):
                return Draft(layout, payload, folder)
        _make_folder(layout, payload, folder)
        for old in found if holds_lease else []:
            if old.exists() and any((old / "scratch").iterdir()):
                _LOG.warning("continuing from a copy of the draft %s", old.name)
                _copy_tree(old / "scratch", folder / "scratch")
                break
        return Draft(layout, payload, folder)


def find_drafts(layout: Layout, key: str = "") -> list[Path]:
    """Folders of all drafts, or of those of one key."""
    return [
        path
        for path in layout.drafts.iterdir()
        if path.name.startswith(f"{key}." if key else tuple("0123456789abcdef"))
    ]


def draft_owner_lives(folder: Path) -> bool | None:
    """Whether the process that the draft's name tells of is alive; None if that cannot be known from here."""
    found = re.fullmatch(r"[0-9a-f]{64}\.[^.]*\.(\d+)\.(\d+)\.([0-9a-f]{8})\.[0-9a-f]+", folder.name)
    me = Holder.current()
    if found is None or not me.machine or found[3] != _machine_mark(me):
        return None
    return not Holder(me.host, me.machine, int(found[1]), int(found[2]), me.user, "").is_dead()


def _draft_name(key: str) -> str:
    me = Holder.current()
    host = re.sub(r"[^A-Za-z0-9-]", "-", me.host)[:40]
    return f"{key}.{host}.{me.pid}.{me.started}.{_machine_mark(me)}.{token()}"


def _machine_mark(holder: Holder) -> str:
    return blake3(holder.machine.encode()).hexdigest(length=4)


def _last_change(folder: Path) -> int:
    try:
        return (folder / "scratch").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _make_folder(layout: Layout, payload: Payload, folder: Path) -> None:
    fresh = layout.drafts / f".new.{token()}"
    (fresh / "scratch").mkdir(parents=True)
    write_synced(fresh / "payload.json", payload.canonical_json())
    fresh.rename(folder)


def _take_over(old: Path, folder: Path) -> bool:
    try:
        old.rename(folder)
    except FileNotFoundError:
        return False
    remove_tree(folder / "files")
    remove_tree(folder / "ready")
    return True


def _copy_tree(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    except (
        shutil.Error
    ) as error:  # its process woke up and removes files: start afresh rather than from half a state
        _LOG.warning("could not copy the draft %s, starting afresh: %s", source.parent.name, error)
        remove_tree(target)
        target.mkdir()
