"""The recipes of the GPU's fork studies describe studies that can be planned, from files of this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from budgetctl.analysis.fork_render import render_forks
from budgetctl.analysis.fork_table import fork_tables
from budgetctl.data.requests import supply_of
from budgetctl.study.build import plan_study
from budgetctl.study.fork_results import fork_results
from budgetctl.study.plan import Plan
from budgetctl.study.recipe import load_recipe
from store import Store


@pytest.fixture(scope="module")
def instruction_set(repository: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repository / "benchmarks"))
        from instruction_set import write  # noqa: PLC0415

        folder = tmp_path_factory.mktemp("set")
        write(folder, {"train": 40, "dev": 10, "test": 10}, seed=0, gsm8k=shared_data / "gsm8k")
    return folder


def planned(repository: Path, study: str, data: Path, root: Path) -> Plan:
    changes: dict[str, Any] = {"base": "tiny", "data": {"path": str(data)}}
    recipe = load_recipe(repository / f"benchmarks/gpu_forks/{study}.yaml", changes)
    return plan_study(recipe, Store.open(root, create=True), check=False)


def test_both_studies_have_forks_of_every_kind_and_their_baselines(
    repository: Path, shared_data: Path, instruction_set: Path, tmp_path: Path
) -> None:
    for study, data in (("gsm8k", shared_data / "gsm8k"), ("instructions", instruction_set)):
        plan = planned(repository, study, data, tmp_path / study)
        forks = {branch.axes["fork"] for branch in plan.branches}
        assert sum(name.startswith("perplexity<=") for name in forks) >= 2
        for kind in ("pass@", "plateau(", "examples="):
            assert any(name.startswith(kind) for name in forks), (study, kind)
        assert {branch.axes["role"] for branch in plan.branches} == {"fork", "same-split"}
        assert {(cell.axes["n_sft"], cell.axes["n_pft"]) for cell in plan.cells} == {
            (0, 0), (768, 0), (0, 768)
        }  # fmt: skip


def test_the_figures_of_a_fork_are_in_every_report(
    repository: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before anything has run: a study that is stopped half-way is reported all the same."""
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    from gpu_forks import OF_A_FORK, forks_of  # noqa: PLC0415

    plan = planned(repository, "gsm8k", shared_data / "gsm8k", tmp_path / "store")
    tables = fork_tables(fork_results(plan, Store.open(tmp_path / "store")))
    found = forks_of(render_forks(tables, "json"))
    assert [fork["trigger"] for fork in found] == [row.fork.trigger for row in tables[0].lines]
    assert all(set(fork) == set(OF_A_FORK) and fork["status"] == "missing" for fork in found)


def test_the_instruction_files_become_rows_with_references_and_gold_answers(
    repository: Path, instruction_set: Path
) -> None:
    recipe = load_recipe(
        repository / "benchmarks/gpu_forks/instructions.yaml", {"data": {"path": str(instruction_set)}}
    )
    supply = supply_of("tuluif", recipe.data.path, recipe.data.options)
    counts = {}
    for kind, split in (("sft", "train"), ("pref", "train"), ("eval", "dev"), ("eval", "test")):
        source = supply.eval if kind == "eval" else getattr(supply, kind)
        rows = [row for batch in source.batches(kind, split, supply.located) for row in batch.to_pylist()]
        counts[kind, split] = len(rows)
        if kind == "eval":
            assert all(row["reference"] and row["answer"] for row in rows)
    assert counts == {("sft", "train"): 40, ("pref", "train"): 40, ("eval", "dev"): 10, ("eval", "test"): 10}
