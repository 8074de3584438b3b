"""A manifest from elsewhere is material to judge, whoever sealed it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from storekit import Publish

from store import Payload, Store
from store.errors import CorruptArtifact
from store.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest
from store.remote import Remote
from store.transfer import pull

DIGEST = "0" * 64


def sealed(files: Mapping[str, Any], payload: Payload | None = None) -> tuple[bytes, str]:
    """A manifest with a right seal and key, made by somebody who writes what they like."""
    payload = payload or Payload("sft", 1, {})
    entries = {name: FileEntry(*row) for name, row in files.items()}
    return Manifest(payload, entries).to_bytes(), payload.key


@pytest.mark.parametrize(
    "files",
    [
        {"../../../etc/cron.d/x": (1, DIGEST)},
        {"a/../../x": (1, DIGEST)},
        {"/etc/passwd": (1, DIGEST)},
        {"": (1, DIGEST)},
        {".": (1, DIGEST)},
        {"a//b": (1, DIGEST)},
        {"a\\..\\b": (1, DIGEST)},
        {"a\x00b": (1, DIGEST)},
        {"a": (1, DIGEST), "a/b": (1, DIGEST)},
        {"a": (-1, DIGEST)},
        {"a": (1.5, DIGEST)},
        {"a": (True, DIGEST)},
        {"a": (1, "../" + "0" * 61)},
        {"a": (1, None)},
    ],
    ids=repr,
)
def test_names_sizes_and_hashes_that_no_store_writes_are_refused(files: Mapping[str, Any]) -> None:
    content, key = sealed(files)
    with pytest.raises(CorruptArtifact):
        Manifest.from_bytes(content, key, "here")


def test_a_manifest_under_another_key_is_refused() -> None:
    content, _ = sealed({})
    with pytest.raises(CorruptArtifact, match="belongs to"):
        Manifest.from_bytes(content, "f" * 64, "here")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'{"manifest": 1}', b"[" * 100_000, b"\xff\xfe", b"{}" * 9]
)
def test_other_json_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptArtifact):
        Manifest.from_bytes(content, "f" * 64, "here")


def test_a_manifest_of_a_later_version_is_refused() -> None:
    content, key = sealed({})
    with pytest.raises(CorruptArtifact):
        Manifest.from_bytes(content.replace(b'"manifest": 1', b'"manifest": 2'), key, "here")


def test_a_manifest_of_a_billion_entries_is_refused_unread(store: Store, publish: Publish) -> None:
    artifact = publish(1)
    manifest = artifact.folder / "manifest.json"
    with manifest.open("r+b") as file:
        file.truncate(60 * 10**9)  # sparse: what a billion entries would take
    with pytest.raises(CorruptArtifact, match="refused"):
        store.artifact(artifact.key)
    remote = store.root.parent / "remote" / "artifacts" / artifact.key[:2] / artifact.key
    remote.mkdir(parents=True)
    with (remote / "manifest.json").open("wb") as file:
        file.truncate(60 * 10**9)
    with pytest.raises(CorruptArtifact, match=f"larger than {MAX_MANIFEST_BYTES >> 20} MiB: refused"):
        Remote(str(store.root.parent / "remote")).manifest(artifact.key)


def test_a_manifest_that_is_a_link_is_not_followed(store: Store, publish: Publish, tmp_path: Path) -> None:
    artifact = publish(1)
    manifest = artifact.folder / "manifest.json"
    manifest.rename(tmp_path / "elsewhere.json")
    manifest.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(CorruptArtifact, match="refused"):
        store.artifact(artifact.key)


def test_a_hostile_remote_writes_nothing_outside(store: Store, tmp_path: Path) -> None:
    content, key = sealed({"../../../../../escaped": (1, DIGEST)})
    home = tmp_path / "remote" / "artifacts" / key[:2] / key
    home.mkdir(parents=True)
    (home / "manifest.json").write_bytes(content)
    with pytest.raises(CorruptArtifact, match="not a name inside an artifact"):
        pull(store, Remote(str(tmp_path / "remote")), [key])
    assert not list(tmp_path.rglob("escaped"))
    assert not store.has(key)
