"""A run that is watched: the training is the one it would be unwatched, and whatever kills it, it ends the same."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_results import curve_values, largest_difference
from watched_runs import BATCH, ROWS, SFT, WATCH, rows_of, write_rows

from budgetctl.engines.transformers import TransformersEngine
from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.forking.records import ForkRecord, read_forks, read_monitor
from budgetctl.forking.triggers import ExamplesTrigger, PerplexityTrigger, WatchSettings
from budgetctl.training.config import SftSettings
from budgetctl.training.job import TrainingJob, Watched
from budgetctl.training.monitor import Monitor
from budgetctl.training.order import RowOrder, Stretch
from budgetctl.training.run import train

STEPS = 28
TOLERANCE = 1e-6


@pytest.fixture
def make_trunk(make_job: Callable[..., TrainingJob], tmp_path: Path) -> Callable[..., TrainingJob]:
    """Make jobs over the rows of `watched_runs`, watched unless `watch` is None."""
    write_rows(tmp_path)

    def make(watch: WatchSettings | None = WATCH, **changes: Any) -> TrainingJob:
        watched = None
        if watch is not None:
            watched = Watched(dev=tmp_path / "eval.parquet", task="arith", settings=watch, name="trunk")
        return make_job(data=tmp_path / "sft.parquet", watched=watched, **changes)

    return make


def forks_of(job: TrainingJob) -> dict[str, ForkRecord]:
    return {record.trigger: record for record in read_forks(job.out / "forks.json")}


def assert_same_run(one: TrainingJob, other: TrainingJob) -> None:
    """Same curve, same measurements, same triggers at the same steps, same states."""
    assert curve_values(one.out, "loss") == pytest.approx(curve_values(other.out, "loss"), abs=TOLERANCE)
    first, second = read_monitor(one.out / "monitor.parquet"), read_monitor(other.out / "monitor.parquet")
    assert [(row.step, row.metric) for row in first] == [(row.step, row.metric) for row in second]
    assert [row.value for row in first] == pytest.approx([row.value for row in second], rel=1e-4)
    assert [row.learning_rate for row in first] == [row.learning_rate for row in second]
    found, expected = forks_of(one), forks_of(other)
    assert {name: (fork.fired, fork.step, fork.folder, fork.same_as) for name, fork in found.items()} == {
        name: (fork.fired, fork.step, fork.folder, fork.same_as) for name, fork in expected.items()
    }
    for fork in found.values():
        if fork.folder is not None:
            assert largest_difference(one.out / fork.folder, other.out / fork.folder) <= TOLERANCE
    assert largest_difference(one.out, other.out) <= TOLERANCE


def test_a_watched_training_is_the_training(make_trunk: Any) -> None:
    plain, watched = make_trunk(watch=None), make_trunk()
    train(plain, SFT)
    metrics = train(watched, SFT)
    assert largest_difference(plain.out, watched.out) == 0
    assert curve_values(plain.out, "loss") == curve_values(watched.out, "loss")
    assert metrics["steps"] == STEPS
    assert metrics["evaluations"] == 11
    assert metrics["forks_fired"] == sum(fork.fired for fork in forks_of(watched).values())


def test_what_a_trunk_leaves_behind(make_trunk: Any) -> None:
    job = make_trunk()
    train(job, SFT)
    forks = forks_of(job)
    assert list(forks) == [trigger.name for trigger in WATCH.triggers]
    assert forks["perplexity<=30"].fired
    assert not forks["perplexity<=1.0001"].fired
    best = min(
        (row for row in read_monitor(job.out / "monitor.parquet") if row.metric == "perplexity"),
        key=lambda row: row.value,
    )
    assert forks["perplexity<=1.0001"].value == best.value
    assert forks["perplexity<=1.0001"].step == best.step
    assert forks["examples=50"].step == 7
    assert forks["examples=50"].examples == 56
    kept = {fork.folder for fork in forks.values() if fork.fired}
    assert {f"at/{path.name}" for path in (job.out / "at").iterdir()} == kept
    for folder in kept:
        names = sorted(path.name for path in (job.out / str(folder)).iterdir())
        assert names == ["adapter_config.json", "adapter_model.safetensors", "state"]
    answers = pyarrow.parquet.read_table(job.out / "answers.parquet").to_pylist()
    assert len(answers) == 11 * 20 * 4
    last = [answer["right"] for answer in answers if answer["step"] == STEPS]
    final = next(row for row in read_monitor(job.out / "monitor.parquet")
                 if row.step == STEPS and row.metric == "pass@1")  # fmt: skip
    assert final.value == pytest.approx(sum(last) / len(last))


def test_distinct_rows_are_counted_in_the_order_that_is_trained(make_trunk: Any) -> None:
    job = make_trunk()
    train(job, SFT)
    order = RowOrder(ROWS, SFT.epochs, BATCH, job.seed)
    stream = order.stream()
    assert len(stream) == STEPS * BATCH > ROWS * SFT.epochs
    for row in read_monitor(job.out / "monitor.parquet"):
        assert row.examples == row.step * BATCH
        assert row.distinct == len(set(stream[: row.examples]))
        assert row.epoch == row.examples / ROWS
    assert [order.distinct(examples) for examples in (0, 8, 16, 24, 224)] == [0, 8, 16, 22, 22]


def test_rates_are_those_of_the_curve(make_trunk: Any) -> None:
    job = make_trunk()
    train(job, SFT)
    rates = curve_values(job.out, "learning_rate")
    for row in read_monitor(job.out / "monitor.parquet"):
        assert row.learning_rate == (rates[row.step - 1] if row.step else 0.0)


@pytest.mark.parametrize("seed", range(4))
def test_stopped_again_and_again(seed: int, make_trunk: Any) -> None:
    """Asked to stop at random moments, some of them within an evaluation."""
    undisturbed, job = make_trunk(), make_trunk()
    train(undisturbed, SFT)
    dice = random.Random(seed)
    stops = 0
    while stops < 12:
        asked, least = itertools.count(1), dice.randint(1, 12)
        try:
            train(replace(job, should_stop=lambda a=asked, n=least: next(a) >= n), SFT)
        except InterruptedRunError as stop:
            stops += 1
            assert f"of {STEPS}" in str(stop)
        else:
            break
    else:
        train(job, SFT)
    assert stops >= 3
    assert_same_run(job, undisturbed)


def _killed_somewhere(job: TrainingJob, seed: int) -> None:
    """Die at a random one of the moments that matter: a step's end, within an evaluation, between two of its files."""
    dice = random.Random(seed)
    moments = itertools.count()
    last = dice.randint(3, 14)

    def die() -> bool:
        if next(moments) >= last:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    keep, tell = Monitor._keep_state, Monitor._tell
    Monitor._keep_state = lambda *args: (die(), keep(*args), die())  # type: ignore[method-assign, assignment, return-value]
    Monitor._tell = lambda *args: (die(), tell(*args))  # type: ignore[method-assign, assignment, return-value]
    train(replace(job, should_stop=die, checkpoint_every_s=0.0), SFT)


@pytest.mark.slow
def test_killed_twenty_times(make_trunk: Any) -> None:
    undisturbed, job = make_trunk(), make_trunk()
    train(undisturbed, SFT)
    fork = multiprocessing.get_context("fork")
    kills = 0
    for seed in range(20):
        process = fork.Process(target=_killed_somewhere, args=(job, seed))
        process.start()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            break
    assert kills >= 5
    train(job, SFT)
    assert_same_run(job, undisturbed)


def test_a_failing_measurement_leaves_the_model_as_it_was(
    make_trunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third generation fails; the next attempt goes on and ends as if nothing had happened."""
    undisturbed, job = make_trunk(), make_trunk()
    train(undisturbed, SFT)
    real, calls = TransformersEngine.generate, itertools.count(1)

    def failing(engine: Any, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 3:
            torch.manual_seed(99)
            raise RuntimeError("no answer")
        return real(engine, *args, **kwargs)

    monkeypatch.setattr(TransformersEngine, "generate", failing)
    with pytest.raises(RuntimeError, match="no answer"):
        train(replace(job, checkpoint_every_s=0.0), SFT)
    train(job, SFT)
    assert_same_run(job, undisturbed)


def test_nothing_fires(make_trunk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from budgetctl.console import LineReporter  # noqa: PLC0415

    hopeless = WATCH.model_copy(update={"triggers": (PerplexityTrigger(at_most=1.0001),)})
    job = make_trunk(watch=hopeless, reporter=LineReporter())
    metrics = train(job, SFT)
    assert (metrics["forks_fired"], metrics["states_kept"]) == (0, 0)
    assert not (job.out / "at").exists()
    assert "0 of 1 triggers fired, 0 states kept; nothing can be forked" in capsys.readouterr().err
    assert not forks_of(job)["perplexity<=1.0001"].fired


def test_example_counts_alone_need_no_measurement(make_trunk: Any) -> None:
    counts = WatchSettings(every=1000, triggers=tuple(ExamplesTrigger(at=at) for at in (1, 16, 100)))
    job = make_trunk(watch=counts)
    assert train(job, SFT)["evaluations"] == 0
    assert [fork.step for fork in forks_of(job).values()] == [1, 2, 13]
    assert not (job.out / "answers.parquet").exists()


def test_a_state_before_the_first_step(make_trunk: Any) -> None:
    """A threshold that the base itself has passed fires at step 0, and its state is the base."""
    job = make_trunk(watch=WATCH.model_copy(update={"triggers": (PerplexityTrigger(at_most=1e6),)}))
    train(job, SFT)
    fork = forks_of(job)["perplexity<=1000000"]
    assert (fork.step, fork.examples, fork.distinct) == (0, 0, 0)
    assert (job.out / "at" / "0" / "adapter_model.safetensors").exists()


def test_recomputed_activations_do_not_hinder_an_evaluation(
    make_trunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from budgetctl.training.attempt import attempt  # noqa: PLC0415

    plain, recomputing = make_trunk(), make_trunk()
    attempt(plain, SFT, recompute=False)
    attempt(recomputing, SFT, recompute=True)
    assert largest_difference(plain.out, recomputing.out) < 1e-3
    assert {n: f.step for n, f in forks_of(plain).items()} == {
        n: f.step for n, f in forks_of(recomputing).items()
    }


@pytest.mark.slow
@pytest.mark.usefixtures("warm_processes")
def test_two_processes_are_watched_too(make_trunk: Any) -> None:
    settings = SftSettings.model_validate({**SFT.model_dump(), "lora": {"rank": 8}})
    one, two = make_trunk(), make_trunk(processes=2, micro_batch=4)
    train(one, settings)
    assert train(two, settings)["processes"] == 2
    assert largest_difference(one.out, two.out) < 5e-3
    assert set(forks_of(one)) == set(forks_of(two))
    assert forks_of(two)["examples=50"].folder == "at/7"


def test_rows_that_cannot_be_measured(make_trunk: Any, tmp_path: Path) -> None:
    job = make_trunk()
    with pytest.raises(UsageError, match="in one way only"):
        train(make_trunk(watch=WATCH.model_copy(update={"strict": False})), SFT)
    with pytest.raises(UsageError, match="weights: full would keep a whole model"):
        train(job, SftSettings(weights="full"))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows_of(0, 1)), tmp_path / "eval.parquet")
    with pytest.raises(UsageError, match="hold 1 prompts"):
        train(job, SFT)
    bare = [{**row, "answer": None} for row in rows_of(0, 5)]
    schema = pyarrow.schema([("prompt_id", pyarrow.string()), ("prompt", pyarrow.list_(pyarrow.struct(
        [("role", pyarrow.string()), ("content", pyarrow.string())]))), ("reference", pyarrow.string()),
        ("answer", pyarrow.string())])  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(bare, schema=schema), tmp_path / "eval.parquet")
    with pytest.raises(UsageError, match="have no gold answers"):
        train(job, SFT)


def test_evaluations_are_stored_exactly(make_trunk: Any) -> None:
    """Every stored evaluation is whole JSON with the items that a decision rests on."""
    job = make_trunk()
    train(job, SFT)
    stored = sorted((job.scratch / "watched" / "evaluations").iterdir(), key=lambda path: int(path.stem))
    assert len(stored) == 12
    document = json.loads(json.loads(stored[0].read_text())["evaluation"])
    assert [len(one["items"]) for one in document["measurements"]] == [20, 20, 20]


@given(rows=st.integers(1, 40), examples=st.integers(0, 200), seed=st.integers(0, 9))
def test_distinct_rows_are_those_of_the_stream(rows: int, examples: int, seed: int) -> None:
    order = RowOrder(rows, 1.0, BATCH, seed)
    assert order.distinct(examples) == len(set(order.first(examples)))


def test_a_stretch_goes_on_where_the_order_was_left() -> None:
    order = RowOrder(ROWS, 1.0, BATCH, seed=3)
    stretch = Stretch(order, after=24, at_least=17)
    assert (stretch.steps, stretch.examples) == (3, 24)
    assert stretch.stream() == order.first(48)[24:]
    assert order.first(24) == order.stream()
