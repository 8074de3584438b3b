"""Collection removes what nobody wants, all of it, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from storekit import Publish

from store import Draft, Payload, Store
from store.check import verify
from store.collect import Collection, collect, demote
from store.errors import CorruptArtifact, MissingArtifact


def gc(store: Store, grace: float = 0.0, dry_run: bool = False) -> Collection:
    return collect(store.layout, store.roots(), grace, dry_run)


def blobs(store: Store) -> int:
    return len([path for path in store.root.glob("blobs/??/*")])


def test_what_roots_lead_to_stays(store: Store, publish: Publish) -> None:
    base = publish(0, stage="base")
    sft = publish(1, parents={"base": base.key})
    pinned = publish(2, parents={"base": base.key})
    loose = [publish(3, parents={"base": base.key}), publish(4)]
    store.save_plan({"cells": [{"name": "c", "stages": {"sft": sft.key}, "result": "e" * 64}]})
    store.pin("mine", [pinned.key])
    before = set(store.keys())
    planned = gc(store, dry_run=True)
    assert set(store.keys()) == before and blobs(store) == 5
    done = gc(store)
    assert done.items == planned.items or [i.name for i in done.items] == [i.name for i in planned.items]
    assert {item.name for item in done.items} == {artifact.key for artifact in loose}
    assert set(store.keys()) == {base.key, sft.key, pinned.key}
    assert blobs(store) == 3
    assert done.by_stage() == {"sft": (2, 2)} and done.freed == 2
    assert gc(store).items == ()


def test_shared_bytes_are_not_counted_as_freed_nor_removed(store: Store, publish: Publish) -> None:
    kept, loose = publish(1, {"w": b"same"}), publish(2, {"w": b"same", "own": b"12345"})
    store.pin("kept", [kept.key])
    done = gc(store)
    assert [(item.name, item.bytes) for item in done.items] == [(loose.key, 9)]
    assert done.freed == 5
    assert store.artifact(kept.key, deep=True) and blobs(store) == 1


def test_the_grace_period_protects_young_artifacts_and_what_they_come_from(
    store: Store, publish: Publish
) -> None:
    old, child, loose = publish(0), None, publish(2)
    for artifact in (old, loose):
        os.utime(artifact.folder / "manifest.json", (0, 0))
    child = publish(1, parents={"base": old.key})
    done = gc(store, grace=3600)
    assert [item.name for item in done.items if item.kind == "artifact"] == [loose.key]
    assert done.items[0].age > 3600
    assert set(store.keys()) == {old.key, child.key}


def test_what_running_work_reads_or_makes_stays(store: Store, publish: Publish) -> None:
    parent, leased, loose = publish(0), publish(1), publish(2)
    draft = store.draft(Payload("pft", 1, {}, {"policy": parent.key}))
    with store.lease(leased.key):
        assert {item.name for item in gc(store).items if item.kind == "artifact"} == {loose.key}
    assert draft.publish({}, {}).parents == {"policy": parent.key}


def test_by_products_stay_as_long_as_all_their_parents_are_wanted(store: Store, publish: Publish) -> None:
    base, data, child = publish(0), publish(1), publish(2)

    def by_product(number: int, *parents: str) -> str:
        draft = store.draft(
            Payload("reference", 1, {"n": number}, {f"p{n}": key for n, key in enumerate(parents)})
        )
        return draft.publish({}, {"by_product": True}).key

    kept, loose = by_product(1, base.key, data.key), by_product(2, base.key, child.key)
    store.pin("study", [base.key, data.key])
    assert {item.name for item in gc(store).items if item.kind == "artifact"} == {child.key, loose}
    assert store.has(kept)
    store.unpin("study")
    gc(store)
    assert list(store.keys()) == []


def test_work_that_begins_while_its_parent_is_taken_out_gets_it_back(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    grandparent = publish(0)
    parent = publish(1, parents={"p": grandparent.key})
    begun: list[Draft] = []
    rename = Path.rename

    def begin_and_rename(self: Path, target: Path) -> Path:
        if self.name == parent.key and not begun:
            begun.append(store.draft(Payload("pft", 1, {}, {"policy": parent.key})))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", begin_and_rename)
    gc(store)
    assert store.artifact(parent.key, deep=True) and store.artifact(grandparent.key, deep=True)
    assert begun[0].publish({}, {}).parents == {"policy": parent.key}


def test_a_draft_whose_record_a_power_cut_tore_does_not_stop_collection(
    store: Store, publish: Publish
) -> None:
    loose = publish(0)
    draft = store.draft(Payload("pft", 1, {}))
    (draft.folder / "payload.json").chmod(0o644)
    (draft.folder / "payload.json").write_bytes(b"")
    assert {item.name for item in gc(store).items if item.kind == "artifact"} == {loose.key}


def test_children_go_before_their_parents(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [publish(0)]
    for number in range(1, 6):
        chain.append(publish(number, parents={"p": chain[-1].key}))
    removed: list[str] = []
    rename = Path.rename

    def watch(self: Path, target: Path) -> Path:
        removed.append(self.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watch)
    gc(store)
    assert removed == [artifact.key for artifact in reversed(chain)]


def test_a_wanted_artifact_that_cannot_be_read_stops_collection(store: Store, publish: Publish) -> None:
    parent = publish(0)
    child = publish(1, parents={"p": parent.key})
    store.pin("mine", [child.key])
    (child.folder / "manifest.json").write_bytes(b"{")
    with pytest.raises(CorruptArtifact, match=r"repair .* first"):
        gc(store)
    assert store.has(parent.key)


def test_an_unwanted_artifact_that_cannot_be_read_is_left_for_verify(store: Store, publish: Publish) -> None:
    broken, loose = publish(0), publish(1)
    (broken.folder / "manifest.json").write_bytes(b"{")
    assert [item.name for item in gc(store).items if item.kind == "artifact"] == [loose.key]
    assert verify(store.layout, store.keys()).findings[0].key == broken.key


def test_leftovers_of_killed_processes_go(store: Store, publish: Publish) -> None:
    code = """
import os, sys
from store import Draft, Payload, Store
store = Store.open(sys.argv[1])
for number in range(2):
    draft = store.draft(Payload("sft", 1, {"number": number}))
    (draft.scratch / "optimizer").write_bytes(b"x" * 100)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, str(store.root)], check=False)
    store.pin("mine", [publish(0).key])  # takes over and finishes one of the two drafts
    half, now = store.root / "plans" / ".half.json.abc", store.root / "plans" / ".being-written"
    half.write_bytes(b"{")
    os.utime(half, (0, 0))
    now.write_bytes(b"{")
    (store.root / "trash" / f"{'a' * 64}.half-removed").mkdir()
    assert [item.kind for item in gc(store, grace=3600, dry_run=True).items] == ["leftover"] * 2, (
        "a draft may be resumed"
    )
    assert sorted(item.kind for item in gc(store).items) == ["draft", "leftover", "leftover"]
    assert not list(store.layout.drafts.iterdir()) and not list(store.layout.trash.iterdir())
    assert now.exists() and not half.exists()


def test_blobs_that_a_killed_publisher_left_go(store: Store, publish: Publish) -> None:
    artifact = publish(0)
    orphan = store.layout.blob("f" * 64)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"orphan")
    store.pin("mine", [artifact.key])
    assert [item.kind for item in gc(store, grace=3600).items] == []
    done = gc(store)
    assert [(item.kind, item.bytes) for item in done.items] == [("blob", 6)] and not orphan.exists()


def test_demote_drops_bytes_and_keeps_the_record(store: Store, publish: Publish) -> None:
    files = {"adapter.bin": b"a" * 10, "optimizer.bin": b"o" * 1000, "rng/optimizer.json": b"{}"}
    sft, other = publish(1, files), publish(2, {"optimizer.bin": b"p" * 7}, stage="gen")
    patterns = {"sft": ["optimizer*", "*/optimizer*"]}
    planned = demote(store.layout, store.keys(), patterns, dry_run=True)
    assert store.artifact(sft.key).path("optimizer.bin").exists()
    done = demote(store.layout, store.keys(), patterns, dry_run=False)
    assert planned == done and done.freed == 1002 and [item.name for item in done.items] == [sft.key]
    opened = store.artifact(sft.key, deep=True)
    assert opened.dropped == {"optimizer.bin", "rng/optimizer.json"} and opened.size == 10
    assert opened.files["optimizer.bin"].size == 1000 and opened.path("adapter.bin").exists()
    with pytest.raises(MissingArtifact, match="was dropped to save space"):
        opened.path("optimizer.bin")
    assert store.artifact(other.key).path("optimizer.bin").exists()
    assert verify(store.layout, store.keys(), deep=True).findings == ()
    assert demote(store.layout, store.keys(), patterns, dry_run=False).items == ()


def test_collection_beside_running_workers(store: Store) -> None:
    code = """
import sys
from store import Draft, Payload, Store
store = Store.open(sys.argv[1])
for turn in range(12):
    parent = None
    for number in range(4):
        identity = {"who": sys.argv[2], "turn": turn, "number": number}
        payload = Payload("sft", 1, identity, {"p": parent} if parent else {})
        with store.lease(payload.key):
            draft = store.draft(payload)
            if parent:
                store.artifact(parent, deep=True)
            (draft.files / "shared").write_bytes(b"everybody has this")
            (draft.files / "own").write_bytes(payload.key.encode())
            parent = draft.publish({}, {}).key
    store.pin(f"{sys.argv[2]}-{turn}", [parent])
"""
    workers = [subprocess.Popen([sys.executable, "-c", code, str(store.root), str(who)]) for who in range(4)]
    while any(worker.poll() is None for worker in workers):
        gc(store, grace=2.0)
        time.sleep(0.01)
    assert [worker.returncode for worker in workers] == [0] * 4
    gc(store)
    assert len(list(store.keys())) == 4 * 12 * 4
    assert verify(store.layout, store.keys(), deep=True).findings == ()
