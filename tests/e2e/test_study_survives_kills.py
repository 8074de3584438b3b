"""A small real study: killed at random moments it loses nothing, and done it does nothing again."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import Run, clean_environment, published, run_and_kill

RECIPE = """
name: small
base: tiny
task: arith
method: dpo
budgets: [24, 48]
shares: [1, 0.5, 0]
seeds: [0]
base_settings: {steps: 40, hidden: 48, layers: 2, heads: 3, feed_forward: 96}
data: {options: {train: 400, test: 40}}
sft: {epochs: 2, batch_size: 8, optimizer: {learning_rate: 3.0e-3}}
pft: {epochs: 2, batch_size: 8}
"""


@pytest.fixture
def program(warm_budgetctl: tuple[str, ...]) -> tuple[str, ...]:
    return warm_budgetctl


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def undisturbed(
    made_once: Callable[[str, Callable[[Path], None]], Path], warm_budgetctl: tuple[str, ...]
) -> Path:
    """The store of the study after an undisturbed run, for all tests to read or to copy."""

    def make(folder: Path) -> None:
        (folder / "small.yaml").write_text(RECIPE)
        command = [
            *(*warm_budgetctl, "run", "--grid", folder / "small.yaml"),
            *("--store", folder / "store", "--jobs", "2"),
        ]
        done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return made_once("undisturbed", make) / "store"


@pytest.fixture
def finished(undisturbed: Path, store: Path) -> Path:
    """A copy of it as this test's own store."""
    shutil.copytree(undisturbed, store, symlinks=True)
    return store


def scores(done: subprocess.CompletedProcess[str]) -> dict[tuple[float, float], float]:
    """(budget, share) → mean score, from the JSON table."""
    (table,) = json.loads(done.stdout)
    return {(cell["budget"], cell["sft_ratio"]): cell["score"] for cell in table["cells"]}


@pytest.mark.slow
def test_killed_ten_times_the_study_ends_as_if_undisturbed(
    budgetctl: Run, program: tuple[str, ...], recipe: Path, store: Path, undisturbed: Path
) -> None:
    calm_table = scores(budgetctl("report", "--grid", recipe, "--store", undisturbed, "--format", "json"))

    dice = random.Random(20_261_122)
    before: set[str] = set()
    for _ in range(10):
        run_and_kill(program, recipe, store, after_s=dice.uniform(0.5, 3.0))
        assert before <= published(store), "a finished stage was lost"
        before = published(store)
        if before:
            budgetctl("store", "verify", "--deep", "--store", store)
    budgetctl("run", "--grid", recipe, "--store", store, "--jobs", "2")

    assert published(store) == published(undisturbed)
    budgetctl("store", "verify", "--deep", "--store", store)
    assert budgetctl("store", "leases", "--store", store).stdout == ""
    table = scores(budgetctl("report", "--grid", recipe, "--store", store, "--format", "json"))
    assert table.keys() == calm_table.keys()
    for cell, score in table.items():
        assert score == pytest.approx(calm_table[cell], abs=0.1), (
            cell
        )  # training is resumed, not replayed bit by bit


@pytest.mark.slow
def test_a_finished_study_runs_nothing_again(
    budgetctl: Run, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    attempts = sorted(finished.glob("attempts/??/*.json"))
    first = budgetctl("report", "--grid", recipe)
    again = budgetctl("run", "--grid", recipe, "--jobs", "2")
    assert again.stdout == first.stdout
    assert sorted(finished.glob("attempts/??/*.json")) == attempts
    for answer in (
        budgetctl(
            "report", "--grid", recipe, "--plot", "sweep.png", "--plot-kind", "heat", "--html", "page.html"
        ),
        budgetctl("report", "cost", "--grid", recipe),
        budgetctl("recommend", "--budget", 36),
        budgetctl("report", "--sql", "SELECT count(*) FROM sweep WHERE metric = 'correct'"),
    ):
        assert answer.stdout
    assert (tmp_path / "sweep.png").stat().st_size > 1000
    assert "<html" in (tmp_path / "page.html").read_text()
    kept = budgetctl("store", "plans").stdout
    for line in kept.splitlines():
        budgetctl("store", "forget", line.split()[0])
    budgetctl("report", "--grid", recipe, "--html", "page.html")
    assert len(budgetctl("store", "plans").stdout.splitlines()) == 1, "a page is a root of collection"
    ends = [json.loads(path.read_text())["outcome"] for path in attempts]
    planned = json.loads(budgetctl("plan", "--grid", recipe, "--json").stdout)["stages"]
    assert ends == ["published"] * len(planned)  # every stage ran once


@pytest.mark.slow
def test_the_commands_compose_like_the_plan(budgetctl: Run, finished: Path) -> None:
    """The stage commands, called one by one, find what the study made: same meaning, same key."""
    attempts = sorted(finished.glob("attempts/??/*.json"))
    rows = ("--set", "train=400", "--set", "test=40")
    demonstrations = budgetctl("data", "arith", "--size", 24, *rows).stdout.strip()
    tiny = ("steps=40", "hidden=48", "layers=2", "heads=3", "feed_forward=96")
    base = budgetctl("base", "tiny", *[word for pair in tiny for word in ("--set", pair)]).stdout.strip()
    sft = budgetctl(
        "sft", "--base", base, "--data", demonstrations, "--epochs", 2, "--batch-size", 8, "--lr", "3e-3"
    ).stdout.strip()
    prompts = budgetctl("data", "arith", "--kind", "eval", *rows).stdout.strip()
    gen = budgetctl("gen", sft, "--data", prompts).stdout.strip()
    evaluation = budgetctl("eval", gen)
    assert evaluation.stdout.count("\n") == 1
    assert sorted(finished.glob("attempts/??/*.json")) == attempts
