"""Answers that depend on the prompt, the seed and the model, and on nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, Prompt
from budgetctl.engines.transformers import TransformersEngine
from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.adapters import Adapter
from budgetctl.models.loading import load_base
from budgetctl.models.policy import new_adapter
from budgetctl.training.config import LoraSettings

STOP = (2,)
PROMPTS = [Prompt(f"p{n}", tuple(range(10 + n, 14 + 3 * n))) for n in range(7)]
GREEDY = Decoding(max_new_tokens=12)
SAMPLED = Decoding(temperature=1.0, samples=3, max_new_tokens=12, seed=4)
LOGPROB_TOLERANCE = 1e-4


def make_adapter(base: Path, folder: Path, seed: int, size: float = 0.2) -> AdapterFolder:
    policy = new_adapter(load_base(base, torch.device("cpu"), "float32"), None, LoraSettings(rank=4), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in policy.weights.values():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=size)
    policy.publish(folder)
    return AdapterFolder(key=f"{seed:064x}", path=folder)


def answers_of(
    engine: TransformersEngine,
    decoding: Decoding,
    prompts: Sequence[Prompt] = PROMPTS,
    adapter: AdapterFolder | None = None,
    done: frozenset[tuple[str, int]] = frozenset(),
) -> dict[tuple[str, int], Answer]:
    batches = list(engine.generate(prompts, decoding, STOP, adapter, done))
    found = {(answer.prompt_id, answer.sample): answer for batch in batches for answer in batch}
    assert len(found) == sum(map(len, batches))
    return found


@pytest.fixture
def engine(small_base: Path) -> TransformersEngine:
    return TransformersEngine(small_base, "cpu", "float32")


def test_greedy_answers_are_those_of_generate(engine: TransformersEngine, small_base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32)
    found = answers_of(engine, GREEDY)
    for prompt in PROMPTS:
        ids = torch.tensor([prompt.ids])
        expected = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, eos_token_id=2, pad_token_id=0
        )[0, len(prompt.ids) :].tolist()  # fmt: skip
        assert list(found[prompt.prompt_id, 0].token_ids) == expected


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_an_answer_does_not_depend_on_its_batch(decoding: Decoding, small_base: Path) -> None:
    whole = answers_of(TransformersEngine(small_base, "cpu", "float32", batch=64), decoding)
    for batch, prompts in [(1, PROMPTS), (4, PROMPTS[::-1]), (64, PROMPTS[2:4])]:
        for place, answer in answers_of(
            TransformersEngine(small_base, "cpu", "float32", batch), decoding, prompts
        ).items():
            assert answer.token_ids == whole[place].token_ids
            assert answer.logprob == pytest.approx(whole[place].logprob, abs=LOGPROB_TOLERANCE)


def test_samples_differ_and_follow_the_seed(engine: TransformersEngine) -> None:
    first = answers_of(engine, SAMPLED)
    again = answers_of(engine, SAMPLED)
    other = answers_of(engine, SAMPLED.model_copy(update={"seed": 5}))
    assert {place: answer.token_ids for place, answer in first.items()} == {
        place: answer.token_ids for place, answer in again.items()
    }
    assert any(first[place].token_ids != other[place].token_ids for place in first)
    assert len({first["p0", sample].token_ids for sample in range(3)}) > 1


def test_done_answers_are_left_out(engine: TransformersEngine) -> None:
    whole = answers_of(engine, SAMPLED)
    rest = answers_of(engine, SAMPLED, done=frozenset(list(whole)[::2]))
    assert set(rest) == set(list(whole)[1::2])
    assert all(whole[place].token_ids == answer.token_ids for place, answer in rest.items())


def test_finish_reasons_and_log_probabilities(engine: TransformersEngine) -> None:
    decoding = Decoding(temperature=1.5, samples=20, max_new_tokens=40, seed=1)
    found = answers_of(engine, decoding, PROMPTS[:2])
    reasons = {answer.finish_reason for answer in found.values()}
    assert reasons == {"stop", "length"}
    for answer in found.values():
        assert (answer.finish_reason == "stop") == (answer.token_ids[-1] == 2)
        assert answer.finish_reason == "stop" or len(answer.token_ids) == 40
        assert 2 not in answer.token_ids[:-1]
    some = list(found.values())[:6]
    prompts = [next(prompt for prompt in PROMPTS if prompt.prompt_id == answer.prompt_id) for answer in some]
    scores = engine.logprobs(prompts, [answer.token_ids for answer in some], None)
    for answer, score in zip(some, scores, strict=True):
        assert sum(score) == pytest.approx(answer.logprob, abs=LOGPROB_TOLERANCE)


def test_adapters_are_swapped_cleanly(engine: TransformersEngine, small_base: Path, tmp_path: Path) -> None:
    one, two = (make_adapter(small_base, tmp_path / str(seed), seed) for seed in (1, 2))
    order = [None, one, two, None, two, one]
    answers = [answers_of(engine, GREEDY, adapter=adapter) for adapter in order]
    texts = [tuple(answer.token_ids for _, answer in sorted(found.items())) for found in answers]
    assert texts[0] == texts[3]
    assert texts[1] == texts[5]
    assert texts[2] == texts[4]
    assert len(set(texts)) == 3


def test_an_empty_adapter_is_found_out(engine: TransformersEngine, small_base: Path, tmp_path: Path) -> None:
    made = make_adapter(small_base, tmp_path / "full", 1)
    adapter = Adapter.load(made.path)
    Adapter(adapter.config, {name: 0 * tensor for name, tensor in adapter.weights.items()}).save(
        tmp_path / "empty"
    )
    with pytest.raises(BudgetctlError, match="does not change the base's answers"):
        answers_of(engine, GREEDY, adapter=AdapterFolder("0" * 64, tmp_path / "empty"))
    assert answers_of(engine, GREEDY) == answers_of(TransformersEngine(small_base, "cpu", "float32"), GREEDY)


def test_an_adapter_of_another_base_is_refused(
    engine: TransformersEngine, make_small_base: Callable[..., Path], tmp_path: Path
) -> None:
    foreign = make_adapter(make_small_base(hidden=48), tmp_path / "foreign", 1)
    with pytest.raises(UsageError, match="belongs to another base"):
        answers_of(engine, GREEDY, adapter=foreign)


def test_a_prompt_as_long_as_the_context_is_refused(engine: TransformersEngine) -> None:
    with pytest.raises(UsageError, match=r"'long' has 128 tokens; the model's context of 128"):
        answers_of(engine, GREEDY, [Prompt("long", (5,) * 128)])


def test_a_text_longer_than_the_context_is_not_scored(engine: TransformersEngine) -> None:
    with pytest.raises(
        UsageError, match=r"'long' with its answer has 129 tokens; the model's context is 128"
    ):
        engine.logprobs([Prompt("long", (5,) * 120)], [(6,) * 9], None)


def test_scores_do_not_depend_on_the_batch(engine: TransformersEngine, small_base: Path) -> None:
    answers = [tuple(range(30, 33 + 2 * n)) for n in range(len(PROMPTS))]
    whole = engine.logprobs(PROMPTS, answers, None)
    one_by_one = TransformersEngine(small_base, "cpu", "float32", batch=1).logprobs(PROMPTS, answers, None)
    assert [len(scores) for scores in whole] == [len(answer) for answer in answers]
    for scores, alone in zip(whole, one_by_one, strict=True):
        assert scores == pytest.approx(alone, abs=LOGPROB_TOLERANCE)


def test_the_context_cuts_an_answer(engine: TransformersEngine) -> None:
    found: Any = answers_of(engine, Decoding(max_new_tokens=50), [Prompt("long", (5,) * 120)])["long", 0]
    assert len(found.token_ids) <= 8


def test_a_full_gpu_says_who_holds_it(
    small_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *compute-apps*) echo "4711, python, 79000";; *) echo "1200, 81559";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("budgetctl.engines.transformers.load_base", full)
    with pytest.raises(BudgetctlError, match=r"1200 of 81559 MiB free, not enough.*4711, python, 79000"):
        TransformersEngine(small_base, "cpu", "bfloat16")


@pytest.mark.parametrize(
    ("name", "samples", "sentence"),
    [
        ("beam", 1, "greedy, paper, sample, sample-N"),
        ("sample-0", 1, "no decoding 'sample-0'"),
        ("greedy", 2, "same answer"),
        ("sample-8", 4, "'sample-8' and 4 samples say different numbers"),
    ],
)
def test_presets_refuse(name: str, samples: int, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Decoding.preset(name, 10, samples)


def test_samples_may_stand_in_the_name() -> None:
    assert Decoding.preset("sample-8", 10, seed=2) == Decoding.preset("sample", 10, samples=8, seed=2)
    assert Decoding.preset("sample-8", 10, samples=8).samples == 8


def test_the_papers_decoding() -> None:
    paper = Decoding.preset("paper", max_new_tokens=4096, seed=3)
    assert (paper.temperature, paper.top_p, paper.top_k, paper.seed) == (0.5, 0.9, 150, 3)
