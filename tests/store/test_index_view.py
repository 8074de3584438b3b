"""The index shows what the records say, after any history of additions, removals and kills."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storekit import Publish

from store import Payload, Store, schema
from store.errors import UsageError
from store.index import Index


def keys_in(store: Store) -> list[str]:
    return [key for (key,) in store.index().query("SELECT key FROM artifacts ORDER BY key").rows]


def test_tables_show_the_records(store: Store, publish: Publish) -> None:
    base = publish(0, {}, stage="base", metrics={"loss": 2.5})
    with store.attempt(base.key, stage="base", cell="c"):
        pass
    child = publish(
        1, parents={"base": base.key}, metrics={"acc": 0.25, "ok": True, "text": "fine", "none": None}
    )
    plan = store.save_plan(
        {"cells": [
            {"name": "n=1", "axes": {"n": 1}, "stages": {"sft": child.key}, "result": child.key},
            {"name": "n=2", "axes": {"n": 2}, "stages": {}, "result": "f" * 64},
        ]}
    )  # fmt: skip
    index = store.index()
    row = index.query("SELECT * FROM artifacts WHERE key = ?", [child.key]).dicts()[0]
    assert (row["stage"], row["revision"], row["schema"], row["files"], row["bytes"]) == ("sft", 1, 1, 1, 1)
    assert row["identity"] == '{"number":1}' and row["provenance"] == '{"made":"by a test"}'
    assert abs(row["published"] - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)
    assert index.query("FROM parents").rows == [(child.key, "base", base.key)]
    metrics = index.query(
        "SELECT name, value, text FROM metrics WHERE key = ? ORDER BY name", [child.key]
    ).rows
    assert metrics == [("acc", 0.25, None), ("none", None, None), ("ok", 1.0, None), ("text", None, "fine")]
    attempt = index.query("SELECT key, stage, outcome, details, ended >= started FROM attempts").rows
    assert attempt == [(base.key, "base", "published", '{"cell":"c"}', True)]
    cells = index.query("SELECT plan, cell, axes->>'n', result FROM cells ORDER BY cell").rows
    assert cells == [(plan, "n=1", "1", child.key), (plan, "n=2", "2", "f" * 64)]
    sweep = index.query(
        "SELECT cell, metric, value FROM sweep WHERE metric = 'acc' OR metric IS NULL ORDER BY 1"
    ).rows
    assert sweep == [("n=1", "acc", 0.25), ("n=2", None, None)]


def test_lineage_walks_up(store: Store, publish: Publish) -> None:
    chain = [publish(0, {})]
    for number in range(1, 5):
        chain.append(publish(number, {}, parents={"policy": chain[-1].key, "base": chain[0].key}))
    rows = (
        store.index()
        .query("SELECT ancestor, depth FROM lineage WHERE key = ? ORDER BY depth", [chain[4].key])
        .rows
    )
    assert rows == [(chain[4].key, 0), *sorted([(chain[0].key, 1), (chain[3].key, 1)], key=rows.index),
                    (chain[2].key, 2), (chain[1].key, 3)]  # fmt: skip


def test_refresh_reads_only_what_is_new(store: Store, publish: Publish) -> None:
    for number in range(20):
        publish(number)
    index = Index(store.layout)
    assert index.refresh() == 20
    assert index.refresh() == 0
    publish(20)
    with store.attempt("ab" * 32):
        pass
    store.save_plan({"cells": []})
    assert index.refresh() == 3
    assert index.refresh() == 0


def test_what_is_removed_disappears(store: Store, publish: Publish) -> None:
    gone, stays = publish(1), publish(2)
    plan = store.save_plan({"cells": [{"name": "c", "axes": {}, "stages": {}, "result": gone.key}]})
    assert keys_in(store) == sorted([gone.key, stays.key])
    store.quarantine(gone.key, "a test")
    store.forget_plan(plan)
    index = store.index()
    assert keys_in(store) == [stays.key]
    for table, count in (("metrics", 1), ("cells", 0), ("sweep", 0)):
        assert index.query(f"SELECT count(*) FROM {table}").rows == [(count,)]
    publish(1)
    assert keys_in(store) == sorted([gone.key, stays.key])


def test_an_attempt_that_ends_replaces_its_beginning(store: Store) -> None:
    with store.attempt("ab" * 32, stage="sft"):
        assert store.index().query("SELECT outcome, ended FROM attempts").rows == [(None, None)]
    assert store.index().query("SELECT outcome FROM attempts").rows == [("published",)]


def test_curves_are_read_from_the_artifacts(store: Store, publish: Publish, tmp_path: Path) -> None:
    assert store.index().query("SELECT count(*) FROM curves").rows == [(0,)]
    table = pa.table({"step": [1, 2], "examples": [8, 16], "name": ["loss", "loss"], "value": [2.0, 1.5]})
    pq.write_table(table, tmp_path / "curves.parquet")
    artifact = publish(1, {"curves.parquet": (tmp_path / "curves.parquet").read_bytes()})
    publish(2)
    rows = store.index().query("SELECT key, step, examples, name, value FROM curves ORDER BY step").rows
    assert rows == [(artifact.key, 1, 8, "loss", 2.0), (artifact.key, 2, 16, "loss", 1.5)]


def test_a_deleted_or_broken_or_older_index_is_rebuilt(store: Store, publish: Publish) -> None:
    keys = sorted(publish(number).key for number in range(3))
    assert keys_in(store) == keys
    path = store.root / "index.duckdb"
    path.unlink()
    assert keys_in(store) == keys
    path.write_bytes(b"not a database at all" * 1000)
    assert keys_in(store) == keys
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE about SET version = 0")
    assert keys_in(store) == keys
    assert Index(store.layout).rebuild() == 3


def test_a_corrupt_artifact_is_left_out_and_the_rest_stays(store: Store, publish: Publish) -> None:
    broken, sound = publish(1), publish(2)
    (broken.folder / "manifest.json").write_bytes(b"{")
    assert keys_in(store) == [sound.key]


def test_queries_cannot_change_the_index_and_errors_are_sentences(store: Store) -> None:
    index = store.index()
    with pytest.raises(UsageError, match="read-only"):
        index.query("DELETE FROM artifacts")
    with pytest.raises(UsageError, match="refuses the query"):
        index.query("SELEC 1")
    assert index.query("SELECT ? + 1 AS two", [1]).dicts() == [{"two": 2}]


def test_queries_reach_no_file_outside_the_store(store: Store, publish: Publish, tmp_path: Path) -> None:
    publish(1)
    secret, target = tmp_path / "secret.csv", tmp_path / "out.csv"
    secret.write_text("a\n1\n")
    index = store.index()
    for sql in (
        f"FROM read_csv('{secret}')",
        f"COPY (SELECT 1) TO '{target}'",
        f"ATTACH '{tmp_path}/other.db'",
    ):
        with pytest.raises(UsageError, match="Permission Error"):
            index.query(sql)
    assert not target.exists()
    assert index.query("SELECT count(*) FROM curves").rows == [(0,)]


def test_many_readers_and_writers_at_once(store: Store) -> None:
    code = """
import sys
from store import Payload, Store
store = Store.open(sys.argv[1])
for number in range(5):
    draft = store.draft(Payload("sft", 1, {"who": sys.argv[2], "number": number}))
    draft.publish({"n": number}, {})
    index = store.index()
    assert index.query("SELECT count(*) FROM artifacts WHERE key = ?", [draft.payload.key]).rows == [(1,)]
"""
    readers = [subprocess.Popen([sys.executable, "-c", code, str(store.root), str(who)]) for who in range(6)]
    assert [reader.wait(timeout=120) for reader in readers] == [0] * 6
    assert store.index().query("SELECT count(*), count(DISTINCT key) FROM artifacts").rows == [(30, 30)]


def test_aliases_lead_from_new_keys_to_old_artifacts(store: Store, publish: Publish) -> None:
    old = publish(1, metrics={"acc": 0.75})
    new = Payload("sft", 2, {"number": 1})
    store.migrate(lambda payload: new)
    store.save_plan({"cells": [{"name": "c", "axes": {}, "stages": {}, "result": new.key}]})
    assert store.index().query("SELECT value FROM sweep WHERE metric = 'acc'").rows == [(0.75,)]
    assert store.artifact(new.key).key == old.key


def test_the_reference_page_of_the_tables_is_up_to_date(repository: Path) -> None:
    page = (repository / "docs/reference/tables.md").read_text("utf-8")
    assert page == schema.to_markdown(), "run: python -m store.schema > docs/reference/tables.md"
