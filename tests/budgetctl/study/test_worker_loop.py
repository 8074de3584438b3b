"""The worker over real stages in a real store: sharing, waiting, taking over, failing, stopping, time limits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from budgetctl.cli.app import app
from budgetctl.console import SilentReporter
from budgetctl.errors import BudgetctlError, InterruptedRunError
from budgetctl.stages.stage import Execution
from budgetctl.study import running
from budgetctl.study.board import StoreState
from budgetctl.study.build import plan_study
from budgetctl.study.deadline import TimeLimit
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import parse_recipe
from budgetctl.study.running import StageRunner
from budgetctl.study.state import MAX_DEATHS, StageState, given_up, state_of
from budgetctl.study.worker import RetryPolicy, Worker
from store import Payload, Store
from store.errors import LeasedElsewhere, NoSpace

SMALL = {"name": "small", "base": "tiny", "task": "arith", "budgets": [8, 12], "shares": [1, 0.5, 0]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def data_plan(store: Store, **changes: object) -> Plan:
    """The datasets of a small study: real stages without a model."""
    return plan_study(parse_recipe({**SMALL, **changes}), store).only("data")


def make_worker(store: Store, plan: Plan, **more: object) -> Worker:
    runner = StageRunner(store, Execution(sources={k: Path(v) for k, v in plan.sources.items()}), SilentReporter(),
                         lambda: False)  # fmt: skip
    arguments = {"runner": runner, "should_stop": lambda: False, **more}
    return Worker(plan, StoreState(store), reporter=SilentReporter(), **arguments)  # type: ignore[arg-type]


def start_worker(store: Store, plan: Plan, *options: str) -> subprocess.Popen[str]:
    plan_id = store.save_plan(plan.document())
    return subprocess.Popen(
        [sys.executable, "-m", "budgetctl", "worker", "--plan", plan_id, "--store", str(store.root), *options],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def holder_of(store: Store, key: str, then: str) -> subprocess.Popen[str]:
    """Another process that holds a lease and has begun an attempt, and then does `then`."""
    code = f"""
        import os, signal, sys, time
        from store import Store
        store = Store.open({str(store.root)!r})
        with store.lease({key!r}, note="test"), store.attempt({key!r}, stage="data"):
            print("held", flush=True)
            {then}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_three_workers_run_each_stage_once(store: Store) -> None:
    plan = data_plan(store)
    workers = [start_worker(store, plan) for _ in range(3)]
    for worker in workers:
        out, err = worker.communicate(timeout=60)
        assert (worker.returncode, out) == (0, ""), err
    outcomes = Counter(attempt.outcome for key in plan.stages for attempt in store.attempts(key))
    assert outcomes == {"published": len(plan.stages)}
    assert not list((store.root / "leases").iterdir())
    assert not list((store.root / "drafts").iterdir())


def test_a_finished_plan_needs_nothing(store: Store) -> None:
    plan = data_plan(store)
    assert set(make_worker(store, plan).run().ran) == set(plan.stages)
    assert make_worker(store, plan).run().ran == []


def test_what_a_killed_holder_had_is_taken_over_at_once(store: Store) -> None:
    plan = data_plan(store)
    key = next(iter(plan.stages))
    holder = holder_of(store, key, "os.kill(os.getpid(), signal.SIGKILL)")
    holder.wait()
    started = time.monotonic()
    result = make_worker(store, plan).run()
    assert key in result.ran
    assert time.monotonic() - started < 20
    assert [attempt.outcome for attempt in store.attempts(key)] == ["", "published"]
    assert not list((store.root / "leases").iterdir())


def test_a_worker_waits_for_another_without_burning_cpu(store: Store) -> None:
    plan = data_plan(store)
    *done, last = plan.stages
    for key in done:
        StageRunner(store, Execution(), SilentReporter(), lambda: False).run(plan.stages[key], plan)
    holder = holder_of(store, last, "time.sleep(6)")
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = make_worker(store, plan).run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert result.ran == [last], "the holder left without publishing"
    assert holder.wait() == 0
    (attempt,) = [a for a in store.attempts(last) if a.holder.pid == os.getpid()]
    left, *_ = [a for a in store.attempts(last) if a.holder.pid != os.getpid()]
    assert attempt.started >= left.ended
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.5


def test_a_failing_stage_is_given_up_and_the_rest_goes_on(store: Store, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    line = '{"question": "What is %d + 1?", "answer": "It is %d.\\n#### %d"}\n'
    train = "".join(line % (n, n + 1, n + 1) for n in range(40))
    (rows / "train.jsonl").write_text(train)
    (rows / "test.jsonl").write_text("".join(line % (n, n + 1, n + 1) for n in range(50, 90)))
    broken = data_plan(store, task="gsm8k", data={"path": str(rows)}, shares=[1], budgets=[4])
    healthy = data_plan(store)
    both = Plan("both", {}, (), {**broken.stages, **healthy.stages}, broken.sources)
    (rows / "train.jsonl").write_text("changed since it was planned\n")

    worker = start_worker(store, both)
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 1, err
    state = state_of(both, store)
    failed = {key for key, found in state.stages.items() if found is StageState.FAILED}
    assert failed
    assert failed <= set(broken.stages)
    assert all(state.stages[key] is StageState.HIT for key in healthy.stages)
    assert {len(store.attempts(key)) for key in failed} == {2}

    (rows / "train.jsonl").write_text(train)
    assert make_worker(store, both).run().ran == [], "given up stays given up"
    assert make_worker(store, both, retry=RetryPolicy(forgive_before="9999")).run().failed == {}
    assert state_of(both, store).count(StageState.HIT) == len(both.stages)


def test_a_stage_in_which_workers_die_is_given_up(store: Store) -> None:
    plan = data_plan(store)
    key = next(iter(plan.stages))
    for _ in range(MAX_DEATHS):
        holder_of(store, key, "os.kill(os.getpid(), signal.SIGKILL)").wait()
    result = make_worker(store, plan).run()
    assert list(result.failed) == [key]
    assert f"{MAX_DEATHS} workers died in it" in result.failed[key]
    assert given_up(store, [key], max_failures=2) == result.failed
    assert len(result.ran) == len(plan.stages) - 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_ends_a_waiting_worker_with_75(store: Store, number: int) -> None:
    plan = data_plan(store)
    holders = [holder_of(store, key, "time.sleep(60)") for key in plan.stages]
    worker = start_worker(store, plan)
    deadline = time.monotonic() + 30
    while not _listens(worker.pid, number):
        assert time.monotonic() < deadline, "the worker does not listen to the signal"
        time.sleep(0.05)
    worker.send_signal(number)
    _, err = worker.communicate(timeout=30)
    for holder in holders:
        holder.kill()
        holder.wait()
    assert worker.returncode == 75
    assert f"stopped by {signal.Signals(number).name}" in err


def _listens(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


class RecordedRunner:
    """Says what it is asked to run, and raises or publishes nothing of its own accord."""

    def __init__(self, error: Exception) -> None:
        self.error, self.asked = error, list[str]()

    def beside(self, payload: Payload, others: Iterable[Payload]) -> Sequence[Payload]:
        return ()

    def run_side_by_side(self, payloads: Sequence[Payload], plan: Plan) -> Sequence[Future[str | None]]:
        raise AssertionError("nothing runs beside another")

    def run(self, payload: Payload, plan: Plan) -> str | None:
        self.asked.append(payload.key)
        raise self.error

    def forget(self) -> None: ...

    def set_aside_corrupt(self, payload: Payload) -> None: ...


def test_a_full_disk_ends_the_worker_instead_of_failing_every_stage(store: Store) -> None:
    runner = RecordedRunner(NoSpace("the disk is full"))
    with pytest.raises(NoSpace):
        make_worker(store, data_plan(store), runner=runner).run()
    assert len(runner.asked) == 1


def test_an_error_before_the_work_begins_does_not_repeat_for_ever(store: Store) -> None:
    plan = data_plan(store)
    runner = RecordedRunner(BudgetctlError("this version knows no such stage"))
    result = make_worker(store, plan, runner=runner).run()
    assert Counter(runner.asked) == dict.fromkeys(plan.stages, 2)
    assert set(result.failed) == set(plan.stages)


def test_an_interrupted_stage_ends_the_worker(store: Store) -> None:
    runner = RecordedRunner(InterruptedRunError("stopped after step 3"))
    result = make_worker(store, data_plan(store), runner=runner).run()
    assert result.interrupted
    assert len(runner.asked) == 1


class SeveralRunner:
    """Takes two more stages beside each, and ends the stages of a round in the ways that were named for it."""

    def __init__(self, store: Store, *rounds: Sequence[Exception | None]) -> None:
        self.store, self.rounds = store, list(rounds)
        self.asked: list[list[str]] = []
        self.forgotten = 0

    def beside(self, payload: Payload, others: Iterable[Payload]) -> Sequence[Payload]:
        return list(others)[:2]

    def run(self, payload: Payload, plan: Plan) -> str | None:
        (done,) = self.run_side_by_side([payload], plan)
        return done.result()

    def run_side_by_side(self, payloads: Sequence[Payload], plan: Plan) -> Sequence[Future[str | None]]:
        self.asked.append([payload.key for payload in payloads])
        ends = self.rounds.pop(0) if self.rounds else [None] * len(payloads)
        futures: list[Future[str | None]] = []
        for payload, end in zip(payloads, ends, strict=False):
            future: Future[str | None] = Future()
            if end is None:
                self.store.draft(payload).publish({}, {})
                future.set_result("done")
            else:
                future.set_exception(end)
            futures.append(future)
        return futures

    def forget(self) -> None:
        self.forgotten += 1

    def set_aside_corrupt(self, payload: Payload) -> None: ...


def test_stages_side_by_side_each_end_in_their_own_way(store: Store) -> None:
    plan = data_plan(store)
    assert len(plan.stages) >= 3
    runner = SeveralRunner(store, [BudgetctlError("one failed"), None, None])
    result = make_worker(store, plan, runner=runner).run()
    failed, *fine = runner.asked[0]
    assert len(fine) == 2
    assert set(result.ran) == set(plan.stages)
    assert Counter(key for keys in runner.asked for key in keys) == {
        **dict.fromkeys(plan.stages, 1),
        failed: 2,
    }
    assert runner.forgotten == 1
    assert result.tainted
    assert result.failed == {}


def test_a_stop_among_stages_side_by_side_ends_the_worker_with_what_the_others_did(store: Store) -> None:
    runner = SeveralRunner(store, [None, InterruptedRunError("stopped"), LeasedElsewhere("somebody has it")])
    result = make_worker(store, data_plan(store), runner=runner).run()
    assert result.interrupted
    assert result.ran == runner.asked[0][:1]
    assert len(runner.asked) == 1


def test_stages_that_others_took_are_not_claimed_again_in_the_same_look(store: Store) -> None:
    runner = SeveralRunner(store, [LeasedElsewhere("somebody has it")] * 3)
    plan = data_plan(store)
    assert set(make_worker(store, plan, runner=runner).run().ran) == set(plan.stages)
    assert not set(runner.asked[0]) & set(runner.asked[1])


def test_a_full_disk_in_one_of_several_still_notes_the_others(store: Store) -> None:
    runner = SeveralRunner(store, [NoSpace("the disk is full"), None, None])
    said: list[str] = []
    reporter = SilentReporter()
    reporter.say = said.append  # type: ignore[method-assign]
    worker = Worker(data_plan(store), StoreState(store), runner, reporter, lambda: False)
    with pytest.raises(NoSpace):
        worker.run()
    assert len([line for line in said if line.endswith("done")]) == 2


def test_what_goes_beside_a_stage_must_fit_into_the_job_too(store: Store) -> None:
    plan = data_plan(store)
    with_history(store, plan, seconds=600)
    now = time.time()
    runner = SeveralRunner(store)
    assert make_worker(store, plan, runner=runner, limit=TimeLimit(now - 3600, now + 60)).run().out_of_time
    assert runner.asked == []


def with_history(store: Store, plan: Plan, seconds: float) -> str:
    """Publish one stage whose attempt lasted `seconds`, as its record says; returns its key."""
    key = next(iter(plan.stages))
    StageRunner(store, Execution(), SilentReporter(), lambda: False).run(plan.stages[key], plan)
    (record,) = store.layout.attempts(key).glob(f"{key}.*.end.json")
    text = record.read_text()
    ended = store.attempts(key)[0].started[:11] + "23:59:59.999+00:00"
    began = f"{store.attempts(key)[0].started[:11]}{_clock(86399.999 - seconds)}+00:00"
    attempt = store.attempts(key)[0]
    record.write_text(text.replace(attempt.started, began).replace(attempt.ended, ended))
    return key


def _clock(seconds: float) -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds % 3600 // 60):02d}:{seconds % 60:06.3f}"


def test_a_stage_that_does_not_fit_is_left_to_a_job_with_more_time(store: Store) -> None:
    plan = data_plan(store)
    done = with_history(store, plan, seconds=600)
    now = time.time()
    result = make_worker(store, plan, limit=TimeLimit(now - 3600, now + 60)).run()
    assert result.out_of_time
    assert result.ran == []
    enough = make_worker(store, plan, limit=TimeLimit(now, now + 86_400)).run()
    assert set(enough.ran) == set(plan.stages) - {done}


def test_a_stage_that_can_never_fit_says_so(store: Store) -> None:
    plan = data_plan(store)
    with_history(store, plan, seconds=7200)
    now = time.time()
    with pytest.raises(BudgetctlError, match="raise --time"):
        make_worker(store, plan, limit=TimeLimit(now, now + 3600)).run()


def test_without_history_a_stage_is_started(store: Store) -> None:
    plan = data_plan(store)
    now = time.time()
    result = make_worker(store, plan, limit=TimeLimit(now, now + 30)).run()
    assert len(result.ran) > 0


def test_a_worker_says_when_other_code_planned(store: Store) -> None:
    worker = start_worker(store, data_plan(store), "--planned-with", "0123456789")
    _, err = worker.communicate(timeout=60)
    assert "planned with code 0123456789" in err
    assert os.waitstatus_to_exitcode(worker.returncode) == 0


def test_the_command_lets_generations_run_side_by_side(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Execution] = []

    class Noted(StageRunner):
        def __init__(self, *given: Any) -> None:
            seen.append(given[1])
            super().__init__(*given)

    monkeypatch.setattr(running, "StageRunner", Noted)
    plan_id = store.save_plan(data_plan(store).document())
    done = CliRunner().invoke(app, ["worker", "--plan", plan_id, "--store", str(store.root)])
    assert done.exit_code == 0, done.stderr
    assert [execution.side_by_side for execution in seen] == [True]
