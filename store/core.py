"""The store: the one object that callers hold."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.aliases import migrate, read_alias
from store.artifact import Artifact, open_artifact
from store.attempt import Attempt, AttemptRecord, read_attempt
from store.draft import Draft, open_draft
from store.errors import AmbiguousKey, CorruptArtifact, KeyNotFound, MissingArtifact, ReadOnlyStore
from store.files import disk_errors, names_in
from store.hashing import HashMemo, Signature, hash_file, signature
from store.layout import Layout, open_layout
from store.lease import Lease, LeasePace, LeaseRecord, LeaseWatch, read_lease
from store.payload import KEY_PATTERN, Payload
from store.plans import Plans
from store.process import Holder
from store.quarantine import quarantine_artifact

if TYPE_CHECKING:
    from store.index import Index

_LOG = logging.getLogger("store")


class Store:
    """A content-addressed store of artifacts in one folder. Open it with `Store.open`.

    Attributes:
        root: The folder.
        layout: Paths inside it.
        pace: How leases beat and when they are stale.
    """

    def __init__(self, layout: Layout, pace: LeasePace) -> None:
        self.layout = layout
        self.root = layout.root
        self.pace = pace
        self._watch = LeaseWatch()
        self._plans = Plans(layout)
        self._verified: set[tuple[Path, Signature]] = set()

    @classmethod
    def open(cls, path: Path | str, create: bool = False, pace: LeasePace | None = None) -> Store:
        """Open the store at `path`.

        Args:
            path: Its folder.
            create: Make an empty store if there is none.
            pace: How leases beat; the default suits stages that take minutes.

        Raises:
            NewerStore: A later version of the program wrote it.
            StoreError: There is no store, or the folder holds something else.
        """
        root = Path(path).absolute()
        with disk_errors(root.parent):
            return cls(open_layout(root, create), pace or LeasePace())

    # Reading

    def has(self, key: str) -> bool:
        """Whether something was published under `key` (or under a key it is an alias of)."""
        return self.layout.manifest(key).exists() or self._home(key) != key

    def many_has(self, keys: Iterable[str]) -> dict[str, bool]:
        """`has` for thousands of keys at once; a key that is given twice is looked up once."""
        root, exists = f"{self.root}/artifacts", os.path.exists
        found = {key: exists(f"{root}/{key[:2]}/{key}/manifest.json") for key in set(keys)}
        if next(os.scandir(self.root / "aliases"), None) is not None:
            found.update({key: self.has(key) for key, here in found.items() if not here})
        return found

    def keys(self) -> Iterator[str]:
        """All published keys, sorted."""
        for shard in self._shards():
            yield from (name for name in names_in(shard) if self._is_published(name))

    def artifacts(self, stage: str = "") -> Iterator[Artifact]:
        """Open all artifacts, or those of one stage; a corrupt one is left out with a warning."""
        for key in self.keys():
            try:
                artifact = self.artifact(key)
            except (CorruptArtifact, MissingArtifact) as error:
                _LOG.warning("left out: %s", error)
                continue
            if not stage or artifact.stage == stage:
                yield artifact

    def resolve(self, prefix: str) -> str:
        """Complete the beginning of a key.

        Raises:
            KeyNotFound: Nothing published fits.
            AmbiguousKey: More than one does.
        """
        if KEY_PATTERN.fullmatch(prefix) and self.has(prefix):
            return prefix
        found = self._keys_starting(prefix) if prefix else []
        if not found:
            raise KeyNotFound(f"no artifact in {self.root} has a key that starts with {prefix!r}")
        if len(found) > 1:
            raise AmbiguousKey(
                f"{prefix!r} fits {len(found)} artifacts ({', '.join(key[:12] for key in found[:4])}): give more digits"
            )
        return found[0]

    def artifact(self, key: str, deep: bool = False) -> Artifact:
        """Open what was published under `key`, checking that every file is there with its size.

        Args:
            key: 64 hex digits.
            deep: Check the bytes too; a file that has not changed since this `Store` checked it is not read again.

        Raises:
            MissingArtifact: Nothing was published under it.
            CorruptArtifact: It is broken; `quarantine` or `repair` it.
        """
        home = self._home(key)
        try:
            artifact = open_artifact(self.layout.artifact(home), home)
        except FileNotFoundError:
            raise MissingArtifact(
                f"{key[:12]} is not in the store {self.root}: compute or pull it first"
            ) from None
        if deep:
            self._check_bytes(artifact)
        return artifact

    def _check_bytes(self, artifact: Artifact) -> None:
        for name, entry in artifact.files.items():
            if name in artifact.dropped:
                continue
            path = artifact.path(name)
            mark = (path, signature(path.lstat()))
            if mark not in self._verified:
                if hash_file(path) != entry.hash:
                    raise CorruptArtifact(
                        f"{name} of {artifact.stage} {artifact.key[:12]} is corrupt: its bytes changed since it was "
                        f"published; run `budgetctl store repair {artifact.key[:12]}`"
                    )
                self._verified.add(mark)

    def _home(self, key: str) -> str:
        """The key under which the artifact of `key` lies."""
        if not self.layout.manifest(key).exists():
            old = read_alias(self.layout, key)
            if old and self.layout.manifest(old).exists():
                return old
        return key

    def _is_published(self, name: str) -> bool:
        return bool(KEY_PATTERN.fullmatch(name)) and self.layout.manifest(name).exists()

    def _shards(self) -> list[Path]:
        return sorted((self.root / "artifacts").iterdir())

    def _keys_starting(self, prefix: str) -> list[str]:
        shards = (shard for shard in self._shards() if shard.name.startswith(prefix[:2]))
        names = [name for folder in (*shards, self.root / "aliases") for name in names_in(folder)]
        return sorted({name for name in names if name.startswith(prefix) and self.has(name)})

    # Working

    def draft(self, payload: Payload) -> Draft:
        """A private folder to make `payload`'s artifact in; continues what an abandoned attempt left in scratch.

        Raises:
            ReadOnlyStore: The store cannot be written.
        """
        self._need_writable()
        record = read_lease(self.layout.lease(payload.key))
        mine = record is not None and record.holder == Holder.current()
        return open_draft(self.layout, payload, holds_lease=mine)

    @contextmanager
    def lease(self, key: str, note: str = "", steal: bool = False, wait: float = 0.0) -> Iterator[Lease]:
        """Say that this process works on `key`, so that others leave it alone.

        Args:
            key: What is worked on.
            note: For people, for instance the cell's name.
            steal: Take the lease from whoever holds it.
            wait: Seconds to wait for a holder to finish, die or fall silent.

        Raises:
            LeasedElsewhere: A living process has it.
        """
        self._need_writable()
        lease = Lease(self.layout.lease(key), note, self.pace)
        with disk_errors(self.root):
            lease.acquire(self._watch, steal, wait)
        with lease:
            yield lease

    def leases(self) -> list[LeaseRecord]:
        """All leases that lie in the store, held or left behind (ask `holder.is_dead()`)."""
        folder = self.root / "leases"
        found = (read_lease(folder / name) for name in names_in(folder) if not name.startswith("."))
        return [record for record in found if record is not None]

    def leased_by(self, key: str) -> LeaseRecord | None:
        """Who holds the lease on `key`; None if nobody does, or a process that is certainly dead."""
        record = read_lease(self.layout.lease(key))
        dead = record is not None and record.holder is not None and record.holder.is_dead()
        return None if dead else record

    def abandoned(self, key: str) -> bool:
        """Whether nobody, a dead process, or one that was seen not to advance for too long has the lease on `key`.

        Costs one read, so that many waiting processes can ask; taking over goes through `lease`.
        """
        path = self.layout.lease(key)
        record = read_lease(path)
        if record is None or (record.holder is not None and record.holder.is_dead()):
            return True
        return self._watch.unchanged_for(path, record) >= self.pace.patience

    def attempt(self, key: str, stage: str = "", **details: Any) -> Attempt:
        """A context manager that records that work on `key` began, and how it ended."""
        self._need_writable()
        return Attempt(self.layout, key, stage, details)

    def attempts(self, key: str) -> list[AttemptRecord]:
        """Attempts at `key`, oldest first. One without an end runs, or was killed (see its holder)."""
        folder = self.layout.attempts(key)
        paths = sorted(folder.glob(f"{key}.*.json"), reverse=True) if folder.is_dir() else []
        found = {record.identifier: record for record in map(read_attempt, paths) if record is not None}
        ended = {r.identifier: r for r in map(read_attempt, paths) if r is not None and r.outcome}
        return sorted((found | ended).values(), key=lambda record: record.started)

    def quarantine(self, key: str, reason: str) -> Path | None:
        """Move a broken artifact out of the way, so that it is computed again."""
        self._need_writable()
        return quarantine_artifact(self.layout, key, reason)

    def migrate(self, rekey: Callable[[Payload], Payload]) -> dict[str, str]:
        """Keep every artifact reachable after a change of the key recipe; returns new keys by old ones.

        Args:
            rekey: Writes an old payload as the new recipe would; its parents are translated already.
        """
        self._need_writable()
        return migrate(self.layout, self.artifacts(), rekey)

    # Roots

    def save_plan(self, document: Mapping[str, Any]) -> str:
        """Store a plan and return its id; everything it mentions is kept by collection."""
        self._need_writable()
        return self._plans.save(document)

    def load_plan(self, identifier: str) -> dict[str, Any]:
        """Read a stored plan by (the beginning of) its id."""
        return self._plans.load(identifier)

    def plans(self) -> list[str]:
        """Ids of all stored plans."""
        return self._plans.identifiers()

    def forget_plan(self, identifier: str) -> None:
        """Remove a stored plan."""
        self._plans.forget(identifier)

    def pin(self, name: str, keys: Iterable[str]) -> None:
        """Keep artifacts and their ancestors under a name."""
        self._need_writable()
        self._plans.pin(name, keys)

    def unpin(self, name: str) -> None:
        """Remove a pin."""
        self._plans.unpin(name)

    def pins(self) -> dict[str, list[str]]:
        """Keys of every pin by name."""
        return self._plans.pins()

    def roots(self) -> set[str]:
        """Keys that plans and pins mention."""
        return self._plans.roots()

    # Views

    def index(self) -> Index:
        """The DuckDB view of the records; its first question brings it up to date."""
        from store.index import Index  # noqa: PLC0415  (DuckDB takes longer to load than a cache hit may last)

        return Index(self.layout)

    def hash_path(self, path: Path | str, ignore: Collection[str] = ()) -> str:
        """Content hash of a file or folder outside the store; unchanged files are not read twice.

        Raises:
            UsageError: Nothing is there.
        """
        return HashMemo(self.root / "memo", self.layout.writable()).hash_path(Path(path), ignore)

    def _need_writable(self) -> None:
        if not self.layout.writable():
            raise ReadOnlyStore(
                f"the store {self.root} is read-only for this process: use --store, or ask its owner"
            )
