"""Results travel: another folder, host name and user id pull, verify and report without running a stage."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import BUDGETCTL, Run, clean_environment, published

RECIPE = """
name: travels
base: tiny
task: arith
method: dpo
budgets: [16]
shares: [1, 0.5]
base_settings: {steps: 5, hidden: 48, layers: 2, heads: 3, feed_forward: 96}
data: {options: {train: 200, test: 20}}
eval: {max_new_tokens: 16}
"""

OTHER_USER = 12345


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[..., str]:
    """Run one command line as another user of another host in another folder, and return its stdout."""
    folder = tmp_path / "another machine"
    folder.mkdir()
    (folder / "travels.yaml").write_text(RECIPE)
    first = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--uts"]
    second = f'hostname other-host && exec unshare --user --map-user={OTHER_USER} "$@"'

    def run(*arguments: object) -> str:
        command = [*first, "sh", "-c", second, "-", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=clean_environment(), check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def table(text: str) -> dict[float, dict[str, object]]:
    (found,) = json.loads(text)
    return {cell["sft_ratio"]: cell for cell in found["cells"]}


@pytest.mark.slow
def test_another_machine_reports_what_it_pulled(
    budgetctl: Run, elsewhere: Callable[..., str], tmp_path: Path
) -> None:
    recipe, remote = tmp_path / "travels.yaml", tmp_path / "remote"
    recipe.write_text(RECIPE)
    budgetctl("run", "--grid", recipe, "--jobs", "1")
    here = table(budgetctl("report", "--grid", recipe, "--format", "json").stdout)
    plan = json.loads(budgetctl("plan", "--grid", recipe, "--json").stdout)
    cell = next(cell for cell in plan["cells"] if cell["share"] == 0.5)
    budgetctl("store", "push", remote)

    assert elsewhere("sh", "-c", "hostname; id -u") == f"other-host\n{OTHER_USER}\n"
    theirs = tmp_path / "another machine" / ".budgetctl"
    elsewhere(BUDGETCTL, "store", "pull", remote, cell["stages"]["eval"])
    elsewhere(BUDGETCTL, "store", "verify", "--deep")
    assert published(theirs) == set(cell["stages"].values())
    there = table(elsewhere(BUDGETCTL, "report", "--grid", "travels.yaml", "--format", "json"))
    assert there[0.5]["score"] == here[0.5]["score"] is not None
    assert there[1.0]["score"] is None
    lineage = elsewhere(BUDGETCTL, "report", "lineage", cell["stages"]["eval"])
    assert all(key[:12] in lineage for key in cell["stages"].values())

    elsewhere(BUDGETCTL, "store", "pull", remote, "--plan", plan["plan"])
    assert table(elsewhere(BUDGETCTL, "report", "--plan", plan["plan"], "--format", "json")) == here
    page = elsewhere(BUDGETCTL, "report", "--plan", plan["plan"], "--format", "html")
    assert page.lower().startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    refused = budgetctl("report", "--grid", recipe, "--metric", "beauty", check=2)
    assert "no score 'beauty'" in refused.stderr and "correct" in refused.stderr
    assert not list(theirs.glob("attempts/*/*")) and not list(theirs.glob("leases/*")), "no stage was run"
