"""The one record of an artifact. It is written once, sealed by a hash of itself, and trusted for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from store.errors import CorruptArtifact, UsageError
from store.files import check_name, to_json
from store.payload import Payload

MANIFEST_VERSION = 1
MAX_MANIFEST_BYTES = 64 << 20
"""A larger manifest is refused unread: an honest one of 100,000 files takes 15 MB."""

Scalar = float | int | str | bool | None
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """One published file.

    Attributes:
        size: Bytes.
        hash: 64 hex digits of BLAKE3 over the bytes.
    """

    size: int
    hash: str


@dataclass(frozen=True)
class Manifest:
    """What was published under a key: the payload that made the key, files, metrics, provenance."""

    payload: Payload
    files: Mapping[str, FileEntry]
    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The manifest file: one JSON object whose last line seals the rest."""
        body = {
            "manifest": MANIFEST_VERSION,
            "key": self.payload.key,
            "payload": self.payload.document(),
            "files": {name: [entry.size, entry.hash] for name, entry in sorted(self.files.items())},
            "metrics": dict(self.metrics),
            "provenance": dict(self.provenance),
        }
        try:
            text = to_json(body)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"metrics and provenance of {self.payload.key[:12]} must be plain JSON: {error}"
            ) from None
        return text.rstrip()[:-1] + _seal(text) + b"\n}\n"

    @classmethod
    def from_bytes(cls, content: bytes, key: str, where: str) -> Manifest:
        """Parse and check a manifest that may come from anywhere.

        Args:
            content: The file.
            key: The key it must belong to.
            where: How to name it in an error.

        Raises:
            CorruptArtifact: It is truncated, altered, of another key, or names files outside the artifact.
        """
        try:
            document = json.loads(content)
            _check_seal(content)
            if document["manifest"] != MANIFEST_VERSION:
                raise CorruptArtifact(
                    f"{where} has manifest version {document['manifest']!r}: update budgetctl"
                )
            payload = Payload.from_document(document["payload"])
            if payload.key != key or document["key"] != key:
                raise CorruptArtifact(f"{where} belongs to {payload.key}, not to {key}")
            files = {check_name(name): _entry(row) for name, row in document["files"].items()}
            _check_folders(files)
            return cls(payload, files, dict(document["metrics"]), dict(document["provenance"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
            raise CorruptArtifact(f"{where} is broken: {error}") from error


def read_manifest(path: Path, key: str) -> Manifest:
    """Read and check the manifest file of `key`.

    Raises:
        FileNotFoundError: There is none.
        CorruptArtifact: It is not a regular file of sane size, or its content does not hold together.
    """
    status = path.lstat()
    if path.is_symlink() or not path.is_file() or status.st_size > MAX_MANIFEST_BYTES:
        raise CorruptArtifact(
            f"{path} is not a plain file of at most {MAX_MANIFEST_BYTES >> 20} MiB: refused"
        )
    return Manifest.from_bytes(path.read_bytes(), key, str(path))


def _seal(text: bytes) -> bytes:
    return b' ,"seal": "' + blake3(text).hexdigest().encode() + b'"'


def _check_seal(content: bytes) -> None:
    body, comma, _ = content.rpartition(b' ,"seal": "')
    text = body + b"}\n"
    if not comma or content != text.rstrip()[:-1] + _seal(text) + b"\n}\n":
        raise CorruptArtifact("its seal does not fit its content: it was altered or cut")


def _entry(row: Any) -> FileEntry:
    size, digest = row
    if type(size) is not int or size < 0 or type(digest) is not str or not _DIGEST.fullmatch(digest):
        raise ValueError(f"{row!r} is not a size and a hash")
    return FileEntry(size, digest)


def _check_folders(files: Mapping[str, FileEntry]) -> None:
    for name in files:
        folder = name.rpartition("/")[0]
        while folder:
            if folder in files:
                raise ValueError(f"{folder!r} is both a file and a folder")
            folder = folder.rpartition("/")[0]
