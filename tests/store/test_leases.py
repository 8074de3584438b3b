"""Leases: one holder at a time, dead and silent ones replaced, and a loser that notices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from store import LeasePace, Payload, Store
from store.errors import LeasedElsewhere, LeaseLost
from store.process import Holder

KEY = "ab" * 32

HOLD = """
import sys, time
from store import LeasePace, Store
store = Store.open(sys.argv[1], pace=LeasePace(beat=0.05, patience=1.5))
with store.lease(sys.argv[2], note="cell 7") as lease:
    print("held", flush=True)
    for _ in range(600):
        time.sleep(0.05)
        lease.check()
"""


@contextmanager
def holder(store: Store, key: str = KEY) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.root), key],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_lease_is_held_once_and_says_by_whom(store: Store) -> None:
    with holder(store) as process:
        with (
            pytest.raises(LeasedElsewhere, match=rf"pid {process.pid} on .* \(cell 7\).*--steal"),
            store.lease(KEY),
        ):
            pass
        record = store.leased_by(KEY)
        assert record is not None and record.holder is not None
        assert (record.holder.pid, record.note, record.name) == (process.pid, "cell 7", KEY)
        assert [lease.name for lease in store.leases()] == [KEY]


def test_leaving_a_lease_frees_it(store: Store) -> None:
    for _ in range(3):
        with store.lease(KEY) as lease:
            lease.check()
    assert store.leases() == []
    assert store.leased_by(KEY) is None


def test_the_counter_advances_and_keeps_a_slow_holder_safe(store: Store) -> None:
    with holder(store):
        deadline = time.monotonic() + 3 * store.pace.patience
        while time.monotonic() < deadline:
            with pytest.raises(LeasedElsewhere), store.lease(KEY, wait=0.2):
                pass


def test_a_dead_holder_on_this_host_is_replaced_at_once(store: Store) -> None:
    with holder(store) as process:
        process.kill()
        process.wait()
        assert store.leased_by(KEY) is None
        start = time.monotonic()
        with store.lease(KEY) as lease:
            lease.check()
        assert time.monotonic() - start < store.pace.patience / 2


def test_a_reused_pid_is_not_taken_for_the_holder() -> None:
    me = Holder.current()
    assert not me.is_dead()
    assert replace(me, started=me.started - 1).is_dead()
    assert not replace(me, started=me.started - 1, machine="another boot").is_dead()
    assert not replace(me, started=me.started - 1, machine="").is_dead()


def test_a_frozen_holder_is_replaced_and_notices_when_it_wakes(store: Store) -> None:
    with holder(store) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(LeasedElsewhere), store.lease(KEY):
            pass
        with store.lease(KEY, wait=10 * store.pace.patience) as lease:
            os.kill(process.pid, signal.SIGCONT)
            _, errors = process.communicate(timeout=20)
            assert "LeaseLost" in errors and "must stop" in errors
            lease.check()
            assert [record.name for record in store.leases()] == [KEY]


def test_a_frozen_publisher_that_wakes_after_another_published_changes_nothing(store: Store) -> None:
    payload = Payload("sft", 1, {"frozen": True})
    code = """
import sys, time
from store import LeasePace, Payload, Store
store = Store.open(sys.argv[1], pace=LeasePace(beat=0.05, patience=1.5))
payload = Payload("sft", 1, {"frozen": True})
with store.lease(payload.key):
    draft = store.draft(payload)
    file = (draft.files / "w").open("wb", buffering=0)
    file.write(b"slow")
    (draft.scratch / "step").write_text("7")
    print("held", flush=True)
    sys.stdin.readline()
    file.write(b" and wrong")
    print(draft.publish({}, {"by": "slow"}).provenance["by"], flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    os.kill(process.pid, signal.SIGSTOP)
    with store.lease(payload.key, wait=10):
        draft = store.draft(payload)
        assert draft.resumed
        (draft.files / "w").write_bytes(b"quick")
        draft.publish({}, {"by": "quick"})
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate("\n", timeout=20)
    assert output == "quick\n"
    assert store.artifact(payload.key, deep=True).path("w").read_bytes() == b"quick"
    assert not list(store.layout.drafts.iterdir())


def test_stealing_makes_the_holder_lose(store: Store) -> None:
    with store.lease(KEY) as mine, store.lease(KEY, note="thief", steal=True) as thief:
        with pytest.raises(LeaseLost, match="thief"):
            mine.check()
        time.sleep(4 * store.pace.beat)
        thief.check()


def test_a_holder_whose_file_was_removed_notices(store: Store) -> None:
    with store.lease(KEY) as lease:
        store.layout.lease(KEY).unlink()
        with pytest.raises(LeaseLost, match="its file is gone"):
            lease.check()


def test_an_unsigned_lease_left_by_a_kill_goes_stale(store: Store) -> None:
    store.layout.lease(KEY).write_bytes(b"")
    with pytest.raises(LeasedElsewhere, match="has not signed"), store.lease(KEY):
        pass
    with store.lease(KEY, wait=5) as lease:
        lease.check()


def test_a_holder_on_another_machine_goes_stale_only_by_silence(store: Store, tmp_path: Path) -> None:
    with holder(store) as process:
        path = store.layout.lease(KEY)
        process.kill()
        process.wait()
        path.write_bytes(
            path.read_bytes().replace(Holder.current().machine.encode(), b"m" * len(Holder.current().machine))
        )
        start = time.monotonic()
        with store.lease(KEY, wait=10):
            assert time.monotonic() - start >= store.pace.patience


def test_sixteen_processes_that_break_one_dead_lease_leave_one_holder(store: Store) -> None:
    with holder(store) as process:
        process.kill()
        process.wait()
        code = HOLD.replace("range(600)", "range(8)")
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(store.root), KEY],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(16)
        ]
        ends = [racer.communicate(timeout=60) for racer in racers]
        winners = [racer for racer in racers if racer.returncode == 0]
        assert winners, "nobody got the lease"
        for racer, (_, errors) in zip(racers, ends, strict=True):
            assert racer.returncode == 0 or b"LeasedElsewhere" in errors or b"LeaseLost" in errors, errors
    assert store.leases() == []


def test_default_pace_outlasts_a_busy_disk() -> None:
    assert LeasePace().patience >= 5 * LeasePace().beat
