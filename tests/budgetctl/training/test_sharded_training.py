"""A policy spread over two processes trains, stops, goes on and is published as one in one process."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_results import curve_values, largest_difference
from transformers import AutoModelForCausalLM

from budgetctl.errors import BudgetctlError, InterruptedRunError, UsageError
from budgetctl.training.config import LoraSettings, OptimizerSettings, PftSettings, SftSettings
from budgetctl.training.run import train
from budgetctl.training.trl_trainers import last_checkpoint

GENTLE = OptimizerSettings(learning_rate=1e-3)
SMALL = LoraSettings(rank=4)
SFT = SftSettings(epochs=4, lora=SMALL, optimizer=GENTLE)
TOLERANCE = 2e-4
"""As between two processes and one: sums over other groupings round differently."""


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_two_shards_are_one(make_job: Any) -> None:
    """DPO, whose reference pass and two forward passes are the hardest to spread; SFT and all weights follow below."""
    whole, shards = (
        make_job("pref.parquet"),
        make_job("pref.parquet", processes=2, shard=True, micro_batch=4),
    )
    settings = PftSettings(epochs=4, lora=SMALL, optimizer=GENTLE)
    train(whole, settings)
    metrics = train(shards, settings)
    assert metrics["sharded"] is True
    assert largest_difference(whole.out, shards.out) < TOLERANCE
    for name in ("loss", "grad_norm"):
        assert curve_values(shards.out, name) == pytest.approx(curve_values(whole.out, name), abs=TOLERANCE)
    assert metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_all_weights_spread(make_job: Any) -> None:
    whole, shards = make_job(), make_job(processes=2, shard=True)
    settings = SftSettings(weights="full", epochs=4, optimizer=GENTLE)
    for job in (whole, shards):
        assert train(job, settings)["adapter_rank"] == 0
    first, second = (AutoModelForCausalLM.from_pretrained(job.out).state_dict() for job in (whole, shards))
    assert set(first) == set(second)
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < TOLERANCE


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_a_checkpoint_is_that_of_one_process(make_job: Any) -> None:
    """Stopped with two shards, then in one process, then finished with two shards again."""
    whole, job = make_job(), make_job()
    long = SFT.model_copy(update={"epochs": 12.0})
    train(whole, long)
    shards = replace(job, processes=2, shard=True)
    with pytest.raises(InterruptedRunError):
        train(replace(shards, should_stop=(job.scratch / "checkpoints").exists), long)
    assert _finished_steps(job.scratch) > 0
    with pytest.raises(InterruptedRunError):
        train(replace(job, should_stop=lambda: True), long)
    metrics = train(shards, long)
    assert metrics["resumed_at_step"] > 1
    assert largest_difference(whole.out, job.out) < 5e-3
    assert curve_values(job.out, "loss") == pytest.approx(curve_values(whole.out, "loss"), abs=5e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_a_loss_that_is_no_number_stops_all_processes(make_job: Any) -> None:
    wild = OptimizerSettings(learning_rate=1e30, warmup=0, schedule="constant", max_grad_norm=1e30)
    job = make_job(processes=2, shard=True)
    with pytest.raises(BudgetctlError, match=r"loss became (nan|inf) at step 2 of 12"):
        train(job, SftSettings(epochs=8, optimizer=wild))
    kept = last_checkpoint(job.scratch / "checkpoints")
    assert kept is not None
    assert kept.name == "checkpoint-1"


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({}, SFT, "several processes; add --processes N"),
        ({"processes": 2}, SftSettings(weights="qlora"), "qlora cannot be sharded"),
    ],
    ids=["one process", "four bits"],
)
def test_what_cannot_be_spread(changes: dict[str, Any], settings: Any, said: str, make_job: Any) -> None:
    with pytest.raises(UsageError, match=said):
        train(make_job(shard=True, **changes), settings)


def _finished_steps(scratch: Path) -> int:
    newest = last_checkpoint(scratch / "checkpoints")
    assert newest is not None
    state = torch.load(newest / "optimizer.pt", weights_only=True)["state"]
    return int(state[0]["step"])
