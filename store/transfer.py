"""Copying artifacts between the store and a remote: only what is missing, parents first, checked on arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from store.aliases import write_alias
from store.artifact import DROPPED_NAME, Artifact
from store.core import Store
from store.draft import Draft
from store.errors import MissingArtifact
from store.files import disk_errors, fsync_path, share_file, to_json, token, write_atomic
from store.hashing import hash_file
from store.manifest import Manifest
from store.remote import Remote


@dataclass(frozen=True)
class Transfer:
    """What was copied: artifacts, files, bytes. `present` counts artifacts that were there already."""

    artifacts: int = 0
    files: int = 0
    bytes: int = 0
    present: int = 0

    def __add__(self, other: Transfer) -> Transfer:
        return Transfer(
            self.artifacts + other.artifacts,
            self.files + other.files,
            self.bytes + other.bytes,
            self.present + other.present,
        )


def push(
    store: Store, remote: Remote, keys: Iterable[str], plans: Iterable[str] = (), ancestors: bool = True
) -> Transfer:
    """Copy artifacts, and by default all they come from, to a remote; then the plans.

    Raises:
        MissingArtifact: One of `keys` is not in the store, or a file was dropped that the remote does not have.
        CorruptArtifact: A local file is damaged; it is not sent.
    """
    remote.prepare()
    wanted = list(keys)
    for key in wanted:
        store.artifact(key)
    total = Transfer()
    for key in _lineage(wanted, lambda key: store.artifact(key).parents if store.has(key) else {}, ancestors):
        if store.has(key):
            total += _push_one(store, remote, key)
    for identifier in plans:
        remote.send_document(f"plans/{identifier}.json", store.layout.plan(identifier).read_bytes())
    return total


def pull(
    store: Store, remote: Remote, keys: Iterable[str], plans: Iterable[str] = (), ancestors: bool = True
) -> Transfer:
    """Copy artifacts, and by default all they come from, from a remote; then the plans.

    A pull that was killed continues with the files it had not yet brought. Files that `demote` dropped come back.

    Raises:
        MissingArtifact: One of `keys` is not on the remote.
        CorruptArtifact: What arrived is not what the manifest promises; nothing of it is kept.
    """
    wanted = list(keys)

    def parents(key: str) -> Mapping[str, str]:
        if store.has(key):
            return store.artifact(key).parents
        home = remote.alias(key)
        return remote.manifest(home).payload.parents if remote.has(home) or key in wanted else {}

    total = Transfer()
    for key in _lineage(wanted, parents, ancestors):
        home = remote.alias(key)
        if store.has(key) or remote.has(home):
            total += _pull_one(store, remote, key, home)
    for identifier in plans:
        store.save_plan(remote.plan(identifier))
    return total


def sync(store: Store, remote: Remote, keys: Iterable[str], plans: Iterable[str] = ()) -> Transfer:
    """Bring both sides to the union of what they have of `keys` and their ancestors; plans go to the remote."""
    wanted = list(keys)
    missing = [key for key in wanted if not store.has(key)]
    pulled = pull(store, remote, missing)
    return pulled + push(store, remote, wanted, plans)


def fetcher(remotes: Iterable[Remote]) -> Callable[[str, Path], bool]:
    """What `repair` takes to restore bytes from the first remote that has them."""
    listed = list(remotes)
    return lambda digest, target: any(remote.fetch_blob(digest, target) for remote in listed)


def _lineage(
    keys: Iterable[str], parents_of: Callable[[str], Mapping[str, str]], ancestors: bool
) -> list[str]:
    """Keys with all they come from, parents before children."""
    ordered: dict[str, None] = {}

    def place(key: str) -> None:
        if key not in ordered:
            for parent in parents_of(key).values() if ancestors else ():
                place(parent)
            ordered[key] = None

    for key in keys:
        place(key)
    return list(ordered)


def _push_one(store: Store, remote: Remote, key: str) -> Transfer:
    artifact = store.artifact(key)
    home = artifact.key
    if remote.has(home):
        return Transfer(present=1)
    names = {entry.hash: name for name, entry in artifact.files.items()}

    def send(name: str) -> int:
        entry = artifact.files[name]
        return entry.size if remote.send_blob(artifact.path(name), entry.hash, entry.size) else -1

    with ThreadPoolExecutor(remote.parallel) as pool:
        sizes = [size for size in pool.map(send, names.values()) if size >= 0]
    remote.send_document(
        f"artifacts/{home[:2]}/{home}/manifest.json", store.layout.manifest(home).read_bytes()
    )
    if home != key:
        remote.send_document(f"aliases/{key}", home.encode())
    return Transfer(1, len(sizes), sum(sizes))


def _pull_one(store: Store, remote: Remote, key: str, home: str) -> Transfer:
    if store.has(home):
        artifact = store.artifact(home)
        done = _restore_dropped(store, remote, artifact) if artifact.dropped else Transfer(present=1)
    else:
        manifest = remote.manifest(home)
        draft = store.draft(manifest.payload)
        done = Transfer(1) + _bring_files(store, remote, manifest, draft)
        draft.publish_as(manifest)
    if home != key:
        write_alias(store.layout, key, home)
    return done


def _bring_files(store: Store, remote: Remote, manifest: Manifest, draft: Draft) -> Transfer:
    """Put the manifest's files into the draft; scratch holds what an earlier, killed pull had brought."""

    def bring(digest: str) -> int:
        local = draft.scratch / digest
        if local.exists() and hash_file(local) == digest:
            return -1
        local.unlink(missing_ok=True)
        blob = store.layout.blob(digest)
        if blob.exists() and hash_file(blob) == digest and share_file(blob, local):
            return -1
        if not remote.fetch_blob(digest, local):
            raise MissingArtifact(
                f"{remote.name} lists {manifest.payload.key[:12]} but lacks its blob {digest[:12]}"
            )
        return local.stat().st_size

    with disk_errors(store.root):
        with ThreadPoolExecutor(remote.parallel) as pool:
            sizes = [
                size
                for size in pool.map(bring, {entry.hash for entry in manifest.files.values()})
                if size >= 0
            ]
        for name, entry in manifest.files.items():
            draft.link(draft.scratch / entry.hash, name)
    return Transfer(0, len(sizes), sum(sizes))


def _restore_dropped(store: Store, remote: Remote, artifact: Artifact) -> Transfer:
    brought, size = 0, 0
    for name in sorted(artifact.dropped):
        fresh = store.layout.trash / f"pull.{token()}"
        with disk_errors(store.root):
            if not remote.fetch_blob(artifact.files[name].hash, fresh):
                raise MissingArtifact(f"{remote.name} does not have {name} of {artifact.key[:12]}")
            fresh.chmod(0o444)
            fsync_path(fresh)
            fresh.replace(artifact.folder / "files" / name)
        brought, size = brought + 1, size + artifact.files[name].size
    write_atomic(artifact.folder / DROPPED_NAME, to_json([]))
    return Transfer(0, brought, size)
