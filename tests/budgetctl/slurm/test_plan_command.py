"""`budgetctl plan` as a user runs it: what goes to stdout, what to stderr, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from budgetctl.slurm.cluster import file_system_of
from budgetctl.slurm.settings import SlurmSettings
from budgetctl.slurm.submission import overridden, submission
from store import Store

RECIPE = {
    "name": "small", "base": "tiny", "task": "arith", "budgets": [8], "shares": [1, 0.5], "base_settings": {"steps": 2},
    "cost": {"gpu_hour": 2.0}, "slurm": {"workers": 3, "gpus": "a100:2", "time": "0:30:00"},
}  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def plan(recipe: Path, *options: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BUDGETCTL")}
    store = str(recipe.parent / "st")
    return subprocess.run(
        [sys.executable, "-m", "budgetctl", "plan", "--grid", str(recipe), "--store", store, *options],
        capture_output=True, text=True, timeout=60, check=False, env=environment | ({"PATH": path} if path else {}),
    )  # fmt: skip


def test_a_pipe_gets_the_script_and_nothing_else(recipe: Path) -> None:
    done = plan(
        recipe, "--partition", "gpu", "--array", "2%1", "--setup", "module load cuda", path="/nonexistent"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('#!/bin/bash\n#SBATCH --job-name="small"\n#SBATCH --array=0-1%1\n')
    for line in ("#SBATCH --partition=gpu", "#SBATCH --gpus=a100:2", "module load cuda || setup_failed"):
        assert line in done.stdout
    (identifier,) = Store.open(recipe.parent / "st").plans()
    assert f"--plan {identifier}" in done.stdout
    for said in ("3 cells", "GPU time to do", "at $2 an hour", "cost model (assumed", "not on a shared file system",
                 "there is no sbatch on this machine", "run --jobs N", "setup: module load cuda"):  # fmt: skip
        assert said in done.stderr
    assert Path(recipe.parent / "st" / "logs" / identifier[:12]).is_dir(), (
        "Slurm does not make the folder of its logs"
    )


@pytest.mark.parametrize("emit", ["bash", "k8s", "json", "dot", "table"])
def test_other_outputs(recipe: Path, emit: str) -> None:
    done = plan(
        recipe, "--emit", emit, *(["--image", "lab/budgetctl", "--claim", "st"] if emit == "k8s" else [])
    )
    assert done.returncode == 0, done.stderr
    if emit == "json":
        document = json.loads(done.stdout)
        assert {cell["share"] for cell in document["cells"]} == {0.0, 0.5, 1.0}
        assert {stage["estimated_from"] for stage in document["stages"].values()} == {"model"}
    elif emit == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
        assert "#SBATCH" not in done.stdout
    elif emit == "k8s":
        spec = yaml.safe_load(done.stdout)["spec"]
        assert (spec["completions"], spec["completionMode"]) == (3, "Indexed")
    elif emit == "dot":
        assert done.stdout.startswith("digraph plan {")
        assert done.stdout.count("->") > 10
    else:
        assert "distinct stages" in done.stdout
        assert done.stderr == ""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--partition", "a\n#SBATCH --wrap=id"], "partition: must be a name"),
        (["--time", "soon"], "time: must be a time limit"),
        (["--array", "0-3"], "--array takes a number of workers"),
        (["--setup", "rm -rf ~"], "must begin with one of module"),
        (["--gpus", "$(id)"], "gpus: must be a number"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_printed(
    recipe: Path, options: list[str], sentence: str
) -> None:
    done = plan(recipe, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_no_more_workers_than_stages_or_the_array_allows(tmp_path: Path) -> None:
    settings = overridden(SlurmSettings(workers=5000), {"at_once": 10, "time": None})
    common = {"plan_id": "ab" * 32, "name": "x", "store": tmp_path, "summary": "", "options": ()}
    assert submission(settings, remaining=7, **common).job.workers == 7  # type: ignore[arg-type]
    many = submission(settings, remaining=10_000, **common)  # type: ignore[arg-type]
    assert many.job.workers <= 1001
    assert any("MaxArraySize" in warning for warning in many.warnings)
    assert submission(settings, remaining=0, **common).job.workers == 1  # type: ignore[arg-type]


def test_the_file_system_of_a_store() -> None:
    mounts = "root / ext4 rw 0 0\nfs:/x /shared nfs4 rw 0 0\nl /shared/fast\\040lane lustre rw 0 0\n"
    assert file_system_of(Path("/shared/a/b"), mounts) == "nfs4"
    assert file_system_of(Path("/shared/fast lane/s"), mounts) == "lustre"
    assert file_system_of(Path("/sharedness"), mounts) == "ext4"
