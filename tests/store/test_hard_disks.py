"""Full disks, read-only stores, files larger than memory, and many publishers at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from storekit import Publish

from store import Store
from store.check import verify

FULL_DISK = """
import json, sys
from pathlib import Path
from store import Payload, Store
from store.check import verify
from store.errors import NoSpace

disk = Path(sys.argv[1])
store = Store.open(disk / "store", create=True)
outcomes = []
for free_kib in [0, 4, 8, 16, 32, 64, 128, 208, 212, 216, 220, 224, 256, 512, 768, 1024, 2048]:
    payload = Payload("sft", 1, {"free": free_kib})
    ballast = disk / "ballast"
    draft = store.draft(payload)
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() // 4096 * 4096 - free_kib * 1024))
    failures = []
    def attempt(name, work):
        try:
            work()
        except NoSpace as error:
            assert "no space left" in str(error), error
            failures.append(name)
    def fill():
        for number in range(4):
            if not (draft.files / str(number)).exists():
                with draft.create(str(number)) as file:
                    file.write(b"%d" % number * 50_000 + payload.key.encode())
    def record():
        with store.attempt(payload.key):
            pass
    def lease():
        with store.lease(payload.key) as held:
            held.check()
    attempt("fill", fill)
    if not failures:
        attempt("publish", lambda: draft.publish({}, {"why": "x" * 5000}))
    attempt("attempt", record)
    attempt("lease", lease)
    attempt("plan", lambda: store.save_plan({"cells": [], "free": free_kib}))
    attempt("index", lambda: store.index().refresh())
    published = store.has(payload.key)
    assert published == (not {"fill", "publish"} & set(failures))
    assert verify(store.layout, store.keys(), deep=True).findings == ()
    ballast.unlink()
    if not published:
        for path in draft.files.glob("*") if "fill" in failures else []:
            path.unlink()
        fill()
        draft.publish({}, {})
    record(); lease(); store.save_plan({"cells": [], "free": free_kib})
    assert store.index().query("SELECT count(*) FROM artifacts").rows == [(len(list(store.keys())),)]
    assert verify(store.layout, store.keys(), deep=True).findings == ()
    outcomes.append(failures)
print(json.dumps(outcomes))
"""

READ_ONLY = """
import sys
from pathlib import Path
from store import Payload, Store
from store.check import verify
from store.errors import ReadOnlyStore
store = Store.open(sys.argv[1])
key = sys.argv[2]
assert store.artifact(key, deep=True).path("weights.bin").read_bytes() == b"7"
assert verify(store.layout, store.keys(), deep=True).findings == ()
for _ in range(2):
    assert store.index().query("SELECT count(*) FROM artifacts").rows == [(int(sys.argv[3]),)]
assert len(store.hash_path(Path(sys.executable))) == 64
for work in (
    lambda: store.draft(Payload("sft", 1, {})), lambda: store.save_plan({}), lambda: store.pin("x", [key]),
    lambda: store.lease(key).__enter__(), lambda: store.attempt(key).__enter__(),
):
    try:
        work()
    except ReadOnlyStore as error:
        assert "read-only" in str(error)
    else:
        raise AssertionError("written to a read-only store")
print("ok")
"""


def in_own_mounts(script: str, *arguments: str) -> str:
    """Run a shell line where mounting is allowed and nobody else sees the mounts."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", script, "-", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_loses_nothing_and_work_goes_on_when_there_is_space(tmp_path: Path) -> None:
    mount_and_run = 'mount -t tmpfs -o size=8m full "$1"; shift; exec "$@"'
    output = in_own_mounts(mount_and_run, str(tmp_path), sys.executable, "-c", FULL_DISK, str(tmp_path))
    outcomes = json.loads(output)
    stages = {name for failures in outcomes for name in failures}
    assert {"fill", "publish", "attempt", "lease", "plan", "index"} <= stages, (
        "the disk was not full often enough"
    )
    assert outcomes[-1] == [], "the last round had space for everything"


@pytest.mark.parametrize("indexed", [True, False])
def test_a_read_only_store_can_be_read_and_queried(store: Store, publish: Publish, indexed: bool) -> None:
    key = publish(7).key
    if indexed:
        store.index().refresh()
    publish(8)
    protect_and_run = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"'
    arguments = [str(store.root), sys.executable, "-c", READ_ONLY, str(store.root), key, "2"]
    assert in_own_mounts(protect_and_run, *arguments) == "ok\n"


PUBLISHER = """
import sys
from store import Payload, Store
store = Store.open(sys.argv[1])
payload = Payload("sft", 1, {"number": int(sys.argv[3])})
draft = store.draft(payload)
for number in range(20):
    (draft.files / str(number)).write_bytes(b"%d" % number * 1000)
(draft.files / "who").write_text(sys.argv[2])
sys.stdin.readline()
print(draft.publish({}, {"who": sys.argv[2]}).provenance["who"])
"""


@pytest.mark.parametrize("same", [True, False], ids=["same key", "different keys"])
def test_sixteen_processes_publish_at_once(store: Store, same: bool) -> None:
    def start(who: int) -> subprocess.Popen[str]:
        arguments = [str(store.root), str(who), "0" if same else str(who)]
        command = [sys.executable, "-c", PUBLISHER, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    processes = [start(who) for who in range(16)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    winners = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 16
    assert len(set(winners)) == (1 if same else 16)
    assert len(list(store.keys())) == (1 if same else 16)
    assert verify(store.layout, store.keys(), deep=True).findings == ()
    for artifact in store.artifacts():
        assert artifact.path("who").read_text() == artifact.provenance["who"]
        assert artifact.path("7").stat().st_nlink == (2 if same else 17)
    assert not list(store.layout.drafts.iterdir())


LARGE_FILE = """
import sys, threading, time
from store import Payload, Store
from store.check import verify
peak, done = [0], threading.Event()

def watch():
    while not done.wait(0.005):
        status = open("/proc/self/status").read()
        peak[0] = max(peak[0], int(status.split("RssAnon:")[1].split()[0]))

threading.Thread(target=watch, daemon=True).start()
store = Store.open(sys.argv[1], create=True)
draft = store.draft(Payload("base", 1, {}))
with (draft.files / "model").open("wb") as file:
    file.truncate(20_000_000_000)
    for position in range(0, 20_000_000_000, 500_000_000):
        file.seek(position)
        file.write(b"not all of it is a hole")
key = draft.publish({}, {}).key
assert verify(store.layout, [key], deep=True).bytes == 20_000_000_000
done.set()
print(peak[0])
"""


@pytest.mark.slow
def test_twenty_gigabytes_are_published_and_verified_in_little_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LARGE_FILE, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=True,
    )
    (store,) = tmp_path.iterdir()
    for path in store.rglob("model"):
        path.unlink()
    assert int(done.stdout) < 300_000, f"{done.stdout.strip()} kB of memory beside mapped files"
