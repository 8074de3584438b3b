"""Leases: they save work from being done twice, and nothing else depends on them.

A lease is a file that was created exclusively. Its holder rewrites a counter in it through the descriptor it
created it with, so a holder that sleeps through a take-over can only write into the file that was taken away.
Others judge a lease stale by watching the counter not advance, by their own clock; no two clocks are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from store.errors import LeasedElsewhere, LeaseLost
from store.files import make_directory, token
from store.process import Holder


@dataclass(frozen=True)
class LeasePace:
    """How often a holder shows that it lives, and how long others watch before they take over.

    Attributes:
        beat: Seconds between two advances of the counter.
        patience: Seconds without an advance, watched by one observer, after which a lease is stale.
    """

    beat: float = 10.0
    patience: float = 60.0


@dataclass(frozen=True)
class LeaseRecord:
    """What a lease file says. `holder` is None while it is being written or was cut short by a kill."""

    name: str
    token: str
    counter: int
    holder: Holder | None
    note: str

    def describe(self) -> str:
        who = self.holder.describe() if self.holder else "somebody who has not signed yet"
        return f"{who} ({self.note})" if self.note else who


@dataclass
class LeaseWatch:
    """Remembers when each lease was last seen to advance, by this process's monotonic clock."""

    _seen: dict[Path, tuple[str, int, float]] = field(default_factory=dict)

    def unchanged_for(self, path: Path, record: LeaseRecord) -> float:
        """Seconds since the first look at which the lease already was as it is now."""
        now = time.monotonic()
        before = self._seen.get(path)
        if before is None or before[:2] != (record.token, record.counter):
            self._seen[path] = (record.token, record.counter, now)
            return 0.0
        return now - before[2]


def read_lease(path: Path) -> LeaseRecord | None:
    """Read a lease file; None if there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(content)
        holder = Holder.from_document(document["holder"])
        return LeaseRecord(
            path.name, str(document["token"]), int(document["counter"]), holder, str(document["note"])
        )
    except (ValueError, KeyError, TypeError):
        return LeaseRecord(path.name, "", 0, None, "")


class Lease:
    """A held lease; a context manager that keeps its counter advancing until it is left.

    Use `Store.lease`; do not make one yourself.
    """

    def __init__(self, path: Path, note: str, pace: LeasePace) -> None:
        self.path = path
        self._pace = pace
        self._token = token()
        self._counter = 0
        self._body: dict[str, Any] = {
            "token": self._token, "note": note, "holder": Holder.current().to_document(),
        }  # fmt: skip
        self._descriptor = -1
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True, name=f"lease {path.name[:12]}")

    def acquire(self, watch: LeaseWatch, steal: bool, wait: float) -> None:
        """Create the lease file, taking over one that is dead, stale or to be stolen.

        Raises:
            LeasedElsewhere: A living holder has it and still had it after `wait` seconds.
        """
        make_directory(self.path.parent)
        deadline = time.monotonic() + wait
        while not self._try_create():
            record = read_lease(self.path)
            if record is None:
                continue
            dead = record.holder is not None and record.holder.is_dead()
            stale = watch.unchanged_for(self.path, record) >= self._pace.patience
            if steal or dead or stale:
                self._break(record)
            elif time.monotonic() >= deadline:
                raise LeasedElsewhere(
                    f"{self.path.name[:12]} is leased by {record.describe()}: wait for it, or take it over with --steal"
                )
            else:
                time.sleep(min(self._pace.beat, 0.25, max(0.01, deadline - time.monotonic())))

    def _try_create(self) -> bool:
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        try:
            self._write()
        except OSError:  # a full disk: an unsigned lease would keep others out for nothing
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            raise
        return True

    def _break(self, record: LeaseRecord) -> None:
        """Take a lease file out of the way, unless another process did so and holds a new one."""
        aside = self.path.with_name(f".{self.path.name}.{self._token}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        taken = read_lease(aside)
        if taken is not None and taken.token != record.token:
            with contextlib.suppress(
                OSError
            ):  # if it cannot be put back its holder stops: time lost, no more
                os.link(aside, self.path)
        aside.unlink(missing_ok=True)

    def _write(self) -> None:
        document = {**self._body, "counter": f"{self._counter:012d}"}  # fixed width: a torn read still parses
        os.pwrite(self._descriptor, json.dumps(document).encode().ljust(512) + b"\n", 0)
        os.fsync(self._descriptor)

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._pace.beat):
            if not self._is_mine():
                self._lost = True
                return
            self._counter += 1
            try:
                self._write()
            except OSError:  # who cannot show that it lives will be taken for dead
                self._lost = True
                return

    def _is_mine(self) -> bool:
        record = read_lease(self.path)
        if record is None:  # another process may have lifted it by mistake and is putting it back
            time.sleep(0.05)
            record = read_lease(self.path)
        return record is not None and record.token == self._token

    @property
    def lost(self) -> bool:
        """Whether the heartbeat has seen that the lease is gone; cheap to ask, a beat late at most."""
        return self._lost

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            LeaseLost: Another process took it over, or somebody removed it; stop what you are doing.
        """
        if self._lost or not self._is_mine():
            self._lost = True
            record = read_lease(self.path)
            now = f"now held by {record.describe()}" if record else "its file is gone"
            raise LeaseLost(f"the lease on {self.path.name[:12]} was lost ({now}): this attempt must stop")

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._is_mine():
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
