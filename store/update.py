"""How the index learns of new records: compare what folders hold with what the tables hold, and read the difference."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.aliases import read_alias
from store.attempt import read_attempt
from store.errors import CorruptArtifact
from store.files import names_in
from store.layout import Layout, file_system_now
from store.manifest import Manifest, read_manifest
from store.payload import KEY_PATTERN
from store.schema import INDEX_VERSION, TABLES

if TYPE_CHECKING:
    import duckdb

_LOG = logging.getLogger("store")
_SETTLED_NS = 2_000_000_000
"""A folder changed less than this ago may change again without its time stamp moving: look again next time."""
_PLAN = "plan:"
"""Begins the mark of a plan among the folders that were seen."""
_BATCH = 2000
"""Records read before their rows are handed to DuckDB."""

_FEW_SHARDS = 32
"""Up to here it is quicker to name the shards in the query than to read the whole column."""

Rows = dict[str, list[tuple[Any, ...]]]


def bring_up_to_date(connection: duckdb.DuckDBPyConnection, layout: Layout) -> int:
    """Add new records and drop those whose files are gone, in one transaction; returns how many it read."""
    now = file_system_now(layout).st_mtime_ns if layout.writable() else 0
    connection.execute("BEGIN")
    seen = dict(connection.execute("SELECT folder, mtime_ns FROM seen").fetchall())
    count = 0
    for table, column, tables, read in (
        ("artifacts", "key", ("artifacts", "parents", "metrics"), _artifact_rows),
        ("attempts", "record", ("attempts",), _attempt_rows),
    ):
        folders = _changed_folders(layout.root / table, seen, now)
        names = {name for folder in folders for name in names_in(folder) if not name.startswith(".")}
        known = _known_names(connection, table, column, [folder.name for folder in folders])
        _delete(connection, tables, column, known - names)
        count += _insert_new(connection, layout, sorted(names - known), read)
    count += _update_plans(connection, layout, list(seen))
    _replace_aliases(connection, layout)
    _remember(connection, seen)
    connection.execute("COMMIT")
    return count


def is_current(connection: duckdb.DuckDBPyConnection, layout: Layout) -> bool:
    """Whether nothing came or went since the last update; it only reads, so that asking again costs no writing."""
    if connection.execute("SELECT version FROM about").fetchone() != (INDEX_VERSION,):
        return False
    seen = dict(connection.execute("SELECT folder, mtime_ns FROM seen").fetchall())
    if any(_changed_folders(layout.root / table, dict(seen), now=0) for table in ("artifacts", "attempts")):
        return False
    gone, fresh = _plan_changes(seen, layout)
    return not gone and not fresh and _count_aliases(connection) == len(_alias_names(layout))


def _changed_folders(root: Path, seen: dict[str, int], now: int) -> list[Path]:
    """Shards whose time stamp differs from the one in `seen`, which is updated where the stamp can be trusted."""
    changed = []
    for name in names_in(root):
        folder = root / name
        stamp = folder.stat().st_mtime_ns
        mark = f"{root.name}/{name}"
        if seen.get(mark) != stamp:
            changed.append(folder)
            seen[mark] = stamp if stamp < now - _SETTLED_NS else 0
    return changed


def _known_names(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, shards: list[str]
) -> set[str]:
    """What the table has of these shards; a range for each lets DuckDB skip most of the table."""
    ranges = " OR ".join(f"{column} BETWEEN '{shard}' AND '{shard}g'" for shard in shards)
    few = f"WHERE {ranges}" if len(shards) < _FEW_SHARDS else ""
    rows = connection.execute(f"SELECT {column} FROM {table} {few}").fetchall() if shards else []
    wanted = set(shards)
    return {name for (name,) in rows if name[:2] in wanted}


def _delete(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[str], column: str, names: set[str]
) -> None:
    for table in tables if names else ():
        connection.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT unnest(?))", [sorted(names)])


def _insert_new(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    names: list[str],
    read: Callable[[Layout, str], Rows],
) -> int:
    for start in range(0, len(names), _BATCH):
        batch: Rows = {}
        for name in names[start : start + _BATCH]:
            for table, rows in read(layout, name).items():
                batch.setdefault(table, []).extend(rows)
        _insert(connection, batch)
    return len(names)


def _insert(connection: duckdb.DuckDBPyConnection, batch: Rows) -> None:
    """Hand all rows of a table over as one JSON text: quicker than row by row, and no Arrow to load."""
    for table in TABLES:
        rows = batch.get(table.name)
        if rows:
            names = [column.name for column in table.columns]
            shape = json.dumps([{column.name: column.type for column in table.columns}])
            text = json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False)
            connection.execute(
                f"INSERT INTO {table.name} SELECT unnest(from_json(?::JSON, '{shape}'), max_depth := 2)",
                [text],
            )


def _artifact_rows(layout: Layout, key: str) -> Rows:
    path = layout.manifest(key)
    try:
        manifest = read_manifest(path, key)
        published = path.stat().st_mtime
    except FileNotFoundError:
        return {}
    except CorruptArtifact as error:
        _LOG.warning("left out of the index: %s", error)
        return {}
    payload = manifest.payload
    size = sum(entry.size for entry in manifest.files.values())
    row = (
        key, payload.stage, payload.revision, payload.schema, payload.identity, _timestamp(published),
        len(manifest.files), size, "curves.parquet" in manifest.files, manifest.provenance,
    )  # fmt: skip
    return {
        "artifacts": [row],
        "parents": [(key, role, parent) for role, parent in payload.parents.items()],
        "metrics": _metric_rows(key, manifest),
    }


def _metric_rows(key: str, manifest: Manifest) -> list[tuple[Any, ...]]:
    return [
        (key, name, None, value)
        if isinstance(value, str)
        else (key, name, None if value is None else float(value), None)
        for name, value in manifest.metrics.items()
    ]


def _attempt_rows(layout: Layout, name: str) -> Rows:
    record = read_attempt(layout.attempts(name) / name)
    if record is None:
        return {}
    row = (
        name, record.key, record.stage, record.started, record.ended or None, record.outcome or None, record.reason,
        record.holder.host, record.holder.pid, record.holder.job, record.details,
    )  # fmt: skip
    return {"attempts": [row]}


def _plan_changes(seen: Collection[str], layout: Layout) -> tuple[set[str], list[str]]:
    """Plans that were removed and plans that are new since the last update."""
    stored = {Path(name).stem for name in names_in(layout.root / "plans") if not name.startswith(".")}
    known = {mark.removeprefix(_PLAN) for mark in seen if mark.startswith(_PLAN)}
    return known - stored, sorted(stored - known)


def _update_plans(connection: duckdb.DuckDBPyConnection, layout: Layout, seen: Collection[str]) -> int:
    gone, fresh = _plan_changes(seen, layout)
    _delete(connection, ("cells",), "plan", gone)
    _delete(connection, ("seen",), "folder", {f"{_PLAN}{identifier}" for identifier in gone})
    for identifier in fresh:
        document = json.loads(layout.plan(identifier).read_bytes())
        rows = [
            (identifier, cell.get("name"), cell.get("axes", {}), cell.get("stages", {}), cell.get("result"))
            for cell in document.get("cells", [])
        ]
        _insert(connection, {"cells": rows})
        connection.execute("INSERT INTO seen VALUES (?, 0)", [f"{_PLAN}{identifier}"])
    return len(fresh)


def _alias_names(layout: Layout) -> list[str]:
    return [name for name in names_in(layout.root / "aliases") if KEY_PATTERN.fullmatch(name)]


def _count_aliases(connection: duckdb.DuckDBPyConnection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM aliases").fetchone() or (0,)
    return int(count)


def _replace_aliases(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    names = _alias_names(layout)
    if _count_aliases(connection) != len(names):
        connection.execute("DELETE FROM aliases")
        _insert(connection, {"aliases": [(name, read_alias(layout, name)) for name in names]})


def _remember(connection: duckdb.DuckDBPyConnection, seen: dict[str, int]) -> None:
    stored = dict(connection.execute("SELECT folder, mtime_ns FROM seen").fetchall())
    changed = {mark: stamp for mark, stamp in seen.items() if stored.get(mark) != stamp}
    if changed:
        _delete(connection, ("seen",), "folder", set(changed))
        connection.execute(
            "INSERT INTO seen SELECT unnest(?), unnest(?)", [list(changed), list(changed.values())]
        )


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
