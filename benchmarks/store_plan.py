"""Planning over published stages: whole processes, at several sizes, against fully cached re-runs of other tools.

    python benchmarks/store_plan.py --work FOLDER [--peers VENVS --dags ../shared/bench/peers/mkdag.py] [--rounds 3]

Ours is the command `budgetctl plan` into a pipe, over a grid of the embedded `tiny` model on `arith`: read the recipe,
make every stage and its key, look at the store, save the plan, print table and script. The peers re-run their DAGs of
`--budgets` × 50 stages with everything cached; a grid of about as many stages runs beside them.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import yaml
from store_measure import Contender, in_turn, machine, table, took_by_process

from budgetctl.study.build import plan_study
from budgetctl.study.recipe import load_recipe
from store import Store
from store.manifest import Manifest

GRID = {
    "base": "tiny",
    "task": "arith",
    "method": ["dpo", "kto"],
    "shares": [1, 0.9, 0.75, 0.5, 0.25, 0.1, 0],
    "budgets": [100, 200, 300, 500, 1000, 2000],
}

PEERS = {
    "dvc status": ("dvc", ["dvc", "status"]),
    "dvc repro": ("dvc", ["dvc", "repro"]),
    "snakemake -n": ("snakemake", ["snakemake", "-n"]),
    "redun run": ("redun", ["redun", "run", "workflow.py", "main"]),
}
BUILD = {
    "snakemake": ["snakemake", "-j2", "--quiet", "all"],
    "redun": ["redun", "run", "workflow.py", "main"],
}


def prepare_ours(work: Path, seeds: int) -> tuple[int, Contender]:
    """A study of so many seeds with every stage published; returns how many stages, and `plan` over it."""
    recipe, root = work / f"seeds-{seeds}.yaml", work / f"seeds-{seeds}"
    recipe.write_text(yaml.safe_dump({"name": f"seeds-{seeds}", "seeds": list(range(seeds)), **GRID}))
    shutil.rmtree(root, ignore_errors=True)
    store = Store.open(root, create=True)
    plan = plan_study(load_recipe(recipe), store, check=False)
    for key, payload in plan.stages.items():
        home = store.layout.artifact(key)
        (home / "files").mkdir(parents=True)
        (home / "manifest.json").write_bytes(Manifest(payload, {}, {"score": 0.5}, {}).to_bytes())
    command = [
        sys.executable, "-m", "budgetctl", "plan", "--grid", str(recipe), "--store", str(root), "--emit", "slurm",
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert f"{len(plan.stages)} already published" in said
    return len(plan.stages), lambda: took_by_process(command, work)


def prepare_peer(tool: str, venvs: Path, dags: Path, folder: Path, budgets: int) -> None:
    """Its project with every stage done, as a complete run leaves it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    binary = str(venvs / tool / "bin" / tool)
    if tool == "dvc":
        for arguments in (["init", "-q", "--no-scm"], ["config", "core.check_update", "false"]):
            subprocess.run([binary, *arguments], cwd=folder, check=True)
    state = ["--state"] if tool == "dvc" else []
    command = [
        sys.executable,
        str(dags),
        "--tool",
        tool,
        "--budgets",
        str(budgets),
        "--dir",
        str(folder),
        *state,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if tool in BUILD:
        took_by_process([binary, *BUILD[tool][1:]], folder)


def peers(venvs: Path, dags: Path, work: Path, budgets: int) -> dict[str, Contender]:
    for tool in {tool for tool, _ in PEERS.values()}:
        prepare_peer(tool, venvs, dags, work / f"{tool}-{budgets}", budgets)

    def contender(tool: str, command: list[str]) -> Contender:
        binary = str(venvs / tool / "bin" / tool)
        return lambda: took_by_process([binary, *command[1:]], work / f"{tool}-{budgets}")

    return {name: contender(tool, command) for name, (tool, command) in PEERS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--dags", type=Path)
    parser.add_argument(
        "--budgets", type=int, default=20, help="50 stages each, for the comparison with peers"
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    studies = dict(prepare_ours(work, seeds) for seeds in (3, 8, 16, 32))
    sizes = list(studies)
    print(machine())
    times = in_turn({f"{count} stages": study for count, study in studies.items()}, 2 * options.rounds + 1)
    print(f"\n{table(times, f'{sizes[0]} stages')}")
    for clock in ("wall", "cpu"):
        medians = [
            statistics.median(getattr(took, clock) for took in times[f"{count} stages"]) for count in sizes
        ]
        pairs = itertools.pairwise(zip(sizes, medians, strict=True))
        slopes = [(late - soon) / (many - few) * 1e6 for (few, soon), (many, late) in pairs]
        print(
            f"\n{clock} microseconds for each further stage: {', '.join(f'{slope:.0f}' for slope in slopes)}",
            flush=True,
        )
    if options.peers:
        near = min(sizes, key=lambda count: abs(count - options.budgets * 50))
        own = f"budgetctl plan, {near} stages"
        contenders = {own: studies[near]}
        contenders |= peers(options.peers.absolute(), options.dags.absolute(), work, options.budgets)
        times = in_turn(contenders, options.rounds)
        print(f"\npeers: {options.budgets * 50} stages\n\n{table(times, own)}")


if __name__ == "__main__":
    main()
