"""Collection: what no plan and no pin leads to goes, after a grace period, children before parents.

It is safe beside running workers: what a lease or a draft needs counts as wanted, an artifact leaves by one rename,
and bytes live on as long as any artifact or draft has a link to them.
"""

from __future__ import annotations

import fnmatch
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from store.aliases import read_alias
from store.artifact import DROPPED_NAME, read_dropped
from store.draft import draft_owner_lives, find_drafts
from store.errors import CorruptArtifact, UsageError
from store.files import disk_errors, fsync_path, remove_tree, to_json, token, write_atomic
from store.layout import Layout, file_system_now
from store.lease import read_lease
from store.manifest import FileEntry, Manifest, read_manifest
from store.payload import KEY_PATTERN, Payload

_LOG = logging.getLogger("store")
_UNKNOWN_GRACE = 86400.0
"""Seconds for which a draft must have lain still if its process, on another host, may live."""
BY_PRODUCT = "by_product"
"""True in the provenance of an artifact that no plan names, and that stays while all its parents are wanted."""
_TEMPORARY_GRACE = 3600.0
"""Seconds after which a temporary file cannot be in use any more."""


@dataclass(frozen=True)
class Garbage:
    """One thing that can go.

    Attributes:
        kind: `artifact`, `files` (dropped from an artifact that stays), `draft`, `blob` or `leftover`.
        name: Its key, hash or file name.
        stage: Kind of work, where there is one.
        bytes: Size of its files, also of those that it shares with something that stays.
        age: Seconds since it was last changed.
    """

    kind: str
    name: str
    stage: str
    bytes: int
    age: float


@dataclass(frozen=True)
class Collection:
    """What was, or with `dry_run` would be, removed; `freed` counts bytes that nothing else shares."""

    items: tuple[Garbage, ...]
    freed: int

    def by_stage(self) -> dict[str, tuple[int, int]]:
        """Number and bytes of collected things by stage (or kind, where there is no stage)."""
        counts: Counter[str] = Counter(item.stage or item.kind for item in self.items)
        sizes: Counter[str] = Counter()
        for item in self.items:
            sizes[item.stage or item.kind] += item.bytes
        return {name: (count, sizes[name]) for name, count in sorted(counts.items())}


@dataclass(frozen=True)
class _LooseBlob:
    """A blob that can go; an orphan is in no manifest at all."""

    path: Path
    size: int
    age: float
    orphan: bool


def collect(layout: Layout, roots: Iterable[str], grace: float, dry_run: bool) -> Collection:
    """Remove what is older than `grace` seconds and not wanted by `roots`, a lease, a draft or a young artifact.

    Raises:
        CorruptArtifact: An artifact that is wanted cannot be read, so nobody knows what it comes from; repair it first.
    """
    with disk_errors(layout.root):
        now = file_system_now(layout).st_mtime
        drafts, leftovers = _old_drafts(layout, now, grace), _leftovers(layout, now, grace)
        items = [Garbage("draft", path.name, "", _tree_size(path), age) for path, age in drafts]
        items += [
            Garbage("leftover", str(path.relative_to(layout.root)), "", 0, age) for path, age in leftovers
        ]
        for path, _ in () if dry_run else (*drafts, *leftovers):
            _remove(path)
        busy = _in_work(layout)  # before the listing: work that ends in between shows up as a young artifact
        manifests = _read_all(layout, _published(layout))
        ages = {key: now - status.st_mtime for key in manifests if (status := _status(layout.manifest(key)))}
        young = {key for key, age in ages.items() if age < grace}
        wanted = _ancestors(layout, manifests, {*roots, *young, *busy})
        wanted |= _by_products(manifests, wanted)
        loose = {key: manifest for key, manifest in manifests.items() if manifest and key not in wanted}
        victims = _children_first(loose)
        blobs = _unshared_blobs(layout, victims, manifests, now, grace)
        items += [
            Garbage("artifact", key, m.payload.stage, _size(m), ages[key]) for key, m in victims.items()
        ]
        items += [Garbage("blob", blob.path.name, "", blob.size, blob.age) for blob in blobs if blob.orphan]
        if not dry_run:
            _remove_artifacts(layout, victims, manifests)
            for blob in blobs:
                _unlink_unshared(blob.path)
        return Collection(tuple(items), sum(blob.size for blob in blobs))


def demote(
    layout: Layout, keys: Iterable[str], patterns: Mapping[str, Sequence[str]], dry_run: bool
) -> Collection:
    """Drop files of artifacts that stay: the record keeps their names, sizes and hashes.

    Args:
        layout: The store.
        keys: The artifacts.
        patterns: Stage to file name patterns, for instance `{"sft": ["optimizer*"]}`; `*` is any stage.
        dry_run: Only say what would go.
    """
    items, freed = [], 0
    for key in keys:
        manifest, folder = read_manifest(layout.manifest(key), key), layout.artifact(key)
        wanted = (*patterns.get(manifest.payload.stage, ()), *patterns.get("*", ()))
        names = {
            name for name in manifest.files if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)
        }
        here = {name: manifest.files[name] for name in names if (folder / "files" / name).exists()}
        if here:
            size = sum(entry.size for entry in here.values())
            items.append(Garbage("files", key, manifest.payload.stage, size, 0.0))
            freed += sum(
                entry.size for name, entry in here.items() if (folder / "files" / name).stat().st_nlink <= 2
            )
            if not dry_run:
                with disk_errors(layout.root):
                    _drop(layout, folder, here)
    return Collection(tuple(items), freed)


def _drop(layout: Layout, folder: Path, files: Mapping[str, FileEntry]) -> None:
    write_atomic(folder / DROPPED_NAME, to_json(sorted(read_dropped(folder) | set(files))))
    for name, entry in files.items():
        (folder / "files" / name).unlink(missing_ok=True)
        _unlink_unshared(layout.blob(entry.hash))


def _unlink_unshared(blob: Path) -> None:
    if blob.exists() and blob.stat().st_nlink == 1:
        blob.unlink(missing_ok=True)


def _published(layout: Layout) -> list[str]:
    return [path.name for path in layout.root.glob("artifacts/??/*") if KEY_PATTERN.fullmatch(path.name)]


def _read_all(layout: Layout, keys: Iterable[str]) -> dict[str, Manifest | None]:
    """Manifests by key; None for those that cannot be read."""
    found: dict[str, Manifest | None] = {}
    for key in keys:
        try:
            found[key] = read_manifest(layout.manifest(key), key)
        except FileNotFoundError:  # removed since it was listed
            continue
        except CorruptArtifact as error:
            _LOG.warning("left alone by collection: %s", error)
            found[key] = None
    return found


def _in_work(layout: Layout) -> set[str]:
    """Keys that running or resumable work is about, and what it reads."""
    keys = set()
    for lease in os.scandir(layout.root / "leases"):
        record = read_lease(Path(lease.path))
        if record is not None and not (record.holder and record.holder.is_dead()):
            keys.add(record.name)
    for draft in find_drafts(layout):
        keys.add(draft.name[:64])
        try:
            keys.update(Payload.from_json((draft / "payload.json").read_bytes()).parents.values())
        except (FileNotFoundError, NotADirectoryError):  # published, or thrown away, since it was listed
            continue
        except (ValueError, UsageError):  # of work that a power cut ended; nobody reads its parents
            continue
    return keys


def _ancestors(layout: Layout, manifests: Mapping[str, Manifest | None], keys: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        key = key if key in manifests else read_alias(layout, key) or key
        if key in found:
            continue
        found.add(key)
        manifest = manifests.get(key)
        if manifest is None and key in manifests:
            raise CorruptArtifact(
                f"{key[:12]} is wanted and its manifest cannot be read: run `budgetctl store repair {key[:12]}` first"
            )
        waiting += manifest.payload.parents.values() if manifest else ()
    return found


def _by_products(manifests: Mapping[str, Manifest | None], wanted: Set[str]) -> set[str]:
    """What work kept on the way for other work with the same parents: of use as long as all of them are wanted."""
    return {
        key
        for key, manifest in manifests.items()
        if manifest
        and manifest.provenance.get(BY_PRODUCT)
        and set(manifest.payload.parents.values()) <= wanted
    }


def _children_first(manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """The same, ordered so that a kill half-way leaves no artifact whose parents went before it."""
    ordered: dict[str, Manifest] = {}

    def place(key: str) -> None:
        if key in manifests and key not in ordered:
            for parent in manifests[key].payload.parents.values():
                place(parent)
            ordered[key] = manifests[key]

    for key in manifests:
        place(key)
    return dict(reversed(ordered.items()))


def _unshared_blobs(
    layout: Layout,
    victims: Mapping[str, Manifest],
    manifests: Mapping[str, Manifest | None],
    now: float,
    grace: float,
) -> list[_LooseBlob]:
    """Blobs that no artifact will have: of victims at once, orphans of killed drafts when old enough."""
    stays = (manifest for key, manifest in manifests.items() if manifest and key not in victims)
    kept = {entry.hash for manifest in stays for entry in manifest.files.values()}
    links = Counter(entry.hash for manifest in victims.values() for entry in manifest.files.values())
    found = []
    for path in layout.root.glob("blobs/??/*"):
        status = _status(path)
        if status is None or path.name in kept or status.st_nlink > links[path.name] + 1:
            continue
        blob = _LooseBlob(path, status.st_size, now - status.st_mtime, orphan=path.name not in links)
        if not blob.orphan or blob.age >= grace:
            found.append(blob)
    return found


def _old_drafts(layout: Layout, now: float, grace: float) -> list[tuple[Path, float]]:
    """Drafts nobody will continue: of dead processes whose key is published, and any that lay still for long."""
    found = []
    for path in layout.drafts.iterdir():
        age = now - _last_change(path)
        lives = draft_owner_lives(path)
        published = layout.manifest(path.name[:64]).exists()
        patience = max(grace, _UNKNOWN_GRACE) if lives is None and not path.name.startswith(".") else grace
        if not lives and (age >= patience or (published and lives is False)):
            found.append((path, age))
    return found


def _last_change(path: Path) -> float:
    """When anything below `path` was last changed; what vanishes meanwhile is in use, so it counts as now."""
    times = [status.st_mtime if (status := _status(path)) else math.inf]
    for folder, _, names in os.walk(path):
        times += [
            status.st_mtime if (status := _status(Path(folder, name))) else math.inf for name in (*names, ".")
        ]
    return max(times)


def _status(path: Path) -> os.stat_result | None:
    """lstat, or None for what another process has just removed."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _leftovers(layout: Layout, now: float, grace: float) -> list[tuple[Path, float]]:
    """Temporary files of killed processes, and what an interrupted collection had already taken out."""
    patterns = (".*", "*/.*", "attempts/??/.*", "artifacts/??/*/.*", "trash/*")
    paths = (
        path for pattern in patterns for path in layout.root.glob(pattern) if path.parent != layout.drafts
    )
    aged = ((path, now - status.st_mtime) for path in paths if (status := _status(path)))
    taken_out = re.compile(r"[0-9a-f]{64}\..*")
    patience = max(grace, _TEMPORARY_GRACE)
    return [(path, age) for path, age in aged if age >= patience or taken_out.fullmatch(path.name)]


def _remove_artifacts(layout: Layout, victims: Iterable[str], known: Mapping[str, Manifest | None]) -> None:
    """Take each victim out by one rename, unless work that began since the listing needs it.

    Work says what it needs (by its draft) before it makes sure that this is there. So what is taken out and then not
    needed by any draft was needed by none; what is needed after all goes back.
    """
    needed = _needed_by_now(layout, known)
    aside = {key: layout.trash / f"{key}.{token()}" for key in victims if key not in needed}
    for key, place in aside.items():
        layout.artifact(key).rename(place)
        fsync_path(layout.artifact(key).parent)
    needed = _needed_by_now(layout, known) if aside else set()
    for key, place in reversed(aside.items()):  # parents first
        if key in needed and not layout.artifact(key).exists():
            place.rename(layout.artifact(key))
            fsync_path(layout.artifact(key).parent)
    for place in aside.values():
        remove_tree(place)


def _needed_by_now(layout: Layout, known: Mapping[str, Manifest | None]) -> set[str]:
    busy = _in_work(layout)
    fresh = _read_all(layout, set(_published(layout)) - set(known))
    return _ancestors(layout, {**known, **fresh}, {*busy, *fresh})


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _size(manifest: Manifest) -> int:
    return sum(entry.size for entry in manifest.files.values())


def _tree_size(folder: Path) -> int:
    paths = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sum(status.st_size for path in paths if (status := _status(path)))
