"""Blobs: every published file once by its content, shared by hard link (or reflink) with the artifacts that have it.

A blob is an index of bytes, not their home: an artifact stays whole when its blob's name is gone. Where the file
system can neither link nor reflink there are no blobs, and files that are equal are stored more than once.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from store.files import make_directory, share_file, token
from store.hashing import hash_file
from store.layout import Layout

_LOG = logging.getLogger("store")


def keep_blob(layout: Layout, path: Path | str, digest: str, workplace: Path) -> None:
    """Let `path` and the blob of `digest` be one file on disk.

    If the blob is there already and sound, `path` becomes a link to it; if it is damaged, it is set aside and the
    new bytes take its place.

    Args:
        layout: The store.
        path: A finished, synced file whose bytes hash to `digest`.
        digest: 64 hex digits.
        workplace: A private folder on the store's file system, for the link in between.
    """
    while True:
        try:
            if not share_file(path, layout.blob_name(digest)):
                _say_once_that_files_are_copied(layout)
            return
        except FileNotFoundError:
            layout.blob(digest).parent.mkdir(exist_ok=True)
            _need(path)
            continue
        except FileExistsError:
            blob = layout.blob(digest)
        try:
            if blob.samefile(path):
                return
            if blob.stat().st_size != os.stat(path).st_size or hash_file(blob) != digest:  # noqa: PTH116
                set_blob_aside(layout, digest)
                continue
            shared = workplace / f".link.{token()}"
            if share_file(blob, shared):
                shared.replace(path)
            return
        except FileNotFoundError:
            _need(path)
            continue


def _need(path: Path | str) -> None:
    """Tell a file that was taken away from a blob that was: only the second is worth another round."""
    os.lstat(path)


def set_blob_aside(layout: Layout, digest: str) -> None:
    """Move a damaged blob into the quarantine, so that sound bytes can take its name."""
    make_directory(layout.quarantine)
    try:
        layout.blob(digest).rename(layout.quarantine / f"blob.{digest}.{token()}")
    except FileNotFoundError:
        return
    _LOG.warning("blob %s did not match its hash and was moved to the quarantine", digest[:12])


def _say_once_that_files_are_copied(layout: Layout) -> None:
    marker = layout.root / "blobs" / "NO_LINKS"
    if not marker.exists():
        marker.touch()
        _LOG.warning(
            "the file system of %s has neither hard links nor reflinks: equal files are stored more than once",
            layout.root,
        )
