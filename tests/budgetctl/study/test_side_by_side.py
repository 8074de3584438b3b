"""Generations side by side over the engines that a worker keeps: real processes, real answers."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest

from budgetctl.console import SilentReporter
from budgetctl.engines.parts import AnswerParts
from budgetctl.engines.protocol import Answer, Decoding
from budgetctl.errors import BudgetctlError, InterruptedRunError
from budgetctl.models.folders import IGNORED_ENTRIES
from budgetctl.models.templates import Template
from budgetctl.stages.base import BaseIdentity, BaseStage, FolderSource
from budgetctl.stages.execute import execute
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.stage import Execution, payload_of
from budgetctl.study.plan import Plan
from budgetctl.study.running import TURNS, StageRunner
from store import Payload, Store
from store.errors import CorruptArtifact

PROMPTS = 80
"""More than come in one reply, so that there is something to interrupt."""
GREEDY = GenIdentity(template=Template.named("tiny"), decoding=Decoding(max_new_tokens=12))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def stage(store: Store, small_base: Path, sum_data: Path) -> GenStage:
    """A generation whose parents are published."""
    content = store.hash_path(small_base, IGNORED_ENTRIES)
    base = execute(
        BaseStage(BaseIdentity(source=FolderSource(content=content))), store,
        Execution(sources={content: small_base}), SilentReporter(),
    ).artifact.key  # fmt: skip
    draft = store.draft(payload := Payload("data", 1, {"rows": "sums"}, {}))
    sums = pyarrow.parquet.read_table(sum_data / "eval.parquet").to_pylist()
    rows = [{**row, "prompt_id": f"{row['prompt_id']}-{again}"} for again in range(4) for row in sums]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[:PROMPTS]), draft.files / "eval.parquet")
    draft.publish({}, {})
    return GenStage(GREEDY, base=base, prompts=payload.key)


def with_seed(stage: GenStage, seed: int) -> Payload:
    decoding = Decoding(max_new_tokens=12, temperature=1.0, seed=seed)
    return payload_of(replace(stage, identity=GREEDY.model_copy(update={"decoding": decoding})))


def with_vllm(stage: GenStage, tokens: int) -> Payload:
    changed = {"engine": "vllm", "decoding": Decoding(max_new_tokens=tokens)}
    return payload_of(replace(stage, identity=GREEDY.model_copy(update=changed)))


@pytest.fixture
def runners(store: Store) -> Iterator[list[StageRunner]]:
    made: list[StageRunner] = []
    yield made
    for runner in made:
        runner.forget()


def plan_of(payloads: Sequence[Payload]) -> Plan:
    return Plan("sweep", {}, (), {payload.key: payload for payload in payloads})


def texts(store: Store, key: str) -> list[str]:
    file = store.artifact(key).path("generations.parquet")
    return pyarrow.parquet.read_table(file, columns=["text"])["text"].to_pylist()


def test_two_engines_answer_two_stages_as_one_engine_would(
    store: Store, stage: GenStage, tmp_path: Path, runners: list[StageRunner]
) -> None:
    payloads = [with_seed(stage, seed) for seed in range(4)]
    plan = plan_of(payloads)
    runner = StageRunner(
        store, Execution(device="cpu", threads=2, processes=2), SilentReporter(), lambda: False
    )
    runners.append(runner)
    assert runner.beside(payloads[0], payloads[1:]) == [], "before the first there is no engine to share"
    runner.run(payloads[0], plan)
    other_base = Payload("gen", 1, payloads[1].identity, {**payloads[1].parents, "base": "0" * 64})
    assert runner.beside(payloads[1], [other_base, *payloads[2:]]) == payloads[2:]
    more = [with_seed(stage, seed) for seed in range(10, 20)]
    assert runner.beside(payloads[1], more) == more[: 2 * TURNS - 1], (
        "no more than both can take in their turns"
    )
    (done,) = runner.run_side_by_side(payloads[2:3], plan)
    assert str(done.result()).startswith(f"answers {PROMPTS}")
    new, again, last = runner.run_side_by_side([payloads[1], payloads[2], payloads[3]], plan)
    assert again.result() is None, "it was there already"
    assert new.result()
    assert last.result()
    assert all(store.artifact(payload.key).metrics["engine_start_s"] == 0 for payload in payloads[1:])

    alone = Store.open(tmp_path / "alone", create=True)
    for key in (stage.base, stage.prompts):
        artifact = store.artifact(key)
        draft = alone.draft(artifact.manifest.payload)
        shutil.copytree(artifact.path(), draft.files, dirs_exist_ok=True)
        draft.publish(artifact.metrics, {})
    one = StageRunner(alone, Execution(device="cpu", threads=1), SilentReporter(), lambda: False)
    runners.append(one)
    assert one.run(payloads[1], plan)
    assert one.beside(payloads[2], payloads[3:]) == [], "one engine has no room for another stage"
    one.run(payloads[3], plan)
    for payload in (payloads[1], payloads[3]):
        assert texts(store, payload.key) == texts(alone, payload.key)


@pytest.fixture
def sharing(
    store: Store, stage: GenStage, stand_in: Path, runners: list[StageRunner]
) -> tuple[StageRunner, list[Payload]]:
    """A runner with two processes of the stand-in for vLLM, and generations for them."""
    payloads = [with_vllm(stage, tokens) for tokens in range(3, 8)]
    execution = Execution(device="cpu", threads=1, engines_per_gpu=2)
    runner = StageRunner(store, execution, SilentReporter(), lambda: bool((stand_in / "stop").exists()))
    runners.append(runner)
    runner.run(payloads[0], plan_of(payloads))
    return runner, payloads


def once_both_run(store: Store, payloads: Sequence[Payload], act: Callable[[], None]) -> None:
    def watch() -> None:
        while not all(store.attempts(payload.key) for payload in payloads):
            time.sleep(0.02)
        act()

    threading.Thread(target=watch, daemon=True).start()


def test_one_that_fails_does_not_take_the_other_down(
    store: Store, stand_in: Path, sharing: tuple[StageRunner, list[Payload]]
) -> None:
    runner, payloads = sharing
    broken = Payload(
        "gen", 1, payloads[1].identity, {**payloads[1].parents, "prompts": payloads[0].parents["base"]}
    )
    assert runner.beside(broken, payloads[2:]) == payloads[2:]
    bad, good = runner.run_side_by_side([broken, payloads[2]], plan_of(payloads))
    with pytest.raises(BudgetctlError, match=r"no eval\.parquet"):
        bad.result()
    assert good.result()
    assert len((stand_in / "starts.jsonl").read_text().splitlines()) == 2


def test_what_goes_wrong_while_answers_come_leaves_nobody_listening(
    store: Store, stand_in: Path, sharing: tuple[StageRunner, list[Payload]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would take the answers of the next generation on the same engine, and leave it its own."""
    runner, payloads = sharing
    (stand_in / "slow").touch()
    add, broken = AnswerParts.add, threading.Event()

    def once(parts: AnswerParts, answers: Sequence[Answer], texts: Sequence[str]) -> None:
        if not broken.is_set():
            broken.set()
            raise OSError(5, "Input/output error")
        add(parts, answers, texts)

    monkeypatch.setattr(AnswerParts, "add", once)
    futures = runner.run_side_by_side(payloads[1:], plan_of(payloads))
    errors = [future.exception() for future in futures]
    assert [type(error) for error in errors if error] == [OSError]
    assert all(
        texts(store, payload.key) == texts(store, payloads[0].key)
        for payload, error in zip(payloads[1:], errors, strict=True) if not error
    )  # fmt: skip


def test_all_of_them_stop_when_asked_and_go_on_later(
    store: Store, stand_in: Path, sharing: tuple[StageRunner, list[Payload]]
) -> None:
    runner, payloads = sharing
    (stand_in / "slow").touch()
    once_both_run(store, payloads[1:3], (stand_in / "stop").touch)
    for done in runner.run_side_by_side(payloads[1:], plan_of(payloads)):
        with pytest.raises(InterruptedRunError, match="goes on from there"):
            done.result()
    assert [len(store.attempts(payload.key)) for payload in payloads[1:]] == [1, 1, 0, 0], (
        "two were not begun"
    )
    (stand_in / "stop").unlink()
    (stand_in / "slow").unlink()
    assert all(done.result() for done in runner.run_side_by_side(payloads[1:], plan_of(payloads)))
    assert len({tuple(texts(store, payload.key)) for payload in payloads}) == 1


def test_two_that_share_a_damaged_parent_set_it_aside_once(
    store: Store, sharing: tuple[StageRunner, list[Payload]]
) -> None:
    runner, payloads = sharing
    prompts = store.artifact(payloads[1].parents["prompts"]).path("eval.parquet")
    prompts.chmod(0o644)
    prompts.write_bytes(bytes(len(prompts.read_bytes())))
    for payload, done in zip(
        payloads[1:3], runner.run_side_by_side(payloads[1:3], plan_of(payloads)), strict=True
    ):
        with pytest.raises(CorruptArtifact):
            done.result()
        runner.set_aside_corrupt(payload)
    assert not store.has(payloads[1].parents["prompts"])


def test_a_stage_that_this_version_does_not_know_runs_alone(
    sharing: tuple[StageRunner, list[Payload]],
) -> None:
    runner, payloads = sharing
    unknown = replace(payloads[1], revision=99)
    assert runner.beside(unknown, payloads[2:]) == []
    assert runner.beside(payloads[1], [unknown, payloads[2]]) == payloads[2:3]


def test_ctrl_c_stops_all_of_them_and_comes_out(
    store: Store, stand_in: Path, sharing: tuple[StageRunner, list[Payload]]
) -> None:
    runner, payloads = sharing
    (stand_in / "slow").touch()
    once_both_run(store, payloads[1:3], partial(os.kill, os.getpid(), signal.SIGINT))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runner.run_side_by_side(payloads[1:], plan_of(payloads))
    assert time.monotonic() - began < 0.05 * PROMPTS, "who presses it does not wait for answers"
    assert not any(store.has(payload.key) for payload in payloads[1:])
    assert [[one.outcome for one in store.attempts(payload.key)] for payload in payloads[1:]] == [
        ["interrupted"], ["interrupted"], [], [],
    ]  # fmt: skip
