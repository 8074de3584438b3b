"""A training that is stopped or killed at any step ends as an undisturbed one does."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training_results import curve_values, largest_difference

from budgetctl.errors import BudgetctlError, InterruptedRunError
from budgetctl.training.config import LoraSettings, OptimizerSettings, PftSettings, SftSettings
from budgetctl.training.job import TrainingJob
from budgetctl.training.run import train
from budgetctl.training.trl_trainers import _Checkpoints, last_checkpoint

GENTLE = OptimizerSettings(learning_rate=1e-3)
SMALL = LoraSettings(rank=4)
SFT = SftSettings(epochs=4, batch_size=8, optimizer=GENTLE, lora=LoraSettings(rank=4, dropout=0.1))
DPO = PftSettings(epochs=4, batch_size=8, optimizer=GENTLE, lora=SMALL)
KTO = PftSettings(method="kto", epochs=4, batch_size=8, optimizer=GENTLE, lora=SMALL)
STEPS = 12
TOLERANCE = 1e-6
"""Of weights and losses; on one machine the resumed run is the same arithmetic."""


def stopping_after(steps: int) -> Callable[[], bool]:
    """A should_stop that says yes from that many finished steps of its attempt on."""
    calls = itertools.count(1)
    return lambda: next(calls) >= steps


def assert_equal(one: Path, other: Path) -> None:
    assert largest_difference(one, other) <= TOLERANCE
    assert curve_values(one, "loss") == pytest.approx(curve_values(other, "loss"), abs=TOLERANCE)
    assert len(curve_values(one, "loss")) == STEPS


@pytest.mark.parametrize(
    ("data", "settings"),
    [("sft.parquet", SFT), ("pref.parquet", DPO), ("unpaired.parquet", KTO)],
    ids=["sft-with-dropout", "dpo", "kto"],
)
def test_stopped_again_and_again(data: str, settings: Any, make_job: Any) -> None:
    undisturbed = make_job(data)
    train(undisturbed, settings)
    job = make_job(data)
    dice = random.Random(5)
    stops = 0
    while stops < 7:
        try:
            metrics = train(replace(job, should_stop=stopping_after(dice.randint(1, 3))), settings)
        except InterruptedRunError as stop:
            stops += 1
            assert f"of {STEPS}" in str(stop)
            assert last_checkpoint(job.scratch / "checkpoints") is not None
        else:
            break
    else:
        metrics = train(job, settings)
    assert stops >= 3
    assert metrics["resumed_at_step"] > 0
    assert_equal(job.out, undisturbed.out)


def _killed_after(job: TrainingJob, steps: int) -> None:
    calls = itertools.count(1)

    def die() -> bool:
        if next(calls) > steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    train(replace(job, should_stop=die, checkpoint_every_s=0.0), SFT)


@pytest.mark.slow
def test_killed_twenty_times(make_job: Any) -> None:
    """Real kills, between the step and its checkpoint, so the last step is lost each time and done again."""
    undisturbed = make_job()
    train(undisturbed, SFT)
    job = make_job()
    dice = random.Random(11)
    fork = multiprocessing.get_context("fork")
    kills = 0
    for _ in range(20):
        process = fork.Process(target=_killed_after, args=(job, dice.randint(0, 2)))
        process.start()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            break
    assert kills >= 5
    train(job, SFT)
    assert_equal(job.out, undisturbed.out)


def test_an_unfinished_checkpoint_is_not_taken(make_job: Any) -> None:
    undisturbed, job = make_job(), make_job()
    train(undisturbed, SFT)
    with pytest.raises(InterruptedRunError):
        train(replace(job, should_stop=stopping_after(4)), SFT)
    newer = job.scratch / "checkpoints" / "checkpoint-9"
    newer.mkdir()
    (newer / "trained.safetensors").write_bytes(b"cut off")
    train(job, SFT)
    assert_equal(job.out, undisturbed.out)


def test_another_micro_batch_may_continue(make_job: Any) -> None:
    settings = SFT.model_copy(update={"lora": SMALL})
    undisturbed, job = make_job(), make_job(micro_batch=8)
    train(undisturbed, settings)
    with pytest.raises(InterruptedRunError):
        train(replace(job, should_stop=stopping_after(5)), settings)
    assert train(replace(job, micro_batch=2), settings)["resumed_at_step"] == 5
    assert largest_difference(job.out, undisturbed.out) < 2e-4


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_step(make_job: Any) -> None:
    wild = SftSettings(epochs=8, optimizer=OptimizerSettings(learning_rate=1e30, warmup=0, schedule="constant",
                                                             max_grad_norm=1e30))  # fmt: skip
    job = make_job()
    with pytest.raises(BudgetctlError, match=r"loss became (nan|inf) at step 2 of 12"):
        train(job, wild)
    kept = last_checkpoint(job.scratch / "checkpoints")
    assert kept is not None
    assert kept.name == "checkpoint-1"
    assert not list(job.out.iterdir())


class _Finite:
    """A trainer of one of two processes, whose own loss is a number."""

    def training_step(self) -> torch.Tensor:
        return torch.tensor(6.78)


class _OneOfTwo(_Checkpoints, _Finite):
    model = torch.nn.Linear(1, 1)
    state = SimpleNamespace(global_step=0, max_steps=12)
    accelerator = SimpleNamespace(num_processes=2, reduce=lambda finite, _: finite)  # the other one's is none


def test_a_process_whose_own_loss_is_a_number_says_that_anothers_is_none() -> None:
    with pytest.raises(BudgetctlError, match=r"^Another process's loss is not a number at step 1 of 12"):
        _OneOfTwo().training_step()
