"""The reference pass stops when asked, loses little to a kill, is shared by processes, and scores as plain logits."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from training_results import curve_values, largest_difference
from transformers import AutoModelForCausalLM, AutoTokenizer

from budgetctl.errors import BudgetctlError, InterruptedRunError
from budgetctl.training import reference_pass
from budgetctl.training.attempt import attempt
from budgetctl.training.config import LoraSettings, OptimizerSettings, PftSettings
from budgetctl.training.job import TrainingJob
from budgetctl.training.reference import part_file, read_scores, text_digest
from budgetctl.training.run import train

SMALL, GENTLE = LoraSettings(rank=4), OptimizerSettings(learning_rate=1e-3)
DPO = PftSettings(epochs=2, lora=SMALL, optimizer=GENTLE)
KTO = PftSettings(method="kto", epochs=2, lora=SMALL, optimizer=GENTLE)
TEXTS = 48


def asked_after(batches: int) -> Callable[[], bool]:
    calls = itertools.count(1)
    return lambda: next(calls) >= batches


def test_scores_are_those_of_plain_logits(make_job: Any, small_base: Path) -> None:
    job = make_job("pref.parquet", micro_batch=8)
    train(job, DPO)
    scores = read_scores([job.scratch / "reference.parquet"])
    assert len(scores) == TEXTS
    model = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(small_base)
    for row in pyarrow.parquet.read_table(job.data).to_pylist():
        prompt = tokenizer(f"<|bos|><|user|>{row['prompt'][0]['content']}<|end|><|assistant|>")["input_ids"]
        for side in ("chosen", "rejected"):
            answer = tokenizer(f"{row[side][0]['content']}<|end|>")["input_ids"]
            ids = torch.tensor([prompt + answer])
            with torch.no_grad():
                logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            expected = logprobs.gather(-1, ids[0, 1:, None])[len(prompt) - 1 :].sum()
            assert scores[text_digest(prompt, answer)] == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.parametrize("settings", [DPO, KTO], ids=["dpo", "kto"])
def test_it_stops_between_batches_and_goes_on_there(settings: PftSettings, make_job: Any) -> None:
    undisturbed = make_job("pref.parquet", micro_batch=4)
    whole = train(undisturbed, settings)["reference_texts_scored"]
    job = make_job("pref.parquet", micro_batch=4)
    at_once = 8 if settings is DPO else 4
    for batches, there in ((1, 1), (2, 3)):
        with pytest.raises(
            InterruptedRunError, match=r"reference was scored, after \d+ of \d+ texts; .* from there"
        ):
            train(replace(job, should_stop=asked_after(batches)), settings)
        assert len(read_scores([part_file(job.scratch, 0)])) == there * at_once
    rest = train(job, settings)["reference_texts_scored"]
    assert rest == whole - 3 * at_once
    assert curve_values(job.out, "loss") == pytest.approx(curve_values(undisturbed.out, "loss"), abs=1e-6)


def test_one_that_is_kept_in_memory_stops_too(make_job: Any) -> None:
    job = make_job("pref.parquet", micro_batch=4, reference_in_memory=True)
    with pytest.raises(InterruptedRunError, match="goes on with all of them"):
        train(replace(job, should_stop=asked_after(2)), DPO)
    assert not list(job.scratch.glob("*.parquet"))
    assert train(job, DPO)["reference_texts_scored"] == TEXTS


def _killed(job: TrainingJob) -> None:
    reference_pass.WRITE_EVERY_S = 0.0
    calls = itertools.count(1)

    def die() -> bool:
        if next(calls) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    train(replace(job, should_stop=die), DPO)


def test_a_kill_loses_what_was_not_written_yet(make_job: Any) -> None:
    job = make_job("pref.parquet", micro_batch=4)
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(job,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert train(job, DPO)["reference_texts_scored"] == TEXTS - 4 * 8


def test_a_score_that_is_no_number_is_no_reference(make_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = reference_pass._summed_logprobs
    monkeypatch.setattr(reference_pass, "_summed_logprobs", lambda *given: [float("nan"), *real(*given)[1:]])
    job = make_job("pref.parquet", micro_batch=16)
    with pytest.raises(
        BudgetctlError, match=r"incomplete: 2 of 48 of the rows' texts have none that is a number"
    ):
        train(job, DPO)
    assert not (job.scratch / "reference.parquet").exists()


def test_activations_that_are_recomputed_change_nothing(make_job: Any) -> None:
    plain, recomputed = make_job("pref.parquet"), make_job("pref.parquet")
    train(plain, DPO)
    assert attempt(recomputed, DPO, recompute=True)["recomputed_activations"] is True
    assert largest_difference(plain.out, recomputed.out) < 1e-5


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_processes_score_a_share_each(make_job: Any) -> None:
    """KTO, because it also has answers to other prompts scored."""
    one, two = make_job("pref.parquet"), make_job("pref.parquet", processes=2, micro_batch=4)
    whole = train(one, KTO)["reference_texts_scored"]
    assert train(two, KTO)["reference_texts_scored"] == whole
    parts = [read_scores([part_file(two.scratch, rank)]) for rank in range(2)]
    assert {len(part) for part in parts} <= {whole // 2, whole - whole // 2}
    assert not parts[0].keys() & parts[1].keys()
    for name in ("reference.parquet", "mismatched.parquet"):
        alone, shared = (read_scores([job.scratch / name]) for job in (one, two))
        assert shared == pytest.approx(alone, abs=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_processes_stop_in_it_together_and_another_number_goes_on(make_job: Any) -> None:
    job = make_job("pref.parquet", micro_batch=1)
    with pytest.raises(InterruptedRunError, match="reference was scored"):
        train(replace(job, processes=2, shard=True, should_stop=lambda: True), DPO)
    there = len(read_scores(job.scratch.glob("reference-part-*.parquet")))
    assert 0 < there < TEXTS
    assert train(job, DPO)["reference_texts_scored"] == TEXTS - there
