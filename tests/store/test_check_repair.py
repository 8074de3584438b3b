"""Damage is found, never handed out, and undone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from storekit import Publish

from store import Artifact, Store
from store.check import repair, verify
from store.errors import CorruptArtifact, MissingArtifact
from store.remote import Remote
from store.transfer import fetcher, push


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(content)
        file.truncate(len(content))


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    status = path.stat()
    overwrite(path, bytes(content))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def problems(store: Store, deep: bool = True) -> list[tuple[str, str]]:
    return [(finding.name, finding.problem) for finding in verify(store.layout, store.keys(), deep).findings]


def test_a_sound_store_has_no_findings(store: Store, publish: Publish) -> None:
    for number in range(5):
        publish(number, {"a": b"x" * number, "b/c": b"yy"})
    result = verify(store.layout, store.keys(), deep=True)
    assert (result.artifacts, result.files, result.bytes, result.findings) == (5, 10, 20, ())


def test_a_flipped_bit_is_found_by_a_deep_look_and_not_handed_to_a_careful_reader(
    store: Store, publish: Publish
) -> None:
    artifact = publish(1, {"w": b"weights" * 100})
    assert store.artifact(artifact.key, deep=True) == artifact
    flip_bit(artifact.path("w"))
    assert problems(store, deep=False) == []
    assert problems(store) == [("w", "holds other bytes than were published")]
    with pytest.raises(CorruptArtifact, match="its bytes changed"):
        store.artifact(artifact.key, deep=True)


def test_truncation_and_loss_are_found_at_every_opening(store: Store, publish: Publish) -> None:
    short, lost = publish(1, {"w": b"weights"}), publish(2, {"d/w": b"other"})
    overwrite(short.path("w"), b"weig")
    lost.path("d/w").unlink()
    for artifact, problem in ((short, "w has 4 bytes instead of 7"), (lost, "d/w is missing")):
        with pytest.raises(CorruptArtifact, match=problem):
            store.artifact(artifact.key)
    assert list(store.artifacts()) == [], "a listing shows what can be opened"
    assert dict(problems(store, deep=False)) == {"w": "has 4 bytes instead of 7", "d/w": "is missing"}


@pytest.mark.parametrize("cut", [0, 1, 50, -2])
def test_a_truncated_or_altered_manifest_is_found(store: Store, publish: Publish, cut: int) -> None:
    artifact = publish(1)
    manifest = artifact.folder / "manifest.json"
    overwrite(manifest, manifest.read_bytes()[:cut])
    with pytest.raises(CorruptArtifact):
        store.artifact(artifact.key)
    assert [name for name, _ in problems(store)] == [""]


def test_every_single_changed_byte_of_a_manifest_is_noticed(store: Store, publish: Publish) -> None:
    artifact = publish(1)
    manifest = artifact.folder / "manifest.json"
    manifest.chmod(0o644)
    content = manifest.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        manifest.write_bytes(bytes(changed))
        with pytest.raises(CorruptArtifact):
            store.artifact(artifact.key)
    manifest.write_bytes(content)
    assert store.artifact(artifact.key) == artifact


def test_a_missing_blob_harms_nobody_and_is_made_again(store: Store, publish: Publish) -> None:
    artifact = publish(1, {"w": b"weights"})
    blob = store.layout.blob(artifact.files["w"].hash)
    blob.unlink()
    assert store.artifact(artifact.key, deep=True) and problems(store) == []
    assert repair(store.layout, store.keys()) == []
    assert blob.stat().st_ino == artifact.path("w").stat().st_ino


def test_repair_takes_the_blob(store: Store, publish: Publish) -> None:
    artifact = publish(1, {"d/w": b"weights"})
    shutil.rmtree(artifact.folder / "files" / "d")
    assert [fixed.restored for fixed in repair(store.layout, [artifact.key])] == ["its blob"]
    assert store.artifact(artifact.key, deep=True).path("d/w").read_bytes() == b"weights"


def test_repair_takes_the_remote_when_the_shared_bytes_are_bad(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    artifact, twin = publish(1, {"w": b"weights"}), publish(2, {"v": b"weights"})
    remote = Remote(str(tmp_path / "remote"))
    push(store, remote, [artifact.key])
    flip_bit(artifact.path("w"))
    fixed = repair(store.layout, store.keys(), fetch=fetcher([remote]))
    assert sorted(entry.restored for entry in fixed) == ["its blob", "the remote"]
    for key in (artifact.key, twin.key):
        store.artifact(key, deep=True)
    assert len(list(store.layout.quarantine.iterdir())) == 1, "the bad blob is kept aside"


def test_what_cannot_be_restored_is_forgotten_and_computed_again(store: Store, publish: Publish) -> None:
    artifact, sound = publish(1, {"w": b"weights"}), publish(2)
    flip_bit(artifact.path("w"))
    (fixed,) = repair(store.layout, store.keys())
    assert (fixed.key, fixed.restored) == (artifact.key, "")
    assert not store.has(artifact.key) and store.has(sound.key)
    (aside,) = (path for path in store.layout.quarantine.iterdir() if path.is_dir())
    assert "holds other bytes" in json.loads((aside / "reason.json").read_bytes())["reason"]
    assert publish(1, {"w": b"weights"}).path("w").read_bytes() == b"weights"
    assert problems(store) == []


def hostile(artifact: Artifact, outside: Path) -> None:
    """Replace the published file by a link to another one of the same size."""
    outside.write_bytes(b"x" * artifact.files["d/w"].size)
    artifact.path("d/w").unlink()
    artifact.path("d/w").symlink_to(outside)


def test_links_planted_in_an_artifact_are_refused(store: Store, publish: Publish, tmp_path: Path) -> None:
    artifact = publish(1, {"d/w": b"weights"})
    hostile(artifact, tmp_path / "outside")
    with pytest.raises(CorruptArtifact, match="not a plain file"):
        store.artifact(artifact.key)
    repair(store.layout, [artifact.key])
    assert store.artifact(artifact.key, deep=True)
    shutil.rmtree(artifact.folder / "files" / "d")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "w").write_bytes(b"WEIGHTS")
    (artifact.folder / "files" / "d").symlink_to(tmp_path / "d")
    with pytest.raises(CorruptArtifact, match="is a link"):
        store.artifact(artifact.key)
    repair(store.layout, [artifact.key])
    assert (tmp_path / "d" / "w").read_bytes() == b"WEIGHTS", "repair wrote through a planted link"
    with pytest.raises(MissingArtifact):
        store.artifact(artifact.key)
