"""What survives a killed attempt, what is recorded of it, and what plans and pins keep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from storekit import Publish

from store import Payload, Store
from store.errors import AmbiguousKey, KeyNotFound, LeaseLost, StoreError, UnencodableValue, UsageError
from store.process import Holder

PAYLOAD = Payload("sft", 1, {"draft": True})

KILLED_WORKER = """
import os, sys
from store import Payload, Store
store = Store.open(sys.argv[1])
draft = store.draft(Payload("sft", 1, {"draft": True}))
(draft.files / "half").write_bytes(b"half a file")
(draft.scratch / "checkpoint-7").mkdir()
(draft.scratch / "checkpoint-7" / "adapter.bin").write_bytes(b"weights")
with store.attempt(draft.payload.key, stage="sft", cell="c1"):
    os.kill(os.getpid(), 9)
"""


def run_killed_worker(store: Store) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_WORKER, str(store.root)], check=False)
    assert done.returncode == -9


def test_the_next_attempt_finds_scratch_and_no_half_written_files(store: Store) -> None:
    assert not store.draft(PAYLOAD).resumed
    run_killed_worker(store)
    draft = store.draft(PAYLOAD)
    assert draft.resumed
    assert (draft.scratch / "checkpoint-7" / "adapter.bin").read_bytes() == b"weights"
    assert list(draft.files.iterdir()) == []
    other = store.draft(PAYLOAD)
    assert not other.resumed, "a living process's draft was taken"


def test_a_draft_of_an_unknown_host_is_copied_by_the_leaseholder_only(store: Store) -> None:
    draft = store.draft(PAYLOAD)
    (draft.scratch / "checkpoint").write_bytes(b"weights")
    foreign = draft.folder.with_name(f"{PAYLOAD.key}.elsewhere.1.1.00000000.abcdef")
    draft.folder.rename(foreign)
    assert not store.draft(PAYLOAD).resumed
    with store.lease(PAYLOAD.key):
        copied = store.draft(PAYLOAD)
    assert copied.resumed
    (foreign / "scratch" / "checkpoint").write_bytes(b"its writer woke up")
    assert (copied.scratch / "checkpoint").read_bytes() == b"weights"


def test_discard_leaves_nothing(store: Store) -> None:
    draft = store.draft(PAYLOAD)
    (draft.scratch / "x").write_bytes(b"x")
    draft.discard()
    assert not list(store.layout.drafts.iterdir())


def test_attempts_tell_how_they_ended(store: Store) -> None:
    class OutOfTimeError(StoreError):
        exit_code = 75

    key = PAYLOAD.key
    with store.attempt(key, stage="sft", cell="c1"):
        pass
    for error in (
        ValueError("bad loss"),
        OutOfTimeError("requeued"),
        KeyboardInterrupt(),
        LeaseLost("taken"),
    ):
        with pytest.raises(type(error)), store.attempt(key, stage="sft"):
            raise error
    with store.attempt(key, stage="sft") as attempt:
        attempt.finish("failed", "too few rows")
    run_killed_worker(store)
    records = store.attempts(key)
    assert [r.outcome for r in records] == [
        "published",
        "failed",
        "interrupted",
        "interrupted",
        "lost",
        "failed",
        "",
    ]
    assert records[1].reason == "ValueError: bad loss"
    assert records[0].details == {"cell": "c1"}
    assert records[0].holder == Holder.current()
    assert records[-1].ended == "" and records[-1].holder.is_dead()
    assert store.attempts("0" * 64) == []


def test_a_torn_attempt_record_is_passed_over(store: Store) -> None:
    with store.attempt(PAYLOAD.key):
        pass
    (store.layout.attempts(PAYLOAD.key) / f"{PAYLOAD.key}.feed.start.json").write_text('{"key": ')
    assert len(store.attempts(PAYLOAD.key)) == 1


def test_plans_are_stored_once_and_found_by_a_prefix(store: Store) -> None:
    document = {"recipe": {"name": "x"}, "cells": [], "roots": ["a" * 64]}
    identifier = store.save_plan(document)
    assert store.save_plan(dict(reversed(document.items()))) == identifier
    assert store.load_plan(identifier[:8]) == document
    assert store.plans() == [identifier]
    with pytest.raises(KeyNotFound):
        store.load_plan("zz")
    with pytest.raises(UnencodableValue):
        store.save_plan({"path": Path("x")})
    for number in range(20):
        store.save_plan({"number": number})
    with pytest.raises(AmbiguousKey):
        store.load_plan(next(a for a in "0123456789abcdef" if sum(i[0] == a for i in store.plans()) > 1))
    store.forget_plan(identifier)
    assert identifier not in store.plans()


def test_roots_are_every_key_in_plans_and_pins(store: Store, publish: Publish) -> None:
    keys = [publish(number).key for number in range(4)]
    store.save_plan(
        {"cells": [{"name": "c", "stages": {"sft": keys[0]}, "result": keys[1]}], "roots": [keys[2]]}
    )
    store.pin("paper-table.2", [keys[3]])
    assert store.roots() == set(keys)
    assert store.pins() == {"paper-table.2": [keys[3]]}
    store.unpin("paper-table.2")
    assert store.roots() == set(keys[:3])
    with pytest.raises(KeyNotFound, match="there is no pin"):
        store.unpin("paper-table.2")
    for name, pinned in (("../x", keys), ("", keys), ("x", ["abc"])):
        with pytest.raises(UsageError):
            store.pin(name, pinned)


def test_hashes_of_paths_follow_content_only(store: Store, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        (tmp_path / folder / "sub" / "weights").write_bytes(b"w" * 100)
        (tmp_path / folder / "config").write_bytes(b"c")
    first, second = store.hash_path(tmp_path / "one"), store.hash_path(tmp_path / "two")
    assert first == second
    (tmp_path / "two" / ".cache").mkdir()
    (tmp_path / "two" / ".cache" / "lock").write_bytes(b"")
    assert store.hash_path(tmp_path / "two") != first
    assert store.hash_path(tmp_path / "two", ignore=(".cache",)) == first
    (tmp_path / "two" / "config").rename(tmp_path / "two" / "configuration")
    assert store.hash_path(tmp_path / "two", ignore=(".cache",)) != first
    assert store.hash_path(tmp_path / "one" / "config") == store.hash_path(tmp_path / "two" / "configuration")
    with pytest.raises(UsageError, match="does not exist"):
        store.hash_path(tmp_path / "three")


def test_the_memo_spares_reading_but_not_noticing_changes(store: Store, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    weights = model / "weights"
    weights.write_bytes(b"a" * 1000)
    os.utime(weights, ns=(10**18, 10**18))
    before = store.hash_path(model)
    memo = next((store.root / "memo").iterdir())
    assert json.loads(memo.read_bytes()) == {}, "a file touched this very moment must not be trusted later"
    weights.write_bytes(b"b" * 1000)
    os.utime(weights, ns=(10**18, 10**18))
    assert store.hash_path(model) != before


def test_the_memo_is_used_for_settled_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").write_bytes(b"a" * 1000)
    monkeypatch.setattr("store.hashing._SETTLED_NS", -1_000_000_000)
    digest = store.hash_path(tmp_path / "weights")

    def fail(paths: object) -> list[str]:
        assert list(paths) == []  # type: ignore[call-overload]
        return []

    monkeypatch.setattr("store.hashing.hash_files", fail)
    assert store.hash_path(tmp_path / "weights") == digest
