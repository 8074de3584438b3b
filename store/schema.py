"""The tables and views of the index: their SQL and their description, in one place.

`docs/reference/tables.md` is written from this file by `python -m store.schema`.
"""

from __future__ import annotations

from dataclasses import dataclass

INDEX_VERSION = 1
"""A change of any table below needs a new number; an index of another number is rebuilt."""


@dataclass(frozen=True)
class Column:
    """One column: its name, SQL type and meaning."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """One table or view: what a row is, its columns, and for a view its query."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    query: str = ""


_KEY = Column("key", "VARCHAR", "key of the artifact")

TABLES = (
    Table(
        "artifacts",
        "One row per published artifact.",
        (
            _KEY,
            Column("stage", "VARCHAR", "kind of work, such as `sft` or `eval`"),
            Column("revision", "INTEGER", "revision of the stage's code that the key holds"),
            Column("schema", "INTEGER", "version of the key recipe"),
            Column("identity", "JSON", "everything the result depends on besides its parents"),
            Column("published", "TIMESTAMP", "when it was published, by the file system's clock (UTC)"),
            Column("files", "INTEGER", "number of files"),
            Column("bytes", "BIGINT", "bytes of all files"),
            Column("curves", "BOOLEAN", "whether it has a `curves.parquet`"),
            Column("provenance", "JSON", "how it came about: git commit, versions, host, job, times"),
        ),
    ),
    Table(
        "parents",
        "One row per artifact and parent.",
        (
            _KEY,
            Column("role", "VARCHAR", "what the parent is to it, such as `base` or `data`"),
            Column("parent", "VARCHAR", "key of the parent"),
        ),
    ),
    Table(
        "metrics",
        "One row per artifact and metric.",
        (
            _KEY,
            Column("name", "VARCHAR", "name of the metric"),
            Column("value", "DOUBLE", "its value, if it is a number or a truth value (0 or 1)"),
            Column("text", "VARCHAR", "its value, if it is a text"),
        ),
    ),
    Table(
        "attempts",
        "One row per attempt at a key, finished or not.",
        (
            Column("record", "VARCHAR", "name of the record's file"),
            _KEY,
            Column("stage", "VARCHAR", "kind of work"),
            Column("started", "TIMESTAMP", "when it began, by the worker's clock (UTC)"),
            Column("ended", "TIMESTAMP", "when it ended (UTC); NULL if it runs or was killed"),
            Column(
                "outcome",
                "VARCHAR",
                "`published`, `failed`, `interrupted`, `lost`; NULL if it runs or was killed",
            ),
            Column("reason", "VARCHAR", "why it ended"),
            Column("host", "VARCHAR", "host name"),
            Column("pid", "INTEGER", "process id"),
            Column("job", "VARCHAR", "Slurm job and array task, or empty"),
            Column("details", "JSON", "what the worker added"),
        ),
    ),
    Table(
        "cells",
        "One row per plan and cell.",
        (
            Column("plan", "VARCHAR", "id of the plan"),
            Column("cell", "VARCHAR", "name of the cell"),
            Column("axes", "JSON", "the cell's point in the grid"),
            Column("stages", "JSON", "role to key of every stage of the cell"),
            Column("result", "VARCHAR", "key of the artifact that holds the cell's score"),
        ),
    ),
    Table(
        "aliases",
        "One row per key that is another name for an artifact (after a change of the key recipe).",
        (
            Column("alias", "VARCHAR", "the other name"),
            Column("key", "VARCHAR", "key under which the artifact lies"),
        ),
    ),
)

VIEWS = (
    Table(
        "sweep",
        "One row per cell and metric of its result; a cell without a result has one row with NULLs.",
        (
            Column("plan", "VARCHAR", "id of the plan"),
            Column("cell", "VARCHAR", "name of the cell"),
            Column("axes", "JSON", "the cell's point in the grid"),
            Column("result", "VARCHAR", "key of the artifact that holds the score"),
            Column("metric", "VARCHAR", "name of the metric"),
            Column("value", "DOUBLE", "its value"),
        ),
        "SELECT c.plan, c.cell, c.axes, c.result, m.name AS metric, m.value FROM cells c "
        "LEFT JOIN aliases l ON l.alias = c.result LEFT JOIN metrics m ON m.key = coalesce(l.key, c.result)",
    ),
    Table(
        "lineage",
        "One row per artifact and ancestor, the artifact itself included at depth 0.",
        (
            _KEY,
            Column("ancestor", "VARCHAR", "key of an artifact it comes from"),
            Column("depth", "INTEGER", "number of steps on the shortest way up"),
        ),
        "WITH RECURSIVE up(key, ancestor, depth) AS (SELECT key, key, 0 FROM artifacts UNION "
        "SELECT up.key, coalesce(l.key, p.parent), up.depth + 1 FROM up JOIN parents p ON p.key = up.ancestor "
        "LEFT JOIN aliases l ON l.alias = p.parent) "
        "SELECT key, ancestor, min(depth)::INTEGER AS depth FROM up GROUP BY key, ancestor",
    ),
)

CURVES = Table(
    "curves",
    "One row per logged point. Read from the Parquet files inside the artifacts when a query names it.",
    (
        _KEY,
        Column("step", "BIGINT", "optimizer step"),
        Column("examples", "BIGINT", "distinct training examples consumed so far"),
        Column("name", "VARCHAR", "what was logged, such as `loss`"),
        Column("value", "DOUBLE", "its value"),
    ),
)


def create_statements() -> list[str]:
    """SQL that makes an empty index."""
    tables = [
        f"CREATE TABLE {table.name} ({', '.join(f'{column.name} {column.type}' for column in table.columns)})"
        for table in TABLES
    ]
    views = [f"CREATE VIEW {view.name} AS {view.query}" for view in VIEWS]
    internal = [
        "CREATE TABLE seen (folder VARCHAR, mtime_ns BIGINT)",
        f"CREATE TABLE about AS SELECT {INDEX_VERSION} AS version",
    ]
    return [*tables, *internal, *views]


def to_markdown() -> str:
    """The reference page of all tables and views."""
    lines = [
        "# Tables",
        "",
        "What `budgetctl report --sql` can ask. Written from `store/schema.py`; do not edit.",
    ]
    for kind, tables in (("table", (*TABLES, CURVES)), ("view", VIEWS)):
        for table in tables:
            lines += [
                "",
                f"## {table.name} ({kind})",
                "",
                table.meaning,
                "",
                "| column | type | meaning |",
                "|---|---|---|",
            ]
            lines += [f"| `{column.name}` | {column.type} | {column.meaning} |" for column in table.columns]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(to_markdown(), end="")
