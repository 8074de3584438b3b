"""Looking for damage, and undoing it: from another copy of the bytes, or else by forgetting the artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from store.artifact import read_dropped
from store.blobs import keep_blob, set_blob_aside
from store.errors import CorruptArtifact
from store.files import fsync_path, share_file, token
from store.hashing import hash_file, hash_files
from store.layout import Layout
from store.manifest import FileEntry, Manifest, read_manifest
from store.quarantine import quarantine_artifact

Fetch = Callable[[str, Path], bool]
"""Brings the bytes of a hash to a path, verified; False if it has none."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was published.

    Attributes:
        key: The artifact.
        name: The file, or empty for the manifest.
        problem: What is wrong, as a sentence.
    """

    key: str
    name: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """What a check looked at and what it found."""

    artifacts: int
    files: int
    bytes: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Repair:
    """What became of a broken artifact: `restored` says from where, or is empty and the artifact is gone."""

    key: str
    findings: tuple[Finding, ...]
    restored: str


def verify(layout: Layout, keys: Iterable[str], deep: bool = False) -> Verification:
    """Check artifacts: manifests and sizes always, every byte if `deep`. Changes nothing."""
    artifacts = files = size = 0
    findings: list[Finding] = []
    for key in keys:
        artifacts += 1
        try:
            manifest, dropped = _open(layout, key)
        except (CorruptArtifact, FileNotFoundError) as error:
            findings.append(Finding(key, "", str(error)))
            continue
        here = {name: entry for name, entry in manifest.files.items() if name not in dropped}
        files += len(here)
        size += sum(entry.size for entry in here.values())
        findings += _check_files(layout.artifact(key), key, here, deep)
    return Verification(artifacts, files, size, tuple(findings))


def repair(
    layout: Layout, keys: Iterable[str], deep: bool = True, fetch: Fetch | None = None
) -> list[Repair]:
    """Restore broken files from blobs or from `fetch`; an artifact that cannot be restored goes to the quarantine.

    After it, every one of `keys` is whole or not in the store, in which case the next run computes it again.
    """
    done = []
    for key in keys:
        findings = verify(layout, [key], deep).findings
        if findings:
            done.append(Repair(key, findings, _restore(layout, key, findings, fetch)))
        else:
            _share_again(layout, key)
    return done


def _open(layout: Layout, key: str) -> tuple[Manifest, frozenset[str]]:
    return read_manifest(layout.manifest(key), key), read_dropped(layout.artifact(key))


def _check_files(folder: Path, key: str, files: dict[str, FileEntry], deep: bool) -> list[Finding]:
    findings, sound = [], []
    real_root = (folder / "files").resolve()
    for name, entry in files.items():
        path = folder / "files" / name
        if path.is_symlink() or path.resolve() != real_root / name or not path.is_file():
            findings.append(
                Finding(key, name, "is missing" if not path.exists() else "is a link or not a plain file")
            )
        elif path.lstat().st_size != entry.size:
            findings.append(Finding(key, name, f"has {path.lstat().st_size} bytes instead of {entry.size}"))
        else:
            sound.append(name)
    if deep:
        digests = hash_files(folder / "files" / name for name in sound)
        changed = (name for name, digest in zip(sound, digests, strict=True) if digest != files[name].hash)
        findings += [Finding(key, name, "holds other bytes than were published") for name in changed]
    return findings


def _restore(layout: Layout, key: str, findings: Iterable[Finding], fetch: Fetch | None) -> str:
    """Put good bytes in place of bad ones, file by file; returns from where, or empty if that failed."""
    sources = set()
    for finding in findings:
        source = _restore_file(layout, key, finding.name, fetch) if finding.name else ""
        if not source:
            quarantine_artifact(layout, key, f"{finding.name or 'manifest'} {finding.problem}")
            return ""
        sources.add(source)
    return " and ".join(sorted(sources))


def _restore_file(layout: Layout, key: str, name: str, fetch: Fetch | None) -> str:
    manifest, _ = _open(layout, key)
    entry, home = manifest.files[name], layout.artifact(key) / "files" / name
    blob = layout.blob(entry.hash)
    if home.parent.resolve() != (layout.artifact(key) / "files").resolve() / Path(name).parent:
        return ""
    if blob.exists() and hash_file(blob) != entry.hash:
        set_blob_aside(layout, entry.hash)
    fresh = layout.trash / f"repair.{token()}"
    if blob.exists():
        if not share_file(blob, fresh):
            return ""
        source = "its blob"
    elif fetch is not None and fetch(entry.hash, fresh):
        fresh.chmod(0o444)
        keep_blob(layout, fresh, entry.hash, layout.trash)
        source = "the remote"
    else:
        return ""
    fsync_path(fresh)
    home.parent.mkdir(parents=True, exist_ok=True)
    fresh.replace(home)
    fsync_path(home.parent)
    return source


def _share_again(layout: Layout, key: str) -> None:
    """Give sound files whose blob is gone to the blobs again."""
    manifest, dropped = _open(layout, key)
    for name, entry in manifest.files.items():
        if name not in dropped and not layout.blob(entry.hash).exists():
            keep_blob(layout, layout.artifact(key) / "files" / name, entry.hash, layout.trash)
