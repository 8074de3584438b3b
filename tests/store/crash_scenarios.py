"""What the crash tests do to a store, and what must hold after any kill. Run by `crash_driver.py`.

Each scenario prepares a store, does something to it (this is what gets killed), and then recovers: recovery asserts
that nothing was lost or is wrong, and that the next attempt succeeds.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from store import LeasePace, Payload, Store
from store.check import repair, verify
from store.collect import collect, demote
from store.index import Index
from store.remote import Remote
from store.transfer import fetcher, pull, push

PACE = LeasePace(beat=0.02, patience=0.2)


def opened(folder: Path, name: str = "store") -> Store:
    return Store.open(folder / name, create=True, pace=PACE)


def payload(number: int, parents: dict[str, str] | None = None) -> Payload:
    return Payload("sft", 1, {"number": number}, parents or {})


def publish(store: Store, number: int, parents: dict[str, str] | None = None) -> str:
    draft = store.draft(payload(number, parents))
    (draft.files / "deep").mkdir(exist_ok=True)
    (draft.files / "own").write_bytes(b"%d" % number * 1000)
    (draft.files / "deep" / "shared").write_bytes(b"shared" * 1000)
    with draft.create("streamed") as file:
        file.write(b"s%d" % number)
    return draft.publish({"loss": number / 4}, {}).key


def check_whole(store: Store, *keys: str) -> None:
    """Nothing in the store is damaged, and `keys` are in it."""
    findings = verify(store.layout, store.keys(), deep=True).findings
    assert findings == (), findings
    for key in keys:
        store.artifact(key, deep=True)


def check_index(store: Store) -> None:
    """The index says what the records say."""
    rows = store.index().query("SELECT key FROM artifacts ORDER BY key").rows
    assert [key for (key,) in rows] == list(store.keys())
    losses = store.index().query("SELECT count(*) FROM metrics WHERE name = 'loss'").rows
    assert losses == [(len(rows),)], losses


@dataclass(frozen=True)
class Scenario:
    """`prepare` and `recover` are left alone; `work` is killed."""

    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    recover: Callable[[Path], None]


def _prepare_publish(folder: Path) -> None:
    store = opened(folder)
    publish(store, 0)
    draft = store.draft(payload(1))
    (draft.files / "half").write_bytes(b"of an attempt that was killed")
    (draft.scratch / "checkpoint").write_bytes(b"step 7")
    # what a killed process of this machine would have left: a pid that cannot exist
    draft.folder.rename(draft.folder.with_name(draft.folder.name.replace(f".{os.getpid()}.", ".4194999.")))


def _work_publish(folder: Path) -> None:
    publish(opened(folder), 1, {"base": payload(0).key})


def _prepare_publish_with_parent(folder: Path) -> None:
    _prepare_publish(folder)
    store = opened(folder)
    (old,) = store.layout.drafts.iterdir()
    child = payload(1, {"base": payload(0).key})
    (old / "payload.json").write_bytes(child.canonical_json())
    old.rename(old.with_name(old.name.replace(payload(1).key, child.key)))


def _recover_publish(folder: Path) -> None:
    store, child = opened(folder), payload(1, {"base": payload(0).key})
    check_whole(store, payload(0).key)
    if not store.has(child.key):
        draft = store.draft(child)
        assert draft.resumed and (draft.scratch / "checkpoint").read_bytes() == b"step 7", (
            "the checkpoint was lost"
        )
        assert not list(draft.files.iterdir()), "a half-written file would have been published"
        draft.folder.rename(
            draft.folder.with_name(draft.folder.name.replace(f".{os.getpid()}.", ".4194999."))
        )
    publish(store, 1, {"base": payload(0).key})
    check_whole(store, payload(0).key, child.key)
    store.pin("all", [child.key])
    collect(store.layout, store.roots(), grace=0, dry_run=False)
    check_whole(store, payload(0).key, child.key)
    assert not list(store.layout.drafts.iterdir())
    assert len(list(store.root.glob("blobs/??/*"))) == 5, "a leftover blob, or one too few"


def _prepare_lease(folder: Path) -> None:
    store = opened(folder)
    with store.lease("ab" * 32):
        path = store.layout.lease("ab" * 32)
        content = path.read_bytes()
    path.write_bytes(content.replace(f'"pid": {os.getpid()}'.encode(), b'"pid": 4194999'))


def _work_lease(folder: Path) -> None:
    with opened(folder).lease("ab" * 32) as lease:
        lease.check()


def _recover_lease(folder: Path) -> None:
    store = opened(folder)
    with store.lease("ab" * 32, wait=5) as lease:
        lease.check()
    assert store.leased_by("ab" * 32) is None


def _prepare_records(folder: Path) -> None:
    opened(folder).save_plan({"cells": [], "first": "1" * 64})


def _work_records(folder: Path) -> None:
    store = opened(folder)
    with store.attempt("cd" * 32, stage="sft"):
        store.save_plan({"cells": [], "second": "2" * 64})
        store.pin("mine", ["3" * 64])
        store.pin("mine", ["4" * 64])


def _recover_records(folder: Path) -> None:
    store = opened(folder)
    assert "1" * 64 in store.roots() and len(store.attempts("cd" * 32)) <= 1
    _work_records(folder)
    assert store.roots() == {"1" * 64, "2" * 64, "4" * 64}
    assert store.attempts("cd" * 32)[-1].outcome == "published"


def _prepare_collect(folder: Path) -> None:
    store = opened(folder)
    kept = publish(store, 0)
    store.pin("kept", [publish(store, 1, {"p": kept})])
    loose = publish(store, 2)
    publish(store, 3, {"p": loose})


def _work_collect(folder: Path) -> None:
    store = opened(folder)
    collect(store.layout, store.roots(), grace=0, dry_run=False)


def _recover_collect(folder: Path) -> None:
    store = opened(folder)
    kept = [payload(0).key, payload(1, {"p": payload(0).key}).key]
    check_whole(store, *kept)
    for artifact in store.artifacts():
        assert all(store.has(parent) for parent in artifact.parents.values()), (
            "a parent went before its child"
        )
    _work_collect(folder)
    assert list(store.keys()) == sorted(kept)
    assert not [path for path in store.layout.trash.iterdir() if path.is_dir()]
    assert len(list(store.root.glob("blobs/??/*"))) == 5
    publish(store, 2)
    check_whole(store, *kept)


def _work_demote(folder: Path) -> None:
    store = opened(folder)
    demote(store.layout, store.keys(), {"sft": ["own"]}, dry_run=False)


def _recover_demote(folder: Path) -> None:
    store = opened(folder)
    check_whole(store)
    _work_demote(folder)
    for artifact in store.artifacts():
        assert artifact.dropped == {"own"} and not (artifact.path() / "own").exists()
        assert artifact.path("deep/shared").exists()


def _prepare_index(folder: Path) -> None:
    store = opened(folder)
    publish(store, 0)
    store.index().refresh()
    publish(store, 1)
    store.save_plan({"cells": [{"name": "c", "axes": {}, "stages": {}, "result": payload(1).key}]})
    store.quarantine(payload(0).key, "so that the index has something to remove")


def _work_index(folder: Path) -> None:
    index = opened(folder).index()
    assert index.query("SELECT count(*) FROM artifacts").rows == [(1,)]


def _work_rebuild(folder: Path) -> None:
    Index(opened(folder).layout).rebuild()


def _recover_index(folder: Path) -> None:
    store = opened(folder)
    check_index(store)
    assert store.index().query("SELECT cell, value FROM sweep").rows == [("c", 0.25)]
    check_whole(store, payload(1).key)


def _prepare_repair(folder: Path) -> None:
    store = opened(folder)
    keys = [publish(store, number) for number in range(3)]
    push(store, Remote(str(folder / "remote")), keys)
    for key, name in ((keys[0], "own"), (keys[1], "deep/shared")):
        path = store.artifact(key).path(name)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().swapcase()[::-1])
    (store.layout.artifact(keys[2]) / "files" / "own").unlink()


def _work_repair(folder: Path) -> None:
    store = opened(folder)
    repair(store.layout, store.keys(), fetch=fetcher([Remote(str(folder / "remote"))]))


def _recover_repair(folder: Path) -> None:
    _work_repair(folder)
    check_whole(opened(folder), *(payload(number).key for number in range(3)))


def _prepare_transfer(folder: Path) -> None:
    store = opened(folder)
    publish(store, 1, {"p": publish(store, 0)})
    push(store, Remote(str(folder / "remote")), [payload(0).key])


def _work_push(folder: Path) -> None:
    push(opened(folder), Remote(str(folder / "remote")), [payload(1, {"p": payload(0).key}).key])


def _work_pull(folder: Path) -> None:
    pull(opened(folder, "other"), Remote(str(folder / "remote")), [payload(1, {"p": payload(0).key}).key])


def _prepare_pull(folder: Path) -> None:
    _prepare_transfer(folder)
    _work_push(folder)
    opened(folder, "other")


def _recover_transfer(folder: Path) -> None:
    remote = Remote(str(folder / "remote"))
    fresh = opened(folder, "fresh")
    pull(fresh, remote, remote.keys())
    check_whole(fresh, *remote.keys())
    check_whole(opened(folder, "other"))
    _work_push(folder)
    _work_pull(folder)
    check_whole(opened(folder, "other"), payload(0).key, payload(1, {"p": payload(0).key}).key)


def _recover_creation(folder: Path) -> None:
    check_whole(opened(folder), publish(opened(folder), 1))


def _work_migrate(folder: Path) -> None:
    opened(folder).migrate(lambda old: Payload(old.stage, 2, old.identity, old.parents, old.schema))


def _recover_migrate(folder: Path) -> None:
    store = opened(folder)
    check_whole(store)
    _work_migrate(folder)
    parent = Payload("sft", 2, {"number": 0})
    assert store.artifact(parent.key).key == payload(0).key
    assert store.artifact(Payload("sft", 2, {"number": 1}, {"p": parent.key}).key).parents == {
        "p": payload(0).key
    }


def random_work(folder: Path, seed: int, log: int) -> None:
    """Do everything at random until killed; what is written to `log` was promised to last."""
    chance, store = random.Random(seed), opened(folder)
    while True:
        number = chance.randrange(60)
        key = payload(number).key
        with store.lease(key, wait=5), store.attempt(key, stage="sft"):
            if not store.has(key):
                draft = store.draft(payload(number))
                (draft.scratch / "checkpoint").write_bytes(b"x" * 5000)
                publish(store, number)
        if number % 2:
            store.pin(f"pin-{number}", [key])
            os.write(log, f"{key}\n".encode())
        if chance.random() < 0.3:
            store.index().refresh()
        if chance.random() < 0.3:
            collect(store.layout, store.roots(), grace=0, dry_run=False)


SCENARIOS = {
    "create": Scenario(lambda folder: None, lambda folder: (opened(folder), None)[1], _recover_creation),
    "publish": Scenario(_prepare_publish_with_parent, _work_publish, _recover_publish),
    "lease": Scenario(_prepare_lease, _work_lease, _recover_lease),
    "records": Scenario(_prepare_records, _work_records, _recover_records),
    "collect": Scenario(_prepare_collect, _work_collect, _recover_collect),
    "demote": Scenario(_prepare_collect, _work_demote, _recover_demote),
    "index": Scenario(_prepare_index, _work_index, _recover_index),
    "reindex": Scenario(_prepare_index, _work_rebuild, _recover_index),
    "repair": Scenario(_prepare_repair, _work_repair, _recover_repair),
    "push": Scenario(_prepare_transfer, _work_push, _recover_transfer),
    "pull": Scenario(_prepare_pull, _work_pull, _recover_transfer),
    "migrate": Scenario(_prepare_collect, _work_migrate, _recover_migrate),
}
