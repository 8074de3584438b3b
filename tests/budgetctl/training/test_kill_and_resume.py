"""A training that is stopped or killed at any step ends as an undisturbed one does."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
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


def stopping_after(steps: int, scored: Path | None = None) -> Callable[[], bool]:
    """A should_stop that says yes from that many finished steps of its attempt on, once a reference is there."""
    calls = itertools.count(1)
    return lambda: (scored is None or scored.exists()) and next(calls) >= steps


def assert_equal(one: Path, other: Path, steps: int = STEPS) -> None:
    assert largest_difference(one, other) <= TOLERANCE
    assert curve_values(one, "loss") == pytest.approx(curve_values(other, "loss"), abs=TOLERANCE)
    assert len(curve_values(one, "loss")) == steps


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
    scored = None if settings is SFT else job.scratch / "reference.parquet"
    stops = 0
    while stops < 7:
        try:
            stopping = stopping_after(dice.randint(1, 3), scored)
            metrics = train(replace(job, should_stop=stopping), settings)
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


LONG = {"epochs": 10, "batch_size": 8, "optimizer": GENTLE}
KILLS = ("starting", "anywhere", "writing", "anywhere", "starting", "writing", "anywhere")
"""When each life of a training ends: before its first step; within the steps that follow; while a checkpoint is on disk
that is not whole yet."""


def _live(job: TrainingJob, settings: Any, stepping: Path) -> None:
    def stepped() -> bool:
        stepping.touch()
        return False

    train(replace(job, should_stop=stepped, checkpoint_every_s=0.0), settings)


def _unfinished(job: TrainingJob) -> bool:
    return any(not (folder / "whole").exists() for folder in job.scratch.glob("checkpoints/checkpoint-*"))


def _until(condition: Callable[[], bool], process: Any) -> None:
    while not condition() and process.is_alive():
        time.sleep(0.0005)


def _held_in_a_checkpoint(job: TrainingJob, process: Any) -> bool:
    """Hold a process while a checkpoint is not whole; let it go on if that has changed until it stood still."""
    if not _unfinished(job):
        return False
    os.kill(process.pid, signal.SIGSTOP)
    state = Path(f"/proc/{process.pid}/stat")
    _until(lambda: state.read_text().rsplit(")", 1)[1].split()[0] in "TZ", process)
    if _unfinished(job):
        return True
    os.kill(process.pid, signal.SIGCONT)
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("sft.parquet", SftSettings(**LONG, lora=LoraSettings(rank=4, dropout=0.1))),
        ("pref.parquet", PftSettings(**LONG, lora=SMALL)),
        ("unpaired.parquet", PftSettings(**LONG, method="kto", lora=SMALL)),
    ],
    ids=["sft-with-dropout", "dpo", "kto"],
)
def test_killed_at_random_moments(data: str, settings: Any, make_job: Any, tmp_path: Path) -> None:
    """Seven real kills of each method, 21 in all: by the clock of another process, so within whatever is done then."""
    began = time.monotonic()
    undisturbed, job = make_job(data), make_job(data)
    train(undisturbed, settings)
    whole_s = time.monotonic() - began
    dice = random.Random(settings.epochs)
    fork = multiprocessing.get_context("fork")
    torn = 0
    for life, moment in enumerate(KILLS):
        stepping = tmp_path / f"stepping-{life}"
        process = fork.Process(target=_live, args=(job, settings, stepping))
        process.start()
        if moment == "starting":
            time.sleep(dice.uniform(0, 0.3 * whole_s))
        else:
            _until(stepping.exists, process)
            time.sleep(dice.uniform(0, 0.03 * whole_s))
        if moment == "writing":
            _until(partial(_held_in_a_checkpoint, job, process), process)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"life {life} ended by itself"
        torn += _unfinished(job)
    assert torn >= KILLS.count("writing")
    assert train(job, settings)["resumed_at_step"] > 0
    assert_equal(job.out, undisturbed.out, steps=30)


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
