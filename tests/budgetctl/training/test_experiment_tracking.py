"""Trackers get every step's figures, and cannot hurt a run."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from training_results import curve_values
from wandb.proto import wandb_internal_pb2

from budgetctl.console import SilentReporter
from budgetctl.errors import UsageError
from budgetctl.study.labels import labels_of
from budgetctl.study.plan import Plan, PlannedCell
from budgetctl.training.config import LoraSettings, SftSettings
from budgetctl.training.run import train
from budgetctl.training.tracking import tracker


class Told(SilentReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def stand_in(name: str, monkeypatch: pytest.MonkeyPatch, breaks: str = "") -> list[tuple[str, Any]]:
    """A module in the tracker's place that records its calls, for what no real tracker can be made to do."""
    calls: list[tuple[str, Any]] = []
    module = ModuleType(name)

    def method(called: str) -> Any:
        def record(*args: Any, **kwargs: Any) -> None:
            calls.append((called, args[0] if args else kwargs))
            if called == breaks:
                raise RuntimeError("no route to host")

        return record

    for called in ("init", "log", "finish"):
        setattr(module, called, method(called))
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("budgetctl.training.tracking.find_spec", lambda _: object())
    return calls


def test_every_step_is_mirrored(make_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_in("trackio", monkeypatch)
    with tracker("trackio", "run", {"key": "k"}, SilentReporter()) as track:
        train(make_job(track=track), SftSettings(epochs=2, lora=LoraSettings(rank=4)))
    names = [name for name, _ in calls]
    assert names == ["init", "log", "log", "log", "finish"]
    assert calls[0][1] == {"project": "budgetctl", "name": "run", "config": {"key": "k"}}
    assert all(
        {"loss", "learning_rate", "grad_norm"} <= set(figures) for name, figures in calls if name == "log"
    )


def test_a_study_is_a_group_and_its_cells_are_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_in("wandb", monkeypatch)
    with tracker("wandb", "run", {"key": "k"}, SilentReporter(), group="my-study"):
        pass
    assert calls[0][1]["group"] == "my-study"
    cells = (
        PlannedCell(
            "one", {"base": "tiny", "budget": 8.0, "share": 1.0, "method": "dpo", "seed": 0}, {"sft": "k"}
        ),
        PlannedCell(
            "two", {"base": "tiny", "budget": 16.0, "share": 0.5, "method": "dpo", "seed": 0}, {"sft": "k"}
        ),
        PlannedCell(
            "three", {"base": "other", "budget": 99.0, "share": 0.0, "method": None, "seed": 0}, {"sft": "m"}
        ),
    )
    assert labels_of(Plan("my-study", {}, cells, {}), "k") == {
        "plan": "my-study", "base": "tiny", "method": "dpo", "budget": [8.0, 16.0], "share": [0.5, 1.0], "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize("breaks", ["init", "log", "finish"])
def test_a_tracker_that_fails_is_left_out(
    breaks: str, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = stand_in("wandb", monkeypatch, breaks)
    told = Told()
    with tracker("wandb", "run", {}, told) as track:
        metrics = train(make_job(track=track), SftSettings(epochs=2, lora=LoraSettings(rank=4)))
    assert metrics["steps"] == 3
    assert [name for name, _ in calls].count(breaks) == 1
    assert told.lines == ["wandb failed and is left out from here on: RuntimeError: no route to host"]


def test_an_unknown_tracker_and_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(UsageError, match="Known: wandb, trackio"),
        tracker("mlflow", "run", {}, SilentReporter()),
    ):
        pass
    monkeypatch.setattr("budgetctl.training.tracking.find_spec", lambda _: None)
    with (
        pytest.raises(UsageError, match=r"pip install 'budgetctl\[track\]'"),
        tracker("wandb", "r", {}, SilentReporter()),
    ):
        pass


def test_without_a_tracker_nothing_is_called() -> None:
    with tracker(None, "run", {}, SilentReporter()) as track:
        assert track is None


QUICK = SftSettings(epochs=2, lora=LoraSettings(rank=4))


def wandb_records(file: Path) -> Iterator[Any]:
    """Read an offline run's file: LevelDB's log format after a header of 7 bytes, one protobuf message a record."""
    data, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the only, or the last part of a record
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


@pytest.mark.slow
def test_wandb_offline_files_hold_the_curve(
    make_job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    told = Told()
    with tracker("wandb", "sft-abc", {"key": "abc", "parents": {"base": "b"}}, told) as track:
        job = make_job(track=track)
        train(job, QUICK)
    assert told.lines == []
    assert capsys.readouterr().out == ""
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    until = time.monotonic() + 20
    while (
        file.stat().st_size <= 7 and time.monotonic() < until
    ):  # W&B's process may write after `finish` came back
        time.sleep(0.05)
    records = list(wandb_records(file))
    run = next(record.run for record in records if record.WhichOneof("record_type") == "run")
    assert run.display_name == "sft-abc"
    assert json.loads(next(item.value_json for item in run.config.update if item.key == "key")) == "abc"
    losses = [
        json.loads(item.value_json)
        for record in records if record.WhichOneof("record_type") == "history"
        for item in record.history.item if (item.key or item.nested_key[0]) == "loss"
    ]  # fmt: skip
    assert losses == pytest.approx(curve_values(job.out, "loss"))


@pytest.mark.slow
def test_trackio_files_hold_the_curve(
    make_job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trackio.utils.TRACKIO_DIR", tmp_path / "trackio", raising=True)
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio", raising=True)
    told = Told()
    with tracker("trackio", "sft-abc", {"key": "abc"}, told) as track:
        job = make_job(track=track)
        train(job, QUICK)
    assert told.lines == []
    assert capsys.readouterr().out == ""
    (file,) = tmp_path.glob("trackio/*.db")
    with sqlite3.connect(file) as database:
        logged = database.execute(
            "SELECT step, metrics FROM metrics WHERE run_name = 'sft-abc' ORDER BY step"
        ).fetchall()
    assert [step for step, _ in logged] == [1, 2, 3]
    assert [json.loads(values)["loss"] for _, values in logged] == pytest.approx(
        curve_values(job.out, "loss")
    )


UNREACHABLE = """
import sys, time
from budgetctl.console import LineReporter
from budgetctl.training.tracking import tracker
keep = {}
for number in range(2):
    began = time.monotonic()
    with tracker("wandb", f"run-{number}", {}, LineReporter(), keep=keep) as track:
        if track is not None:
            track(1, {"loss": 1.0})
    print(f"took {time.monotonic() - began:.3f}", file=sys.stderr)
print("the key")
"""


@pytest.mark.slow
def test_a_server_that_is_not_there_costs_little_once_and_leaves_stdout_alone(tmp_path: Path) -> None:
    """In a process of its own: W&B's service process writes its farewell when ours ends."""
    environment = {
        **os.environ, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "a" * 40, "WANDB_DIR": str(tmp_path),
        "WANDB_INIT_TIMEOUT": "2",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", UNREACHABLE], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "the key\n"
    assert done.stderr.count("wandb failed and is left out") == 1
    first, second = (float(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("took"))
    assert first < 45
    assert second < 0.1


def test_the_wait_for_a_server_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in("wandb", monkeypatch)
    monkeypatch.delenv("WANDB_INIT_TIMEOUT", raising=False)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "7")
    with tracker("wandb", "run", {}, SilentReporter()):
        assert os.environ["WANDB_INIT_TIMEOUT"] == "10"
        assert os.environ["WANDB_FINISH_TIMEOUT"] == "7"


def test_what_a_trackers_processes_print_goes_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in("wandb", monkeypatch)
    monkeypatch.setattr(
        sys.modules["wandb"], "init", lambda **_: subprocess.run(["echo", "hello"], check=True)
    )
    with tracker("wandb", "run", {}, SilentReporter()):
        print("the key")
    assert capfd.readouterr() == ("the key\n", "hello\n")
