"""The recipe's other choices: the parent's own adapter, all weights, several processes."""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_results import curve_values, largest_difference
from transformers import AutoModelForCausalLM, AutoTokenizer

from budgetctl.errors import BudgetctlError, InterruptedRunError, UsageError
from budgetctl.models.adapters import Adapter
from budgetctl.training.config import LoraSettings, OptimizerSettings, PftSettings, SftSettings
from budgetctl.training.processes import Starter, attempt_in_processes
from budgetctl.training.run import train

GENTLE = OptimizerSettings(learning_rate=1e-3)
FAST = OptimizerSettings(learning_rate=1e-2)
SMALL = LoraSettings(rank=4)
SFT = SftSettings(epochs=4, lora=SMALL, optimizer=GENTLE)


@pytest.fixture
def parent(make_job: Any) -> Path:
    job = make_job(seed=3)
    train(job, SftSettings(epochs=4, optimizer=FAST, lora=SMALL))
    return job.out


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_the_parents_adapter_trains_on(method: str, make_job: Any, parent: Path) -> None:
    job = make_job("pref.parquet", parent=parent)
    metrics = train(job, PftSettings(method=method, adapter="continue", epochs=6, optimizer=FAST))
    assert metrics["adapter_rank"] == 4
    assert metrics["first_loss"] == pytest.approx(math.log(2) if method == "dpo" else 0.5, abs=1e-4)
    assert curve_values(job.out, "loss")[-1] < curve_values(job.out, "loss")[0]
    assert largest_difference(job.out, parent) > 1e-3


def test_continue_over_the_base_is_a_new_adapter(make_job: Any) -> None:
    stacked, continued = make_job("pref.parquet"), make_job("pref.parquet")
    train(stacked, PftSettings(epochs=1, lora=SMALL, optimizer=FAST))
    train(continued, PftSettings(epochs=1, lora=SMALL, optimizer=FAST, adapter="continue"))
    assert largest_difference(stacked.out, continued.out) == 0


def test_full_weights(make_job: Any, small_base: Path) -> None:
    sft = make_job()
    metrics = train(sft, SftSettings(weights="full", epochs=6, optimizer=FAST))
    assert metrics["adapter_rank"] == 0
    assert curve_values(sft.out, "loss")[-1] < 0.5 * curve_values(sft.out, "loss")[0]
    model = AutoModelForCausalLM.from_pretrained(sft.out, dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(small_base, dtype=torch.float32)
    moved = [
        not torch.equal(one, other) for one, other in zip(model.parameters(), base.parameters(), strict=True)
    ]
    assert all(moved)
    assert (
        AutoTokenizer.from_pretrained(sft.out).get_vocab()
        == AutoTokenizer.from_pretrained(small_base).get_vocab()
    )
    dpo = make_job("pref.parquet", parent=sft.out)
    first = train(dpo, PftSettings(weights="full", epochs=2, optimizer=GENTLE))["first_loss"]
    assert first == pytest.approx(math.log(2), abs=1e-4)


def test_full_and_lora_checkpoints_do_not_mix(make_job: Any, parent: Path) -> None:
    full = make_job()
    train(full, SftSettings(weights="full", epochs=1))
    with pytest.raises(UsageError, match="holds full weights"):
        train(make_job("pref.parquet", parent=full.out), PftSettings(epochs=1))
    with pytest.raises(UsageError, match="cannot start from a LoRA checkpoint"):
        train(make_job("pref.parquet", parent=parent), PftSettings(epochs=1, weights="full"))


def test_bfloat16_and_float32_after_each_other(make_job: Any) -> None:
    """Accelerate keeps global state between trainers of one process; it must not carry a precision over."""
    first, half, second = make_job(), make_job("pref.parquet"), make_job()
    train(first, SFT)
    metrics = train(half, PftSettings(precision="bfloat16", epochs=2, lora=SMALL, optimizer=FAST))
    assert metrics["first_loss"] == pytest.approx(math.log(2), abs=0.02)
    assert {tensor.dtype for tensor in Adapter.load(half.out).weights.values()} == {torch.float32}
    train(second, SFT)
    assert largest_difference(first.out, second.out) == 0


def test_an_adapter_on_the_head_is_trained_too(make_job: Any) -> None:
    """TRL's own head would pass it by; while its product is zero, both must agree in every figure."""
    plain, headed = make_job(), make_job()
    with_head = LoraSettings(rank=4, extra_targets=("embed_tokens", "lm_head"))
    train(plain, SFT)
    train(headed, SFT.model_copy(update={"lora": with_head}))
    for figure in ("loss", "entropy", "mean_token_accuracy"):
        assert curve_values(headed.out, figure)[0] == pytest.approx(
            curve_values(plain.out, figure)[0], abs=1e-5
        )
    assert curve_values(headed.out, "loss")[-1] < curve_values(headed.out, "loss")[0]
    ups = {name: weight for name, weight in Adapter.load(headed.out).weights.items() if "layers" not in name}
    assert sorted(ups) == [
        "base_model.model.lm_head.lora_A.weight", "base_model.model.lm_head.lora_B.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A", "base_model.model.model.embed_tokens.lora_embedding_B",
    ]  # fmt: skip
    assert all(float(weight.abs().max()) > 0 for weight in ups.values())


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_preferences_over_an_adapted_head(method: str, make_job: Any) -> None:
    with_head = LoraSettings(rank=4, extra_targets=("embed_tokens", "lm_head"))
    sft = make_job()
    train(sft, SFT.model_copy(update={"lora": with_head, "optimizer": FAST}))
    job = make_job("pref.parquet", parent=sft.out)
    metrics = train(job, PftSettings(method=method, epochs=6, optimizer=FAST, lora=with_head))
    assert metrics["first_loss"] == pytest.approx(math.log(2) if method == "dpo" else 0.5, abs=1e-4)
    assert metrics["last_loss"] < metrics["first_loss"]
    assert (
        float(Adapter.load(job.out).weights["base_model.model.lm_head.lora_B.weight"][:, 4:].abs().max()) > 0
    )


def test_four_bits_need_a_gpu(make_job: Any) -> None:
    with pytest.raises(UsageError, match="qlora needs a GPU"):
        train(make_job(), SftSettings(weights="qlora"))


@pytest.mark.slow
def test_two_processes_are_one(make_job: Any) -> None:
    """KTO, whose divergence is estimated over the whole batch; SFT with four processes follows."""
    one, two = make_job("unpaired.parquet"), make_job("unpaired.parquet", processes=2, micro_batch=4)
    settings = PftSettings(method="kto", epochs=4, lora=SMALL, optimizer=GENTLE)
    train(one, settings)
    metrics = train(two, settings)
    assert metrics["processes"] == 2
    assert largest_difference(one.out, two.out) < 2e-4
    assert curve_values(two.out, "loss") == pytest.approx(curve_values(one.out, "loss"), abs=2e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_four_processes_are_one(make_job: Any) -> None:
    one, four = make_job(), make_job(processes=4)
    train(one, SFT)
    assert train(four, SFT)["processes"] == 4
    assert largest_difference(one.out, four.out) < 2e-4
    assert curve_values(four.out, "loss") == pytest.approx(curve_values(one.out, "loss"), abs=2e-4)


@pytest.mark.slow
def test_a_process_of_its_own_trains_alike(make_job: Any) -> None:
    """How another backend runs, here with the same one: one child, its interpreter and variables given."""
    here, apart = make_job(), make_job()
    train(here, SFT)
    metrics = attempt_in_processes(apart, SFT, False, Starter(environment={"OMP_NUM_THREADS": "1"}))
    assert metrics["processes"] == 1
    assert largest_difference(here.out, apart.out) < 1e-6


@pytest.mark.slow
def test_an_interpreter_that_fails_says_its_last_words(make_job: Any) -> None:
    with pytest.raises(BudgetctlError, match=r"Training process 0 of 1 ended with 1(?s:.*)No module named"):
        attempt_in_processes(make_job(), SFT, False, Starter(module="budgetctl.training.nothing"))


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_processes_stop_and_resume(make_job: Any) -> None:
    one, two = make_job(), make_job(processes=2)
    long = SFT.model_copy(update={"epochs": 20.0})
    train(one, long)
    began = time.monotonic()
    with pytest.raises(InterruptedRunError, match="the same command goes on"):
        train(replace(two, should_stop=lambda: time.monotonic() - began > 0 and (two.scratch / "checkpoints").exists()),
              long)  # fmt: skip
    metrics = train(two, long)
    assert metrics["resumed_at_step"] > 0
    assert largest_difference(one.out, two.out) < 5e-3


@pytest.mark.slow
def test_a_killed_process_ends_all_with_its_last_words(make_job: Any) -> None:
    job = make_job(processes=2)
    calls = itertools.count()

    def kill_one() -> bool:
        if next(calls) == 5:
            children = subprocess.run(
                ["pgrep", "-f", str(job.scratch)], capture_output=True, text=True, check=True
            )
            os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
        return False

    with pytest.raises(BudgetctlError, match=r"Training process \d of 2 ended with -9"):
        train(replace(job, should_stop=kill_one), SFT.model_copy(update={"epochs": 400.0}))
    left = subprocess.run(["pgrep", "-f", str(job.scratch)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
