"""BLAKE3 of files and folders: on all cores, large files mapped, with a memo for what has not changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from store.canonical import encode
from store.errors import UsageError
from store.files import to_json, write_atomic

Given = TypeVar("Given")
Found = TypeVar("Found")
Signature = tuple[int, int, int, int]
"""Inode, size, mtime and ctime (ns): what tells whether a file was touched since it was hashed."""

_LARGE_FROM = 1 << 22
"""Bytes. Below 4 MiB mapping a file and starting threads cost more than they save: it is read at once, and many
small files run side by side instead."""

_SLICE = 32
"""Small files that one thread takes at a time: handing over each by itself costs as much as half of its hashing."""

_SETTLED_NS = 2_000_000_000
"""A file written less than this before the clock was read could change again within one time stamp."""


def signature(status: os.stat_result) -> Signature:
    """The part of a stat that changes when the content does."""
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def hash_file(path: Path | str, size: int = -1) -> str:
    """64 hex digits of a file's bytes; a large file is mapped, never read into memory.

    Args:
        path: The file.
        size: Its size if known; a hint that only decides how it is read.

    Raises:
        OSError: The file cannot be read.
    """
    size = os.stat(path).st_size if size < 0 else size  # noqa: PTH116  (thousands of small files)
    if size < _LARGE_FROM:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return blake3(file.read()).hexdigest()
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()


def hash_files(paths: Iterable[Path]) -> list[str]:
    """Hash many files; large ones use every core, small ones run side by side."""
    return side_by_side(hash_file, list(paths))


def side_by_side(work: Callable[[Given], Found], rows: Sequence[Given]) -> list[Found]:
    """`work` for every row, in order, on twice as many threads as there are cores."""
    workers = min(len(rows), 2 * (os.cpu_count() or 1))
    if workers <= 1:
        return [work(row) for row in rows]
    length = max(1, min(_SLICE, len(rows) // (4 * workers)))
    slices = [rows[start : start + length] for start in range(0, len(rows), length)]
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda part: [work(row) for row in part], slices)
        return [found for part in done for found in part]


class HashMemo:
    """Content hashes of files outside the store, kept so that an unchanged base model is read once.

    One small JSON file per hashed path. The memo only saves time: deleting it costs a re-hash.
    """

    def __init__(self, folder: Path, writable: bool = True) -> None:
        self._folder = folder
        self._writable = writable

    def hash_path(self, path: Path, ignore: Collection[str] = ()) -> str:
        """Hash a file's bytes, or a folder's names, sizes and bytes; its own name and place do not count.

        Symbolic links are followed (model folders are often made of them).

        Args:
            path: File or folder.
            ignore: Names of entries below a folder that are skipped, for instance `.cache`.

        Raises:
            UsageError: Nothing is there, or the folder holds no file.
        """
        if not path.exists():
            raise UsageError(f"{path} does not exist")
        entries = _entries(path, frozenset(ignore))
        if not entries:
            raise UsageError(f"{path} holds no file to hash")
        record = self._folder / f"{blake3(os.fsencode(path.absolute())).hexdigest()[:32]}.json"
        known = _read_memo(record)
        signatures = {name: signature(file.stat()) for name, file in entries.items()}
        stale = [name for name in entries if known.get(name, (None, ""))[0] != signatures[name]]
        hashes = {name: digest for name, (_, digest) in known.items() if name in entries}
        hashes.update(zip(stale, hash_files(entries[name] for name in stale), strict=True))
        if stale and self._writable:
            self._remember(record, entries, signatures, hashes)
        if path.is_file():
            return hashes[""]
        listing = [[name, signatures[name][1], hashes[name]] for name in sorted(entries)]
        return blake3(b"budgetctl folder\x00" + encode(listing, root=str(path))).hexdigest()

    def _remember(
        self, record: Path, entries: dict[str, Path], signatures: dict[str, Signature], hashes: dict[str, str]
    ) -> None:
        newest = time.time_ns() - _SETTLED_NS
        rows = {
            name: [signatures[name], hashes[name]]
            for name, file in entries.items()
            if signature(file.stat()) == signatures[name] and max(signatures[name][2:]) < newest
        }
        self._folder.mkdir(exist_ok=True)
        write_atomic(record, to_json(rows))


def _entries(path: Path, ignore: frozenset[str]) -> dict[str, Path]:
    if not path.is_dir():
        return {"": path}
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(path, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in ignore)
        for name in names:
            if name not in ignore:
                file = Path(folder, name)
                found[file.relative_to(path).as_posix()] = file
    return found


def _read_memo(record: Path) -> dict[str, tuple[Signature, str]]:
    try:
        rows = json.loads(record.read_bytes())
        return {
            name: ((int(s[0]), int(s[1]), int(s[2]), int(s[3])), str(digest))
            for name, (s, digest) in rows.items()
        }
    except (FileNotFoundError, ValueError, TypeError, AttributeError, IndexError):
        return {}
