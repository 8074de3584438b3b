"""Trackers get every step's figures, and cannot hurt a run."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from budgetctl.console import SilentReporter
from budgetctl.errors import UsageError
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
    assert [figures["step"] for name, figures in calls if name == "log"] == [1, 2, 3]
    assert all(
        {"loss", "learning_rate", "grad_norm"} <= set(figures) for name, figures in calls if name == "log"
    )


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
