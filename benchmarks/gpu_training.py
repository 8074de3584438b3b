"""Training on one GPU through the real commands; prints a line of metrics per artifact.

python benchmarks/gpu_training.py PHASE --base FOLDER --gsm8k FOLDER --store FOLDER

Phases: `learning` (SFT on all of GSM8K's training rows against the untrained model, then DPO and KTO on off-policy
pairs, each scored on the 1,319 test questions), `methods` (the same model: QLoRA, and a training that is stopped by
USR2 and resumed), `shape` (SFT and DPO of random weights in the shape of Llama-3.2-1B).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BF16 = ("--set", "precision=bfloat16")
EIGHT_BIT = ("--set", "optimizer.name=adamw_8bit")


class Session:
    """Commands over one store, and what they measured."""

    def __init__(self, store: Path, gsm8k: Path) -> None:
        self.store, self.gsm8k = store, gsm8k

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-P", "-m", "budgetctl", *map(str, arguments), "--store", str(self.store)]

    def run(self, *arguments: object) -> str:
        done = subprocess.run(self.command(*arguments), stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    def data(self, kind: str, size: int) -> str:
        return self.run("data", "gsm8k", "--path", self.gsm8k, "--kind", kind, "--size", size)

    def note(self, name: str, key: str) -> None:
        metrics: dict[str, Any] = json.loads(self.run("store", "show", key))["metrics"]
        kept = {k: (round(v, 4) if isinstance(v, float) else v) for k, v in metrics.items()}
        print(f"{name}\t{json.dumps(kept)}", flush=True)

    def score(self, name: str, model: str, tokens: int = 400) -> None:
        started = time.monotonic()
        gen = self.run(
            "gen",
            model,
            "--path",
            self.gsm8k,
            "--task",
            "gsm8k",
            "--max-new-tokens",
            tokens,
            "--device",
            "cuda",
        )
        wall = time.monotonic() - started
        self.note(f"{name}: answers", gen)
        self.note(f"{name}: score ({wall:.0f} s)", self.run("eval", gen))


def learning(session: Session, base: str) -> None:
    n_rows = json.loads(session.run("store", "show", session.data("sft", 16)))["metrics"]["available"]
    sft = session.run("sft", "--base", base, "--data", session.data("sft", n_rows), *BF16, *EIGHT_BIT)
    session.note(f"SFT, {n_rows} rows x 2 epochs", sft)
    session.score("untrained", base)
    session.score("SFT", sft)
    pairs = session.data("pref", 2000)
    for method in ("dpo", "kto"):
        tuned = session.run(
            "pft", "--method", method, "--from", sft, "--data", pairs, "--epochs", 1, *BF16, *EIGHT_BIT
        )
        session.note(f"{method.upper()} on 2,000 off-policy pairs", tuned)
        session.score(method.upper(), tuned)


def methods(session: Session, base: str) -> None:
    rows = session.data("sft", 1000)
    qlora = session.run("sft", "--base", base, "--data", rows, "--epochs", 1, "--set", "weights=qlora", *BF16)
    session.note("SFT, QLoRA, 1,000 rows", qlora)
    arguments = ("sft", "--base", base, "--data", rows, "--epochs", 1, "--seed", 1, *BF16)
    process = subprocess.Popen(
        session.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(40)
    os.kill(process.pid, signal.SIGUSR2)
    _, errors = process.communicate()
    print(f"stopped by USR2: exit {process.returncode}; {errors.strip().splitlines()[-1]}", flush=True)
    session.note("the same, resumed", session.run(*arguments))


def shape(session: Session, base: str) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    folder = session.store.parent / "llama-1b-shape"
    tokenizer = AutoTokenizer.from_pretrained(base)
    config = LlamaConfig(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
        head_dim=64, vocab_size=128_256, max_position_embeddings=8192, rope_theta=500_000.0, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    rows, pairs = session.data("sft", 1600), session.data("pref", 800)
    for micro in (16, 4):
        sft = session.run(
            "sft",
            "--base",
            folder,
            "--data",
            rows,
            "--epochs",
            1,
            "--micro-batch",
            micro,
            "--seed",
            micro,
            *BF16,
            *EIGHT_BIT,
        )
        session.note(f"1B shape, SFT, micro-batch {micro}", sft)
        dpo = session.run(
            "pft", "--from", sft, "--data", pairs, "--epochs", 1, "--micro-batch", micro, *BF16, *EIGHT_BIT
        )
        session.note(f"1B shape, DPO, micro-batch {micro}", dpo)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phase", choices=("learning", "methods", "shape"))
    parser.add_argument("--base", required=True)
    parser.add_argument("--gsm8k", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    options = parser.parse_args()
    session = Session(options.store, options.gsm8k)
    {"learning": learning, "methods": methods, "shape": shape}[options.phase](session, options.base)


if __name__ == "__main__":
    main()
