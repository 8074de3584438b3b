"""A real model on real rows through the real commands: SmolLM2-135M-Instruct on GSM8K, a few steps on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from store import Store
from tests.e2e.commands import Run

RECIPE = """
name: real
base: BASE
task: gsm8k
method: dpo
budgets: [3]
shares: [0.67]
data: {path: ROWS}
sft: {epochs: 1, batch_size: 1, max_length: 640}
pft: {epochs: 1, batch_size: 1, max_length: 640}
eval: {size: 2, max_new_tokens: 16}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smollm2_goes_from_rows_to_a_score(
    budgetctl: Run, smollm2: Path, shared_data: Path, store: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "real.yaml"
    recipe.write_text(RECIPE.replace("BASE", str(smollm2)).replace("ROWS", str(shared_data / "gsm8k")))
    budgetctl("run", "--grid", recipe, "--jobs", 1)
    found = {artifact.stage: artifact for artifact in Store.open(store).artifacts()}
    assert found["sft"].metrics["steps"] == 2
    assert found["pft"].metrics["first_loss"] == pytest.approx(0.693147, abs=2e-3)
    assert found["eval"].metrics["answers"] == 2
    (table,) = json.loads(budgetctl("report", "--grid", recipe, "--format", "json").stdout)
    (cell,) = table["cells"]
    assert cell["score"] == found["eval"].metrics[str(found["eval"].metrics["primary"])]
    again = budgetctl("run", "--grid", recipe)
    assert "already there" in again.stderr
