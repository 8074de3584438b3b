"""Planning over published stages: whole processes, at several sizes, against fully cached re-runs of other tools.

    python benchmarks/store_plan.py --work FOLDER [--peers VENVS --dags ../shared/bench/peers/mkdag.py] [--rounds 3]

Ours is what `plan` asks of the store: make the payload and key of every stage, then ask which are published.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from store_bulk import bulk_store
from store_measure import Contender, in_turn, machine, table, took_by_process

HERE = Path(__file__).resolve().parent

PLAN = """
import sys
sys.path.insert(0, sys.argv[3])
from store import Store
from store_bulk import sweep_payloads
store = Store.open(sys.argv[1])
keys = [payload.key for payload in sweep_payloads(int(sys.argv[2]))]
found = store.many_has(keys)
assert len(found) == int(sys.argv[2]) and all(found.values())
"""

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


def ours(work: Path, count: int) -> Contender:
    command = [sys.executable, "-c", PLAN, str(work / f"store-{count}"), str(count), str(HERE)]
    return lambda: took_by_process(command, work)


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
    sizes = [1000, 2500, 5000, 10_000]
    for count in {*sizes, options.budgets * 50}:
        shutil.rmtree(work / f"store-{count}", ignore_errors=True)
        bulk_store(work / f"store-{count}", count)
    print(machine())
    times = in_turn({f"{count} stages": ours(work, count) for count in sizes}, 2 * options.rounds + 1)
    print(f"\n{table(times, '1000 stages')}")
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
        count = options.budgets * 50
        contenders = {"store": ours(work, count)}
        contenders |= peers(options.peers.absolute(), options.dags.absolute(), work, options.budgets)
        print(f"\n{count} stages\n\n{table(in_turn(contenders, options.rounds), 'store')}")


if __name__ == "__main__":
    main()
