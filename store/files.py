"""The few file-system moves everything rests on: durable writes, links with fallbacks, safe names."""

from __future__ import annotations

import errno
import fcntl
import importlib
import json
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from store.errors import NoSpace, ReadOnlyStore, StoreError, UsageError

_MANY_FILES = 32
_FICLONE = 0x40049409  # ioctl of linux/fs.h: share the extents of another file, where the file system can
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def token() -> str:
    """A short random name part that no other process will choose."""
    return os.urandom(6).hex()


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full disk and a read-only store into a sentence.

    Raises:
        NoSpace, ReadOnlyStore: In place of the OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            free = shutil.disk_usage(root).free
            raise NoSpace(
                f"no space left for {root} ({free >> 20} MiB free): nothing was published, what was saved of the "
                "work is kept; free space (`budgetctl store gc --dry-run` says what can go) and start it again"
            ) from error
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise ReadOnlyStore(
                f"the store {root} cannot be written ({error}): use --store, or ask its owner"
            ) from error
        raise


def fsync_path(path: Path) -> None:
    """Bring a file's or directory's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(folder: Path, names: Collection[str]) -> None:
    """Bring files of `folder`, and the folders from it down that lead to them, to the disk.

    Each fsync of a freshly linked file waits for the file system's journal; for many files one syncfs is a hundred
    times quicker, although it also writes what others have pending on that file system.
    """
    if len(names) > _MANY_FILES:
        library = importlib.import_module("ctypes").CDLL(None, use_errno=True)
        if hasattr(library, "syncfs"):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                if library.syncfs(descriptor) != 0:
                    raise OSError(errno.EIO, "the file system could not be synced", str(folder))
            finally:
                os.close(descriptor)
            return
    paths = [folder / name for name in names]
    folders = {parent for path in paths for parent in path.parents if parent.is_relative_to(folder)}
    for path in (*paths, *sorted(folders | {folder}, reverse=True)):
        fsync_path(path)


def make_directory(path: Path) -> None:
    """Create a directory and what is missing above it; a new entry survives a power cut."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    except FileNotFoundError:
        make_directory(path.parent)
        make_directory(path)
        return
    fsync_path(path.parent)


def write_exclusive(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, durably.

    Raises:
        FileExistsError: It exists.
    """
    make_directory(path.parent)
    write_synced(path, content)
    fsync_path(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet; its bytes are on the disk, its name may still be lost.

    Raises:
        FileExistsError: It exists.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, content: bytes) -> None:
    """Write or replace a file so that a reader sees the old or the new content, never a part of one."""
    temporary = path.with_name(f".{path.name}.{token()}")
    make_directory(path.parent)
    write_synced(temporary, content)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


def to_json(document: Any, indent: int | None = 1) -> bytes:
    """JSON of a record, readable unless `indent` is None, which is quicker; NaN is refused because other readers do."""
    text = json.dumps(document, ensure_ascii=False, indent=indent, allow_nan=False)
    return text.encode("utf-8") + b"\n"


def share_file(source: Path | str, target: Path | str) -> bool:
    """Make `target` the same bytes as `source` without copying: hard link, else reflink.

    Returns:
        False when the file system can do neither (then `target` does not exist).

    Raises:
        FileExistsError: `target` exists.
    """
    try:
        os.link(source, target)
        return True
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    return _reflink(Path(source), Path(target))


def _reflink(source: Path, target: Path) -> bool:
    if target.exists():
        raise FileExistsError(errno.EEXIST, "exists", str(target))
    temporary = target.with_name(f".{target.name}.{token()}")
    with source.open("rb") as reader, temporary.open("xb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError as error:
            temporary.unlink()
            if error.errno in _NO_LINKS | {errno.EINVAL, errno.ENOTTY, errno.EBADF, errno.EISDIR}:
                return False
            raise
    temporary.rename(target)
    return True


def check_name(name: str) -> str:
    """Return `name` if it is a relative path that stays inside its folder.

    Raises:
        UsageError: It is empty, absolute, climbs with `..`, or holds a character that no file name can.
    """
    parts = name.split("/")
    if (
        not name
        or any(part in {"", ".", ".."} for part in parts)
        or "\x00" in name
        or "\\" in name
        or not _is_text(name)
    ):
        raise UsageError(f"{name!r} is not a name inside an artifact: use a plain relative path without '..'")
    return name


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def names_in(folder: Path) -> list[str]:
    """Names of a folder's entries, sorted."""
    return sorted(os.listdir(folder))  # noqa: PTH208  (a path object for each of 100,000 names costs seconds)


def walk_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (relative name, lstat) of every regular file below `folder`, sorted.

    Raises:
        StoreError: Something below is a symbolic link, a socket or a device.
    """
    stack = [(folder, "")]
    found: list[tuple[str, os.stat_result]] = []
    while stack:
        current, prefix = stack.pop()
        with os.scandir(current) as entries:
            for entry in entries:
                name = prefix + entry.name
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    stack.append((Path(entry.path), name + "/"))
                elif stat.S_ISREG(status.st_mode):
                    found.append((name, status))
                else:
                    raise StoreError(
                        f"{entry.path} is a symbolic link or a device; only plain files can be published "
                        "(use draft.link for a file that lies elsewhere)"
                    )
    yield from sorted(found)


def remove_tree(folder: Path) -> None:
    """Delete a folder of ours, read-only files included; what is gone already is fine."""
    shutil.rmtree(folder, onerror=_ignore_missing)


def _ignore_missing(function: Any, path: str, details: Any) -> None:
    if not isinstance(details[1], FileNotFoundError):
        raise details[1]
