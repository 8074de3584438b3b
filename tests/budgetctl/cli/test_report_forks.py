"""`report forks` before anything has run: it answers, and tells in a sentence what it cannot do."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from budgetctl.cli.app import app
from budgetctl.errors import UsageError
from budgetctl.study.build import plan_study
from budgetctl.study.recipe import load_recipe
from store import Store

RECIPE = """
name: forked
base: tiny
task: arith
budgets: [64]
shares: []
forks:
  every: 16
  dev_size: 8
  triggers: [{perplexity: [3, 2]}, {pass@1: 0.5}, {at: [16]}]
  baselines: matched
"""


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    (tmp_path / "forked.yaml").write_text(RECIPE)
    return ["report", "forks", "--grid", str(tmp_path / "forked.yaml"), "--store", str(tmp_path / "store")]


def test_a_planned_study_lists_its_triggers(options: list[str]) -> None:
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    for words in (
        "tiny · arith · dpo · budget 64 examples",
        "perplexity<=2",
        "pass@1>=0.5",
        "examples=16",
        "not run",
    ):
        assert words in done.stdout
    assert "did not fire" not in done.stdout


def test_thresholds_and_settings_of_the_command_line_count(options: list[str]) -> None:
    more = ["--thresholds", "1.5,pass@2:0.25", "--set", "budgets=[32]", "--format", "json"]
    done = CliRunner().invoke(app, [*options, *more])
    assert done.exit_code == 0, done.output
    (table,) = json.loads(done.stdout)
    assert [fork["trigger"] for fork in table["forks"]] == ["perplexity<=1.5", "pass@2>=0.25"]
    assert table["budget"] == 32


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--plot", "forks.png"], "nothing to draw: no trunk of the study has run yet"),
        (["--plan", "abc"], "--grid RECIPE or --plan ID"),
        (["--thresholds", "low"], "--thresholds takes perplexities such as 3.5"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(options: list[str], more: list[str], words: str) -> None:
    done = CliRunner().invoke(app, [*options, *more])
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)


def test_a_recipe_without_forks_is_told_apart(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "forked.yaml").write_text(RECIPE.partition("shares")[0])
    done = CliRunner().invoke(app, options)
    assert isinstance(done.exception, UsageError)
    assert "forked has no forks; give its recipe a `forks` section" in str(done.exception)
    done = CliRunner().invoke(app, [*options, "--thresholds", "1.5"])
    assert isinstance(done.exception, UsageError)
    assert "forked.yaml has no forks whose triggers --thresholds could replace" in str(done.exception)


def test_thresholds_may_be_the_only_triggers(options: list[str], tmp_path: Path) -> None:
    lines = [line for line in RECIPE.splitlines() if "triggers" not in line]
    (tmp_path / "forked.yaml").write_text("\n".join(lines))
    done = CliRunner().invoke(app, [*options, "--thresholds", "1.5", "--format", "json"])
    assert done.exit_code == 0, done.exception
    assert [fork["trigger"] for fork in json.loads(done.stdout)[0]["forks"]] == ["perplexity<=1.5"]


def test_a_page_names_the_commands_that_make_it(options: list[str], tmp_path: Path) -> None:
    page, more = tmp_path / "forks.html", ["--set", "budgets=[32]", "--thresholds", "1.5"]
    done = CliRunner().invoke(app, [*options, *more, "--html", str(page)])
    assert done.exit_code == 0, done.exception
    text = html.unescape(page.read_text())
    named = f"--grid {tmp_path / 'forked.yaml'} --set 'budgets=[32]' --thresholds 1.5"
    assert f"<pre>budgetctl run {named}\nbudgetctl report forks {named}</pre>" in text

    store = Store.open(tmp_path / "store")
    plan_id = store.save_plan(plan_study(load_recipe(tmp_path / "forked.yaml"), store).document())
    stored = ["--plan", plan_id, "--store", str(store.root), "--html", str(page)]
    for command in (["report", "forks"], ["report"]):
        done = CliRunner().invoke(app, [*command, *stored])
        assert done.exit_code == 0, done.exception
        text = html.unescape(page.read_text())
        assert f"budgetctl {' '.join(command)} --plan {plan_id}" in text
        assert "forked.yaml" not in text, "how a stored plan was made is not known"
