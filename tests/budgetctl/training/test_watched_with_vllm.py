"""A run whose answers vLLM gives, in its own process, under the live adapter as it is handed over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from training_results import largest_difference
from watched_runs import SFT, WATCH, write_rows

from budgetctl.engines.kept import close_engines
from budgetctl.engines.vllm import PYTHON_VARIABLE, VllmEngine
from budgetctl.forking.records import read_forks
from budgetctl.forking.triggers import PassTrigger, PerplexityTrigger, WatchSettings
from budgetctl.training.job import Watched
from budgetctl.training.run import train


@pytest.mark.slow
def test_vllm_gives_the_answers_of_the_live_model(
    make_job: Any, make_small_base: Callable[..., Path], tmp_path: Path, vllm_python: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(PYTHON_VARIABLE, vllm_python)
    write_rows(tmp_path)
    base = make_small_base(hidden=64)  # heads of 32, the smallest that vLLM's CPU attention takes
    greedy = {"samples": 1, "temperature": 0.0, "every": 96, "monitors": ()}
    triggers = (PerplexityTrigger(at_most=3.0), PassTrigger(k=1, at_least=0.2))
    jobs = {}
    for engine in ("transformers", "vllm"):
        watch = WatchSettings(**{**dict(WATCH), **greedy, "triggers": triggers, "engine": engine})
        watched = Watched(
            dev=tmp_path / "eval.parquet", task="arith", settings=watch, name=f"a trunk, {engine}"
        )
        jobs[engine] = make_job(data=tmp_path / "sft.parquet", base=base, watched=watched)
        train(jobs[engine], SFT)
    one, other = jobs["transformers"], jobs["vllm"]
    (kept,) = other.keep.values()
    assert isinstance(kept, VllmEngine)
    assert kept.starts == 1
    close_engines(other.keep)
    answers = [pyarrow.parquet.read_table(job.out / "answers.parquet").to_pylist() for job in (one, other)]
    assert len(answers[0]) == 4 * 20
    assert answers[0] == answers[1]
    assert len({row["text"] for row in answers[0]}) > 2
    assert read_forks(one.out / "forks.json") == read_forks(other.out / "forks.json")
    assert largest_difference(one.out, other.out) == 0
