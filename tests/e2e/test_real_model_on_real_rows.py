"""A real model on real rows through the real commands: SmolLM2-135M-Instruct on GSM8K, a few steps on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.commands import Run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smollm2_goes_from_rows_to_a_score(budgetctl: Run, smollm2: Path, shared_data: Path) -> None:
    rows = ("gsm8k", "--path", shared_data / "gsm8k")
    short = ("--epochs", 1, "--batch-size", 3, "--set", "max_length=640")
    data = budgetctl("data", *rows, "--kind", "sft", "--size", 6).stdout.strip()
    pairs = budgetctl("data", *rows, "--kind", "pref", "--size", 3).stdout.strip()
    sft = budgetctl("sft", "--base", smollm2, "--data", data, *short).stdout.strip()
    pft = budgetctl("pft", "--method", "dpo", "--from", sft, "--data", pairs, *short).stdout.strip()
    gen = budgetctl(
        "gen", pft, "--path", shared_data / "gsm8k", "--size", 4, "--max-new-tokens", 16
    ).stdout.strip()
    evaluation = budgetctl("eval", gen).stdout.strip()

    def manifest(key: str) -> dict[str, dict[str, float]]:
        shown: dict[str, dict[str, float]] = json.loads(budgetctl("store", "show", key).stdout)
        return shown

    assert manifest(sft)["metrics"]["steps"] == 2
    assert manifest(pft)["metrics"]["first_loss"] == pytest.approx(0.693147, abs=2e-3)
    assert manifest(evaluation)["metrics"]["answers"] == 4
    again = budgetctl("sft", "--base", smollm2, "--data", data, *short)
    assert again.stdout.strip() == sft
    assert "found in" in again.stderr
