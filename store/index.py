"""The index: a DuckDB file that shows the store's records as tables.

Records are the truth. Readers bring the file up to date, one at a time, by looking only at folders whose
modification time moved; workers never touch it. It can be deleted at any moment.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import duckdb

from store.errors import IndexBusy, LeasedElsewhere, NoSpace, UsageError
from store.files import disk_errors
from store.layout import Layout
from store.lease import Lease, LeasePace, LeaseWatch
from store.schema import CURVES, INDEX_VERSION, create_statements
from store.update import bring_up_to_date, is_current

_CONFIG: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}
_LOG = logging.getLogger("store")
_PACE = LeasePace(beat=0.2, patience=5.0)
_WAIT = 120.0
"""Seconds. Rebuilding an index of 100,000 artifacts takes less; a dead or frozen holder is taken over before."""


@dataclass(frozen=True)
class Result:
    """The answer to a query: column names, and rows of plain Python values."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """Rows as objects."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Ask(Protocol):
    """What `Index.reading` gives."""

    def __call__(self, sql: str, params: Sequence[Any] = ()) -> Result:
        """As `Index.query`."""


class Index:
    """The view of one store. The first question brings it up to date, later ones find it as it was then."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = layout.root / "index.duckdb"
        self._private: duckdb.DuckDBPyConnection | None = None
        self._fresh = False

    def refresh(self) -> int:
        """Read now what was published, attempted and planned since the last time; returns how many records.

        A store that cannot be written gets a private copy of its index in memory, brought up to date there.

        Raises:
            IndexBusy: Another process held the index for too long.
        """
        if not self._layout.writable():
            count = bring_up_to_date(self._copy(), self._layout)
        else:
            with disk_errors(self._layout.root), self._locked():
                count = self._update_or_rebuild()
        self._fresh = True
        return count

    def rebuild(self) -> int:
        """Delete the index and read every record again; returns how many."""
        with disk_errors(self._layout.root), self._locked():
            self._delete()
        return self.refresh()

    def query(self, sql: str, params: Sequence[Any] = ()) -> Result:
        """Run one SQL query over the tables and views of docs/reference/tables.md.

        Raises:
            UsageError: DuckDB does not understand the query, or it tries to change the index.
            IndexBusy: Another process held the index for too long.
        """
        with self.reading() as ask:
            return ask(sql, params)

    @contextmanager
    def reading(self) -> Iterator[Ask]:
        """Ask several questions over one connection: `with index.reading() as ask: ask("FROM cells")`."""
        if not self._layout.writable():
            if not self._fresh:
                self.refresh()
            yield partial(self._answer, self._copy())
            return
        with self._locked(), self._current() as connection:
            yield partial(self._answer, connection)

    def _copy(self) -> duckdb.DuckDBPyConnection:
        self._private = self._private or _copy_to_memory(self._path)
        return self._private

    def _current(self) -> duckdb.DuckDBPyConnection:
        """A reading connection; writing ones are opened only if there is something to write."""
        connection: duckdb.DuckDBPyConnection | None = None
        with suppress(duckdb.Error):
            connection = _connect(self._path, read_only=True)
            if self._fresh or is_current(connection, self._layout):
                self._fresh = True
                return connection
        if connection is not None:
            connection.close()
        with disk_errors(self._layout.root):
            self._update_or_rebuild()
        self._fresh = True
        return _connect(self._path, read_only=True)

    def _answer(self, connection: duckdb.DuckDBPyConnection, sql: str, params: Sequence[Any] = ()) -> Result:
        try:
            if re.search(rf"\b{CURVES.name}\b", sql):
                _show_curves(connection, self._layout)
            _confine(connection, self._layout)
            cursor = connection.execute(sql, list(params))
            return Result([column[0] for column in cursor.description or []], cursor.fetchall())
        except duckdb.Error as error:
            raise UsageError(f"DuckDB refuses the query: {error}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lease = Lease(self._layout.root / "index.lock", "index", _PACE)
        try:
            lease.acquire(LeaseWatch(), steal=False, wait=_WAIT)
        except LeasedElsewhere as error:
            raise IndexBusy(f"the index has been in use for {_WAIT:.0f} s: {error}") from error
        with lease:
            yield

    def _update_or_rebuild(self) -> int:
        try:
            return self._update()
        except duckdb.Error as error:
            text = str(error)
            if "No space left" in text:
                raise NoSpace(
                    f"no space left to bring the index of {self._layout.root} up to date"
                ) from error
            if "lock" in text.lower() and isinstance(error, duckdb.IOException):
                raise IndexBusy(f"another program has {self._path} open: close it and try again") from error
            _LOG.warning("rebuilding the index, because the old one cannot be used: %s", error)
            self._delete()
            return self._update()

    def _update(self) -> int:
        with _connect(self._path, read_only=False) as connection:
            if not connection.execute("FROM duckdb_tables() WHERE table_name = 'about'").fetchall():
                _create_tables(connection)
            version = connection.execute("SELECT version FROM about").fetchone()
            if version != (INDEX_VERSION,):
                raise duckdb.InvalidInputException(f"it has version {version}")
            return bring_up_to_date(connection, self._layout)

    def _delete(self) -> None:
        for path in (self._path, self._path.with_name("index.duckdb.wal")):
            path.unlink(missing_ok=True)


def _connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(path), read_only=read_only, config=_CONFIG)


def _confine(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Let a query read the store's artifacts (curves lie there) and no other file, and write none."""
    if connection.execute("SELECT current_setting('enable_external_access')").fetchone() == (True,):
        artifacts = str(layout.root / "artifacts").replace("'", "''")
        connection.execute(f"SET allowed_directories = ['{artifacts}']")
        connection.execute("SET enable_external_access = false")


def _create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("BEGIN")
    for statement in create_statements():
        connection.execute(statement)
    connection.execute("COMMIT")


def _copy_to_memory(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config=_CONFIG)
    _create_tables(connection)
    if path.exists():
        try:
            connection.execute(f"ATTACH '{path}' AS disk (READ_ONLY)")
            if connection.execute("SELECT version FROM disk.about").fetchone() == (INDEX_VERSION,):
                for (name,) in connection.execute(
                    "SELECT table_name FROM duckdb_tables() WHERE database_name = 'memory'"
                ).fetchall():
                    connection.execute(
                        f"DELETE FROM memory.{name}; INSERT INTO memory.{name} FROM disk.{name}"
                    )
            connection.execute("DETACH disk")
        except duckdb.Error as error:
            _LOG.warning("reading all records, because the index on disk cannot be used: %s", error)
    return connection


def _show_curves(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    keys = (key for (key,) in connection.execute("SELECT key FROM artifacts WHERE curves").fetchall())
    paths = [
        path for path in (layout.artifact(key) / "files" / "curves.parquet" for key in keys) if path.exists()
    ]
    columns = ", ".join(column.name for column in CURVES.columns[1:])
    if paths:
        listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
        source = f"read_parquet([{listed}], filename = true)"
        key = r"regexp_extract(filename, '([0-9a-f]{64})/files/curves\.parquet$', 1)"
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW curves AS SELECT {key} AS key, {columns} FROM {source}"
        )
    else:
        empty = ", ".join(f"NULL::{column.type} AS {column.name}" for column in CURVES.columns)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW curves AS SELECT {empty} WHERE false")
