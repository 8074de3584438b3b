"""`run` as a user meets it: what is not done is said, and the exit code says it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from budgetctl.__main__ import run


def test_data_stages_that_fail_end_the_run_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("{name: t, base: tiny, task: gsm8k, budgets: [10], shares: [1]}")
    words = ["--grid", str(recipe), "--store", str(tmp_path / "s"), "--jobs", "1", "--offline"]
    assert run(["run", *words, "--only", "data"]) == 1
    told = capfd.readouterr().err
    assert "stages are not done" in told
    assert "cannot get" in told
    assert "Traceback" not in told
