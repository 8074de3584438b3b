"""Other places that hold artifacts: a folder, S3, a host reached by SSH; anything fsspec can open.

A remote looks like a store without links: `blobs/ab/<hash>` once each, `artifacts/ab/<key>/manifest.json`, `plans/`.
A manifest is written after its blobs, so what is listed is whole. Nothing that arrives is trusted before its hash
was checked. Credentials come from where fsspec finds them and are never part of a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from blake3 import blake3

from store.errors import CorruptArtifact, MissingArtifact, RemoteError
from store.files import token
from store.hashing import hash_file
from store.layout import STORE_VERSION
from store.manifest import MAX_MANIFEST_BYTES, Manifest
from store.payload import KEY_PATTERN

_CHUNK = 4 << 20
_PARALLEL = 8
_WHOLE_PUTS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "memory"}
"""Object stores: an upload appears whole or not at all, and there is no cheap rename."""


class Remote:
    """One remote by its address, for instance `s3://bucket/store`, `sftp://host/path` or `/mnt/store`."""

    def __init__(self, url: str, **options: Any) -> None:
        self.name = redact(url)
        with self._errors("opened"):
            self._fs, self._root = fsspec.core.url_to_fs(url, **options)
        protocols = self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,)
        self._whole_puts = bool(_WHOLE_PUTS & set(protocols))
        self.parallel = (
            8 if self._whole_puts or "file" in protocols else 1
        )  # paramiko's SFTP client is not for threads

    def has(self, key: str) -> bool:
        """Whether the remote has the whole artifact."""
        with self._errors("read"):
            return bool(self._fs.exists(self._manifest(key)))

    def keys(self) -> list[str]:
        """All artifacts of the remote."""
        with self._errors("listed"):
            found = self._fs.find(f"{self._root}/artifacts")
        names = (path.split("/")[-2] for path in found if path.endswith("/manifest.json"))
        return sorted(name for name in names if KEY_PATTERN.fullmatch(name))

    def manifest(self, key: str) -> Manifest:
        """The manifest of an artifact, checked as if an enemy had written it.

        Raises:
            MissingArtifact: The remote does not have it.
            CorruptArtifact: It is not what it should be.
        """
        content = self._read_small(self._manifest(key), f"{key[:12]} is not on {self.name}")
        return Manifest.from_bytes(content, key, f"{self.name}: manifest of {key[:12]}")

    def alias(self, key: str) -> str:
        """The key that `key` is another name for on the remote, or `key` itself."""
        if self.has(key):
            return key
        try:
            old = self._read_small(f"{self._root}/aliases/{key}", "no alias").decode()
        except MissingArtifact:
            return key
        return old if KEY_PATTERN.fullmatch(old) else key

    def plan(self, identifier: str) -> dict[str, Any]:
        """A plan that was pushed with `push(plans=…)`."""
        content = self._read_small(
            f"{self._root}/plans/{identifier}.json", f"{self.name} has no plan {identifier[:12]}"
        )
        document: dict[str, Any] = json.loads(content)
        return document

    def plans(self) -> list[str]:
        """Ids of the plans that were pushed."""
        with self._errors("listed"):
            names = (Path(path).stem for path in self._fs.find(f"{self._root}/plans"))
            return sorted(name for name in names if KEY_PATTERN.fullmatch(name))

    def fetch_blob(self, digest: str, target: Path) -> bool:
        """Bring a blob to a local path and check its bytes; False if the remote has none.

        Raises:
            CorruptArtifact: The bytes that arrived are not those of the hash; nothing is left at `target`.
        """
        hasher = blake3()
        with self._errors("read"):
            try:
                with self._fs.open(self._blob(digest), "rb") as reader, target.open("wb") as writer:
                    while chunk := reader.read(_CHUNK):
                        hasher.update(chunk)
                        writer.write(chunk)
            except FileNotFoundError:
                target.unlink(missing_ok=True)
                return False
        if hasher.hexdigest() != digest:
            target.unlink()
            raise CorruptArtifact(f"{self.name}: the bytes of blob {digest[:12]} are not those of its hash")
        return True

    def send_blob(self, path: Path, digest: str, size: int) -> bool:
        """Upload a blob unless it is there with its size; returns whether it was sent."""
        with self._errors("written"):
            target = self._blob(digest)
            if self._fs.exists(target) and self._fs.info(target)["size"] == size:
                return False
            if hash_file(path) != digest:
                raise CorruptArtifact(f"{path} does not hold the bytes that its manifest promises: not sent")
            self._put(path, target)
            if self._fs.info(target)["size"] != size:
                raise RemoteError(f"{self.name} took {digest[:12]} and now has another size of it: try again")
            return True

    def send_document(self, name: str, content: bytes) -> None:
        """Write a small file that is seen whole or not at all."""
        target = f"{self._root}/{name}"
        with self._errors("written"):
            if self._whole_puts:
                self._fs.pipe_file(target, content)
                return
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            partial = f"{target}.{token()}.part"
            self._fs.pipe_file(partial, content)
            self._rename(partial, target)

    def prepare(self) -> None:
        """Write the version of the layout, so that others know what this is."""
        if not self._fs.exists(f"{self._root}/VERSION"):
            self.send_document("VERSION", json.dumps({"store": STORE_VERSION}).encode())
        version = int(json.loads(self._read_small(f"{self._root}/VERSION", "no VERSION"))["store"])
        if version > STORE_VERSION:
            raise RemoteError(
                f"{self.name} has layout {version}, this program knows up to {STORE_VERSION}: update it"
            )

    def _put(self, path: Path, target: str) -> None:
        if self._whole_puts:
            self._fs.put_file(str(path), target)
            return
        self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        partial = f"{target}.{token()}.part"
        self._fs.put_file(str(path), partial)
        self._rename(partial, target)

    def _rename(self, partial: str, target: str) -> None:
        try:
            self._fs.mv(partial, target)
        except OSError:
            if not self._fs.exists(target):
                raise
            self._fs.rm_file(target)
            self._fs.mv(partial, target)

    def _read_small(self, path: str, missing: str) -> bytes:
        with self._errors("read"):
            try:
                if self._fs.info(path)["size"] > MAX_MANIFEST_BYTES:
                    raise CorruptArtifact(
                        f"{self.name}: {path} is larger than {MAX_MANIFEST_BYTES >> 20} MiB: refused"
                    )
                return bytes(self._fs.cat_file(path))
            except FileNotFoundError:
                raise MissingArtifact(missing) from None

    def _blob(self, digest: str) -> str:
        return f"{self._root}/blobs/{digest[:2]}/{digest}"

    def _manifest(self, key: str) -> str:
        return f"{self._root}/artifacts/{key[:2]}/{key}/manifest.json"

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (CorruptArtifact, MissingArtifact, RemoteError, FileNotFoundError):
            raise
        except Exception as error:  # every file system of fsspec has its own
            raise RemoteError(
                f"{self.name} could not be {what}: {type(error).__name__}: {redact(str(error))}"
            ) from None


def redact(text: str) -> str:
    """Without user names and passwords of URLs, and without the values of signed query strings."""
    return re.sub(r"\?\S*", "", re.sub(r"(?<=://)[^/@\s]+@", "", text))
