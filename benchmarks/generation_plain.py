"""What `gpu_generation.py` is held against: a process of vLLM's own defaults for each checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from generation_bench import Bench

from budgetctl.models.encoding import Encoder
from budgetctl.models.loading import load_tokenizer
from budgetctl.study.ranks import rank_of

Task = Literal["gsm8k", "ifeval"]


def plain(bench: Bench) -> dict[str, Any]:
    """Whole processes in turn, as a script without budgetctl would run them."""
    found: dict[Task, list[dict[str, float]]] = {"gsm8k": [], "ifeval": []}
    for number in range(bench.sizes.plain):
        if number == 0:
            run(job(bench, "gsm8k", 0, prompts=False))
        for task, figures in found.items():
            figures.append(run(job(bench, task, number)))
    return dict(found)


def job(bench: Bench, task: Task, number: int, prompts: bool = True) -> Path:
    """Write what plain_vllm.py is to do with a checkpoint; without prompts it starts and ends."""
    artifact, tokens = {
        "gsm8k": (bench.gsm8k, bench.sizes.gsm8k_tokens),
        "ifeval": (bench.ifeval, bench.sizes.ifeval_tokens),
    }[task]
    base = bench.store.artifact(bench.base.key).path()
    checkpoint = bench.store.artifact(bench.checkpoints[number])
    encoder = Encoder(load_tokenizer(base), bench.base.template)
    rows = pq.read_table(artifact.path("eval.parquet"), columns=["prompt"]).to_pylist() if prompts else []
    file = bench.store.root.parent / f"plain-{task}-{number if prompts else 'start'}.json"
    document = {
        "model": str(bench.options.base or base), "adapter": str(checkpoint.path()),
        "max_lora_rank": rank_of(checkpoint), "dtype": bench.base.precision, "max_model_len": 2048,
        "max_tokens": tokens, "stop_token_ids": list(encoder.stop_ids),
        "prompts": [list(encoder.prompt(row["prompt"], "a prompt")) for row in rows],
    }  # fmt: skip
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def run(job: Path) -> dict[str, float]:
    """Its figures, and the seconds of the whole process."""
    began = time.monotonic()
    words = [sys.executable, "-P", str(Path(__file__).with_name("plain_vllm.py")), str(job)]
    printed = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    wall = time.monotonic() - began
    figures = next(json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    return {"wall_s": wall, **figures}
