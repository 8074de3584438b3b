"""The guide's recipe over rows of one's own, and what its sentences advise, done as they say."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from store import Store
from tests.e2e.commands import Run

COMMIT = "a" * 40


def write(path: Path, rows: list[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def in_the_hubs_cache(cache: Path, repository: str, name: str, rows: list[Mapping[str, Any]]) -> None:
    place = cache / f"datasets--{repository.replace('/', '--')}"
    write(place / "snapshots" / COMMIT / name, rows)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text(COMMIT)


@pytest.mark.slow
def test_the_guides_recipe_reads_local_files_and_fetches_the_rest(
    budgetctl: Run, tmp_path: Path, store: Path, repository: Path
) -> None:
    guide = (repository / "docs/guide/datasets.md").read_text()
    recipe = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)[0])
    recipe |= {"base": "tiny", "base_settings": {"steps": 1}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    both = [(f"{n}+1?", [f"#### {n + 1}", f"So #### {n + 1}"], n + 1) for n in range(250)]
    names = ("question", "solutions", "answer")
    write(tmp_path / "mine.jsonl", [dict(zip(names, row, strict=True)) for row in both])
    pairs = [{"question": f"{n}+2?", "good": f"#### {n + 2}", "bad": "Hm."} for n in range(150)]
    in_the_hubs_cache(tmp_path / "cache", "someone/pairs", "train.jsonl", pairs)
    grid, cached = ("--grid", "recipe.yaml"), {"HF_HUB_CACHE": str(tmp_path / "cache")}
    budgetctl("plan", *grid, **cached)
    budgetctl("run", *grid, "--only", "data", "--offline", "--jobs", 1, **cached)
    made = [a for a in Store.open(store).artifacts("data") if a.identity["kind"] != "eval"]
    assert sorted((a.identity["kind"], a.metrics["annotations"]) for a in made) == [
        ("pref", 50), ("pref", 100), ("sft", 50), ("sft", 100)
    ]  # fmt: skip
    commits = {a.metrics.get("commit of someone/pairs") for a in made if a.identity["kind"] == "pref"}
    assert commits == {COMMIT}


def test_an_unreachable_hub_says_how_to_bring_the_files(budgetctl: Run, tmp_path: Path) -> None:
    asked = ("data", "gsm8k", "--kind", "eval", "--offline")
    told = budgetctl(*asked, check=1, HF_HUB_CACHE=str(tmp_path / "empty")).stderr
    place = re.search(
        r"--local-dir FOLDER/([\w.-]+)`\), bring FOLDER here and name it with --path FOLDER", told
    )
    assert place is not None, told
    rows = [{"question": f"{n}?", "answer": f"#### {n}"} for n in range(9)]
    for split in ("train", "test"):
        write(tmp_path / "brought" / place.group(1) / "main" / f"{split}.jsonl", rows)
    assert budgetctl(*asked, "--path", "brought").stdout.strip()
    shutil.rmtree(tmp_path / "brought" / place.group(1))
    told = budgetctl(*asked, "--path", "brought", check=2).stderr
    assert f"brought has no folder {place.group(1)} with the files of openai/gsm8k" in told


def test_a_recipes_own_datasets_are_refreshed_by_the_recipe(
    budgetctl: Run, tmp_path: Path, store: Path
) -> None:
    side = {"columns": {"prompt": "q", "answer": "a", "reference": "a"}}
    recipe = {"name": "r", "base": "tiny", "task": "gsm8k", "budgets": [3], "shares": [1]}
    options = {"sft": {"hub": "a/mine", **side}, "eval": {"hub": "a/asked", "revision": COMMIT, **side}}
    copies = tmp_path / "copies"
    rows = [{"q": f"{n}?", "a": "#### 1"} for n in range(9)]
    write(copies / "mine" / "train.jsonl", rows)
    for split in ("train", "test"):
        write(copies / "asked" / f"{split}.jsonl", [{"q": "What?", "a": "#### 1"}])
    (tmp_path / "r.yaml").write_text(
        yaml.safe_dump(recipe | {"data": {"path": "copies", "options": options}})
    )
    prepare = ("run", "--grid", "r.yaml", "--only", "data", "--jobs", 1)
    budgetctl(*prepare)
    write(copies / "mine" / "train.jsonl", [*rows, {"q": "new?", "a": "#### 1"}])
    (tmp_path / "r.yaml").write_text((tmp_path / "r.yaml").read_text().replace("- 3", "- 4"))
    told = budgetctl(*prepare, check=1).stderr
    assert "mine has changed" in told
    assert "budgetctl data refresh --grid RECIPE" in told
    moved = budgetctl("data", "refresh", "--grid", "r.yaml").stdout.split()
    assert moved == ["a/mine", "mohit-raghavendra/gsm8k-gpt4opreferences"]
    budgetctl(*prepare)
    for words in ((), ("gsm8k", "--grid", "r.yaml")):
        assert (
            "a task such as gsm8k, or a recipe with --grid"
            in budgetctl("data", "refresh", *words, check=2).stderr
        )
