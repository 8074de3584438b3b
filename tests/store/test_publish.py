"""Publishing: whole or not at all, once, shared by content, and refused where it would be unsafe."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from storekit import Publish

from store import Payload, Store
from store.errors import (
    AmbiguousKey,
    CorruptArtifact,
    KeyNotFound,
    MissingArtifact,
    NewerStore,
    StoreError,
    UsageError,
)


def test_what_was_written_comes_back(store: Store, publish: Publish) -> None:
    metrics = {"acc": 0.5, "note": "n", "ok": True, "no": None}
    artifact = publish(
        1,
        {"a b/ü 数.txt": b"x" * 10, "empty": b""},
        metrics={"acc": 0.5, "note": "n", "ok": True, "no": None},
    )
    opened = store.artifact(artifact.key)
    assert opened == artifact
    assert opened.path("a b/ü 数.txt").read_bytes() == b"x" * 10
    assert opened.path() == opened.folder / "files"
    assert opened.metrics == metrics
    assert opened.files["empty"].size == 0
    assert opened.path("a b").is_dir()


def test_nothing_exists_before_publish_and_the_draft_is_gone_after(store: Store) -> None:
    payload = Payload("sft", 1, {})
    draft = store.draft(payload)
    (draft.files / "w").write_bytes(b"1")
    (draft.scratch / "checkpoint").write_bytes(b"big")
    assert not store.has(payload.key)
    artifact = draft.publish({}, {})
    assert store.has(payload.key)
    assert not draft.folder.exists()
    assert sorted(path.name for path in artifact.folder.rglob("*")) == ["files", "manifest.json", "w"]


def test_equal_bytes_are_stored_once_and_read_only(store: Store, publish: Publish) -> None:
    first = publish(1, {"w": b"same"})
    second = publish(2, {"v": b"same", "u": b"same"})
    inodes = {first.path("w").stat().st_ino, second.path("v").stat().st_ino, second.path("u").stat().st_ino}
    assert inodes == {store.layout.blob(first.files["w"].hash).stat().st_ino}
    assert first.path("w").stat().st_mode & 0o222 == 0


def test_a_damaged_blob_is_not_shared_but_replaced(store: Store, publish: Publish) -> None:
    first = publish(1, {"w": b"same"})
    blob = store.layout.blob(first.files["w"].hash)
    blob.chmod(0o644)
    blob.write_bytes(b"sAme")
    second = publish(2, {"w": b"same"})
    assert second.path("w").read_bytes() == b"same"
    assert blob.read_bytes() == b"same"


def test_first_publisher_wins(store: Store) -> None:
    payload = Payload("sft", 1, {})
    one, two = store.draft(payload), store.draft(payload)
    (one.files / "w").write_bytes(b"first")
    (two.files / "w").write_bytes(b"second")
    assert one.publish({}, {}).path("w").read_bytes() == b"first"
    assert two.publish({}, {}).path("w").read_bytes() == b"first"
    assert not two.folder.exists()


def test_a_broken_artifact_gives_way_to_a_new_one(store: Store, publish: Publish) -> None:
    broken = publish(1)
    manifest = broken.folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:100])
    with pytest.raises(CorruptArtifact, match="is broken"):
        store.artifact(broken.key)
    again = publish(1)
    assert store.artifact(again.key).path("weights.bin").read_bytes() == b"1"


def test_hashing_while_writing_gives_the_same_hash(store: Store, publish: Publish) -> None:
    draft = store.draft(Payload("sft", 1, {"streamed": True}))
    with draft.create("w") as file:
        for _ in range(100):
            file.write(b"0123456789" * 1000)
    streamed = draft.publish({}, {})
    assert streamed.files["w"] == publish(1, {"w": b"0123456789" * 100_000}).files["w"]


def test_a_file_changed_after_streaming_is_hashed_again(store: Store, publish: Publish) -> None:
    draft = store.draft(Payload("sft", 1, {"streamed": True}))
    with draft.create("w") as file:
        file.write(b"before")
    (draft.files / "w").write_bytes(b"after!")
    assert draft.publish({}, {}).files["w"] == publish(1, {"w": b"after!"}).files["w"]


def test_link_shares_the_file_and_follows_a_link_to_it(store: Store, tmp_path: Path) -> None:
    real = tmp_path / "model.bin"
    real.write_bytes(b"model")
    (tmp_path / "alias.bin").symlink_to(real)
    draft = store.draft(Payload("base", 1, {}))
    draft.link(tmp_path / "alias.bin", "deep/model.bin")
    with pytest.raises(UsageError, match="already has"):
        draft.link(real, "deep/model.bin")
    with pytest.raises(UsageError, match="is not a file"):
        draft.link(tmp_path / "absent", "absent")
    assert draft.publish({}, {}).path("deep/model.bin").stat().st_ino == real.stat().st_ino


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../b", "", "a//b", "a\x00b", "a\\b", "./a"])
def test_names_that_leave_the_artifact_are_refused(store: Store, tmp_path: Path, name: str) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"x")
    with pytest.raises(UsageError, match="not a name inside an artifact"):
        store.draft(Payload("base", 1, {})).link(source, name)


def test_symlinks_in_a_draft_are_refused(store: Store) -> None:
    draft = store.draft(Payload("base", 1, {}))
    (draft.files / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="only plain files can be published"):
        draft.publish({}, {})


def test_metrics_must_be_json(store: Store) -> None:
    draft = store.draft(Payload("base", 1, {}))
    with pytest.raises(UsageError, match="must be plain JSON"):
        draft.publish({"loss": float("nan")}, {})
    assert draft.publish({"loss": None}, {}).metrics == {"loss": None}


def test_a_file_system_without_links_stores_copies_and_says_so_once(
    store: Store,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    source = tmp_path / "model.bin"
    source.write_bytes(b"model")
    with caplog.at_level(logging.WARNING, logger="store"):
        first, second = publish(1, {"w": b"same"}), publish(2, {"w": b"same"})
        draft = store.draft(Payload("base", 1, {}))
        draft.link(source, "m")
        linked = draft.publish({}, {})
    assert first.path("w").stat().st_ino != second.path("w").stat().st_ino
    assert linked.path("m").read_bytes() == b"model"
    assert [
        record.message for record in caplog.records if "neither hard links nor reflinks" in record.message
    ] != []
    assert len([record for record in caplog.records if "neither hard links" in record.message]) == 1
    assert not list(store.root.glob("blobs/??/*"))


def test_keys_are_completed_and_ambiguity_is_refused(store: Store, publish: Publish) -> None:
    keys = sorted(publish(number, {}).key for number in range(40))
    assert list(store.keys()) == keys
    assert store.resolve(keys[0]) == keys[0]
    assert store.resolve(keys[0][:20]) == keys[0]
    shared = next(a for a, b in itertools.pairwise(keys) if a[0] == b[0])
    with pytest.raises(AmbiguousKey, match="give more digits"):
        store.resolve(shared[:1])
    for unknown in ("", "x", "ffffffffffff", "0" * 64, "../.."):
        with pytest.raises(KeyNotFound):
            store.resolve(unknown)
    with pytest.raises(MissingArtifact, match="is not in the store"):
        store.artifact("0" * 64)
    assert store.many_has([*keys, "0" * 64]) == {**dict.fromkeys(keys, True), "0" * 64: False}


def test_a_newer_store_is_refused(store: Store) -> None:
    (store.root / "VERSION").write_text('{"store": 2, "key_schema": 1}')
    with pytest.raises(NewerStore, match=r"layout 2 .* up to 1: update budgetctl"):
        Store.open(store.root)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a store"):
        Store.open(tmp_path)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        Store.open(tmp_path, create=True)
    (tmp_path / "VERSION").write_text("twelve")
    with pytest.raises(StoreError, match="not readable"):
        Store.open(tmp_path)


def test_threads_that_publish_the_same_bytes_under_many_keys(store: Store, publish: Publish) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            publish(number, {"shared": b"shared", "own": b"%d" % number})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({artifact.path("shared").stat().st_ino for artifact in store.artifacts()}) == 1
    assert not list(store.layout.drafts.iterdir())


def test_importing_the_store_is_light() -> None:
    heavy = ["duckdb", "pyarrow", "pydantic", "fsspec", "torch", "numpy"]
    code = f"import store, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
