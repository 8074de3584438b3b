"""Hypothesis drives publishing, opening, leasing, killing, damaging, collecting and verifying against a model."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from crash_driver import in_fork, killed_at
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from storekit import QUICK

from store import Lease, Payload, Store
from store.check import repair, verify
from store.collect import collect
from store.errors import CorruptArtifact, LeasedElsewhere, LeaseLost, MissingArtifact

NUMBERS = st.integers(0, 5)


class StoreMachine(RuleBasedStateMachine):
    """The model: which numbers are published, pinned, damaged and leased. Number n has n - 1 as its parent."""

    def __init__(self) -> None:
        super().__init__()
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(dir=memory))
        self.store = Store.open(self.folder / "store", create=True, pace=QUICK)
        self.published: set[int] = set()
        self.pinned: set[int] = set()
        self.damaged: set[int] = set()
        self.tried_again: set[int] = set()
        self.held: dict[int, tuple[contextlib.ExitStack, Lease]] = {}

    def teardown(self) -> None:
        for stack, _ in self.held.values():
            stack.close()
        shutil.rmtree(self.folder)

    @staticmethod
    def payload(number: int) -> Payload:
        parents = {"parent": StoreMachine.payload(number - 1).key} if number else {}
        return Payload("sft", 1, {"number": number}, parents)

    def key(self, number: int) -> str:
        return self.payload(number).key

    def make(self, number: int) -> Any:
        self.tried_again |= self.damaged & {number}
        draft = Store.open(self.store.root, pace=QUICK).draft(self.payload(number))
        (draft.scratch / "checkpoint").write_bytes(b"half-way")
        (draft.files / "own").write_bytes(b"content %d" % number)
        (draft.files / "shared").write_bytes(b"the same in all")
        return draft.publish({"number": number}, {})

    @rule(number=NUMBERS)
    def publish(self, number: int) -> None:
        artifact = self.make(number)
        assert artifact.path("own").read_bytes() == b"content %d" % number or number in self.damaged
        self.published.add(number)

    @rule(number=NUMBERS, point=st.integers(1, 45))
    def publish_and_be_killed(self, number: int, point: int) -> None:
        self.tried_again |= self.damaged & {number}
        status = in_fork(killed_at(point, lambda: self.make(number)))
        assert status in {0, -signal.SIGKILL}
        assert self.store.has(self.key(number)) or status != 0
        if self.store.has(self.key(number)):
            self.published.add(number)

    @rule(number=NUMBERS)
    def open(self, number: int) -> None:
        try:
            artifact = Store.open(self.store.root).artifact(self.key(number), deep=True)
            assert number in self.published - self.damaged
            assert artifact.path("own").read_bytes() == b"content %d" % number
        except MissingArtifact:
            assert number not in self.published
        except CorruptArtifact:
            assert number in self.damaged

    @rule(number=NUMBERS)
    def pin(self, number: int) -> None:
        self.store.pin(f"pin-{number}", [self.key(number)])
        self.pinned.add(number)

    @precondition(lambda self: self.pinned)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.pinned)))
        self.store.unpin(f"pin-{number}")
        self.pinned.remove(number)

    @precondition(lambda self: not self.damaged)
    @rule()
    def collect(self) -> None:
        wanted: set[int] = set()
        for root in self.pinned | set(self.held):
            number = root
            while number in self.published:  # lineage is known only as far as artifacts tell of it
                wanted.add(number)
                number -= 1
        collect(self.store.layout, self.store.roots(), grace=0, dry_run=False)
        self.published = wanted
        assert not list(self.store.layout.drafts.iterdir())

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.published)))
        path = self.store.layout.artifact(self.key(number)) / "files" / "own"
        path.chmod(0o644)
        path.write_bytes(b"CONTENT %d" % number)
        self.damaged.add(number)

    @rule()
    def verify(self) -> None:
        findings = verify(self.store.layout, self.store.keys(), deep=True).findings
        assert {finding.key for finding in findings} == {self.key(number) for number in self.damaged}

    @rule()
    def repair(self) -> None:
        done = repair(self.store.layout, self.store.keys())
        assert {entry.key for entry in done} == {self.key(number) for number in self.damaged}
        kept = {number for number in self.damaged if self.store.has(self.key(number))}
        assert kept <= self.tried_again, "restored from bytes that nobody wrote again"
        assert verify(self.store.layout, self.store.keys(), deep=True).findings == ()
        self.published -= self.damaged - kept
        self.damaged.clear()
        self.tried_again.clear()

    @rule(number=NUMBERS, steal=st.booleans())
    def lease(self, number: int, steal: bool) -> None:
        stack = contextlib.ExitStack()
        try:
            lease = stack.enter_context(self.store.lease(self.key(number), steal=steal))
        except LeasedElsewhere:
            assert number in self.held and not steal
            return
        assert number not in self.held or steal
        if number in self.held:
            old_stack, old = self.held.pop(number)
            with pytest.raises(LeaseLost):
                old.check()
            old_stack.close()
        lease.check()
        self.held[number] = (stack, lease)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        stack, lease = self.held.pop(number)
        lease.check()
        stack.close()

    @invariant()
    def holds_what_was_published(self) -> None:
        assert set(self.store.keys()) == {self.key(number) for number in self.published}

    @invariant()
    def knows_who_holds_leases(self) -> None:
        assert {record.name for record in self.store.leases()} == {self.key(number) for number in self.held}


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
