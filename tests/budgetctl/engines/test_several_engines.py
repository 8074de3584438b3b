"""Engines in processes of their own, one or several: the same answers, errors told, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_engine_child import alive
from test_transformers_engine import GREEDY, PROMPTS, SAMPLED, STOP, make_adapter

from budgetctl.engines.parallel import ParallelEngine
from budgetctl.engines.protocol import Answer, Decoding, Engine, Prompt
from budgetctl.engines.served import answer_seed
from budgetctl.engines.transformers import TransformersEngine
from budgetctl.engines.transformers_served import ServedTransformersEngine
from budgetctl.errors import BudgetctlError, UsageError

TOLERANCE = 1e-4


def found(batches: Iterator[list[Answer]]) -> dict[tuple[str, int], Answer]:
    listed = [answer for batch in batches for answer in batch]
    answers = {(answer.prompt_id, answer.sample): answer for answer in listed}
    assert len(answers) == len(listed)
    return answers


@pytest.fixture(scope="module")
def pair(small_base: Path) -> Iterator[ParallelEngine]:
    engine = ParallelEngine(
        [ServedTransformersEngine(small_base, "cpu", "float32", 3, threads=1) for _ in range(2)]
    )
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def alone(small_base: Path) -> TransformersEngine:
    return TransformersEngine(small_base, "cpu", "float32")


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("adapted", [False, True], ids=["base", "adapter"])
@pytest.mark.usefixtures("warm_processes")
def test_two_processes_answer_as_one(
    pair: ParallelEngine,
    alone: TransformersEngine,
    small_base: Path,
    tmp_path: Path,
    decoding: Decoding,
    adapted: bool,
) -> None:
    adapter = make_adapter(small_base, tmp_path / "adapter", 3) if adapted else None
    done = frozenset({("p2", 0)})
    ours, theirs = (
        found(engine.generate(PROMPTS, decoding, STOP, adapter, done)) for engine in (pair, alone)
    )
    assert {place: answer.token_ids for place, answer in ours.items()} == {
        place: answer.token_ids for place, answer in theirs.items()
    }
    assert ("p2", 0) not in ours
    answers = [
        theirs[prompt.prompt_id, 0].token_ids if prompt.prompt_id != "p2" else (5, 6) for prompt in PROMPTS
    ]
    for mine, other in zip(
        pair.logprobs(PROMPTS, answers, adapter), alone.logprobs(PROMPTS, answers, adapter), strict=True
    ):
        assert mine == pytest.approx(other, abs=TOLERANCE)


def test_fewer_prompts_than_engines(pair: ParallelEngine) -> None:
    assert len(found(pair.generate(PROMPTS[:1], GREEDY, STOP, None))) == 1
    assert len(pair.logprobs(PROMPTS[:1], [(5, 6)], None)) == 1
    assert found(pair.generate([], GREEDY, STOP, None)) == {}


def test_an_error_of_one_process_is_told_as_it_was(
    pair: ParallelEngine, make_small_base: Callable[..., Path], tmp_path: Path
) -> None:
    foreign = make_adapter(make_small_base(hidden=48), tmp_path / "foreign", 1)
    with pytest.raises(UsageError, match="belongs to another base"):
        found(pair.generate(PROMPTS, GREEDY, STOP, foreign))
    assert len(found(pair.generate(PROMPTS, GREEDY, STOP, None))) == len(PROMPTS)


def test_who_stops_listening_gets_nothing_of_the_old_request_later(
    pair: ParallelEngine, alone: TransformersEngine
) -> None:
    batches = pair.generate(PROMPTS, SAMPLED, STOP, None)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    expected = found(alone.generate(PROMPTS, GREEDY, STOP, None))
    assert {
        place: answer.token_ids for place, answer in found(pair.generate(PROMPTS, GREEDY, STOP, None)).items()
    } == {place: answer.token_ids for place, answer in expected.items()}


def test_one_that_dies_mid_batch_is_started_once_more_and_then_given_up(small_base: Path) -> None:
    engine = ServedTransformersEngine(small_base, "cpu", "float32", 1, threads=1)
    prompts = [Prompt(f"p{n}", (5, 6, 7 + n)) for n in range(40)]
    decoding = Decoding(max_new_tokens=60)
    batches = engine.generate(prompts, decoding, (), None)
    answers = next(batches)
    first = engine.process_id
    assert first is not None
    os.kill(first, signal.SIGKILL)
    answers += next(batches)
    while engine.process_id in (None, first):
        answers += next(batches)
    second = engine.process_id
    assert second is not None
    assert engine.starts == 2
    os.kill(second, signal.SIGKILL)
    with pytest.raises(
        BudgetctlError, match=r"Transformers died twice with \d+ answers to go. .*ended with -9"
    ):
        for batch in batches:
            answers += batch
    assert len({answer.prompt_id for answer in answers}) == len(answers) < 40
    assert not alive(first)
    assert not alive(second)
    engine.close()


def test_nothing_is_left_when_the_parent_is_killed(small_base: Path) -> None:
    code = f"""
import time
from pathlib import Path
from budgetctl.engines.protocol import Decoding, Prompt
from budgetctl.engines.transformers_served import ServedTransformersEngine
engine = ServedTransformersEngine(Path({str(small_base)!r}), "cpu", "float32", 1, threads=1)
list(engine.generate([Prompt("a", (5, 6))], Decoding(max_new_tokens=2), (2,), None))
print(engine.process_id, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


class Failing:
    """An engine that answers one batch and then breaks."""

    start_s = 0.0

    def __init__(self, inner: Engine) -> None:
        self._inner = inner

    def generate(self, *asked: object) -> Iterator[list[Answer]]:
        yield next(self._inner.generate(*asked))  # type: ignore[arg-type]
        raise BudgetctlError("the second GPU is gone")

    def logprobs(self, *asked: object) -> list[list[float]]:
        raise BudgetctlError("the second GPU is gone")

    def close(self) -> None:
        self._inner.close()


def test_one_broken_engine_ends_the_others(small_base: Path) -> None:
    good, bad = (TransformersEngine(small_base, "cpu", "float32", batch=1) for _ in range(2))
    engine = ParallelEngine([good, Failing(bad)])
    with pytest.raises(BudgetctlError, match="second GPU is gone"):
        found(engine.generate(PROMPTS, GREEDY, STOP, None))
    with pytest.raises(BudgetctlError, match="second GPU is gone"):
        engine.logprobs(PROMPTS, [(5,)] * len(PROMPTS), None)


def test_seeds_are_a_function_of_seed_prompt_and_sample() -> None:
    seeds = {
        answer_seed(seed, prompt, sample) for seed in (0, 1) for prompt in ("a", "b") for sample in (0, 1)
    }
    assert len(seeds) == 8
    assert answer_seed(0, "a", 0) == answer_seed(0, "a", 0) < 2**32
