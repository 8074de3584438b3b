r"""A sweep's generation on one GPU: one engine for all checkpoints against a start per checkpoint.

    python benchmarks/gpu_generation.py PHASE... --data FOLDER [--base FOLDER] [--store FOLDER]

Phases, each in one process tree, in any order over one store (its results are kept beside the store):

- `gsm8k`: one start on whatever the machine's caches hold, not counted (`--first 0` where they are warm); 12 adapters
  × the 1,319 test questions in one engine, by a real worker over a plan of these stages; `--alone` of them again one
  at a time in the same engine; then `--fresh` checkpoints with an engine started for each, as far as `--limit-s`
  allows (one at least). What a start per checkpoint costs for all is the mean times the number of checkpoints, and the
  table says so.
- `ifeval`: likewise on IFEval's 541 prompts, without the uncounted start.
- `plain`: the prompts of both in `--plain` processes of vLLM's own defaults, a checkpoint each
  (benchmarks/plain_vllm.py), after a start that is not counted; to hold against `gsm8k` and `ifeval`.
- `compare`: greedy answers of Transformers beside vLLM's (share of identical token sequences, paired scores),
  perplexity of the gold answers with both, and of the greedy ones.

FOLDER of --data holds `gsm8k/train.jsonl`, `gsm8k/test.jsonl` and `ifeval/input_data.jsonl`. The adapters are one
real SFT adapter at 12 strengths: different models that answer in proper sentences. Prints a table last, and writes
`generation.json` and `generation.md` into $OUT (or --out). A trial without a GPU:

    python benchmarks/gpu_generation.py gsm8k ifeval compare --data FOLDER --tiny
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from generation_bench import TINY, Bench, Sizes
from generation_plain import plain
from generation_table import table

from budgetctl.console import make_reporter
from budgetctl.engines.kept import close_engines
from budgetctl.scoring.intervals import wilson
from budgetctl.stages.stage import payload_of
from budgetctl.study.board import StoreState
from budgetctl.study.evaluations import compared_perplexities
from budgetctl.study.plan import Plan
from budgetctl.study.results import evaluation_result
from budgetctl.study.running import StageRunner
from budgetctl.study.worker import Worker
from store import Artifact

BEGAN = time.monotonic()


def answers_of(generation: Artifact) -> dict[str, tuple[int, ...]]:
    rows = pq.read_table(
        generation.path("generations.parquet"), columns=["prompt_id", "token_ids"]
    ).to_pylist()
    return {row["prompt_id"]: tuple(row["token_ids"]) for row in rows}


def identical(first: Artifact, second: Artifact) -> dict[str, Any]:
    left, right = answers_of(first), answers_of(second)
    shared = [name for name in left if name in right]
    same = sum(left[name] == right[name] for name in shared)
    interval = wilson(same, len(shared))
    return {
        "answers": len(shared),
        "identical": same / len(shared),
        "low": interval.low,
        "high": interval.high,
    }


def fresh_start(
    bench: Bench, number: int, prompts: Artifact, tokens: int, seed: int
) -> tuple[Artifact, dict[str, Any]]:
    """One checkpoint's answers from an engine started for them; the wall seconds include its end."""
    keep: dict[str, object] = {}
    began = time.monotonic()
    made, _ = bench.gen(bench.checkpoints[number], prompts, tokens, "vllm", keep, seed=seed)
    close_engines(keep)
    metrics = made.metrics
    return made, {
        "wall_s": time.monotonic() - began, "start_s": metrics["engine_start_s"],
        "generate_s": metrics["generate_s"],
    }  # fmt: skip


def sweep(bench: Bench, prompts: Artifact, tokens: int) -> dict[str, Any]:
    """All checkpoints by a worker with one engine, some of them again one at a time, then some with an engine each."""
    payloads = [payload_of(bench.stage(key, prompts, tokens, "vllm")) for key in bench.checkpoints]
    if any(bench.store.has(payload.key) for payload in payloads):
        raise SystemExit("some answers were in the store already; start with an empty --store")
    plan = Plan("sweep", {}, (), {payload.key: payload for payload in payloads})
    execution = bench.execution.model_copy(update={"adapter_rank": bench.rank, "side_by_side": True})
    runner = StageRunner(bench.store, execution, make_reporter(), lambda: False)
    started = time.monotonic()
    done = Worker(plan, StoreState(bench.store), runner, make_reporter(), lambda: False).run()
    all_s = time.monotonic() - started
    alone_s = []
    for key in bench.checkpoints[: bench.sizes.alone]:
        began = time.monotonic()
        runner.run(payload_of(bench.stage(key, prompts, tokens, "vllm", seed=3)), plan)
        alone_s.append(time.monotonic() - began)
    began = time.monotonic()
    runner.forget()
    one_engine_s = all_s + time.monotonic() - began
    ran = [bench.store.artifact(key).metrics for key in done.ran]
    start_s, first_s = (float(ran[0][name]) for name in ("engine_start_s", "generate_s"))
    answered = [int(metrics["answers"]) * float(metrics["mean_tokens"]) for metrics in ran]
    rest_s = all_s - start_s - first_s
    fresh, same = [], []
    for number in range(bench.sizes.fresh):
        expected = fresh[-1]["wall_s"] if fresh else start_s + first_s
        if fresh and time.monotonic() - BEGAN + 1.2 * expected > bench.options.limit_s:
            print(f"no time for another start: {len(fresh)} measured", file=sys.stderr, flush=True)
            break
        again, figures = fresh_start(bench, number, prompts, tokens, seed=1)
        fresh.append(figures)
        same.append(identical(bench.store.artifact(payloads[number].key), again))
    per_checkpoint = sum(float(one["wall_s"]) for one in fresh) / len(fresh)
    return {
        "checkpoints": len(ran), "prompts": ran[0]["prompts"], "max_new_tokens": tokens,
        "mean_tokens": sum(answered) / sum(int(metrics["answers"]) for metrics in ran),
        "truncated": sum(int(metrics["truncated"]) for metrics in ran),
        "one_engine_s": one_engine_s, "engine_start_s": start_s, "first_s": first_s, "rest_s": rest_s,
        "rest_tokens_per_s": sum(answered[1:]) / rest_s, "alone_s": alone_s,
        "generate_s_each": [metrics["generate_s"] for metrics in ran],
        "fresh": fresh, "fresh_mean_s": per_checkpoint,
        "start_per_checkpoint_s": per_checkpoint * len(ran), "start_per_checkpoint_measured": len(fresh),
        "ratio": per_checkpoint * len(ran) / one_engine_s, "fresh_identical": same,
    }  # fmt: skip


def gsm8k(bench: Bench) -> dict[str, Any]:
    tokens = bench.sizes.gsm8k_tokens
    first = [fresh_start(bench, 0, bench.gsm8k, tokens, seed=9 + n)[1] for n in range(bench.sizes.first)]
    found = {**sweep(bench, bench.gsm8k, tokens), "first_start": first}
    keep: dict[str, object] = {}
    scores = []
    for checkpoint in bench.checkpoints:
        generation, _ = bench.gen(checkpoint, bench.gsm8k, bench.sizes.gsm8k_tokens, "vllm", keep)
        scored = bench.score(generation).metrics
        scores.append({name: scored[name] for name in ("strict", "strict_low", "strict_high", "flexible")})
    return {**found, "scores": scores}


def ifeval(bench: Bench) -> dict[str, Any]:
    found = sweep(bench, bench.ifeval, bench.sizes.ifeval_tokens)
    generation, _ = bench.gen(bench.checkpoints[0], bench.ifeval, bench.sizes.ifeval_tokens, "vllm", {})
    began = time.monotonic()
    scored = bench.score(generation)
    names = ("prompt_strict", "prompt_loose", "instruction_strict", "instruction_loose")
    scores = {
        name: scored.metrics.get(name) for base in names for name in (base, f"{base}_low", f"{base}_high")
    }
    return {**found, "scores_of_the_first": scores, "score_s": time.monotonic() - began}


def compare(bench: Bench) -> dict[str, Any]:
    """Transformers against vLLM, on the bare base and on the first checkpoint."""
    from budgetctl.analysis.compare import compare as compare_scores  # noqa: PLC0415

    prompts = bench.gsm8k
    if bench.sizes.compared is not None:
        prompts = bench.rows_of("gsm8k", bench.options.data / "gsm8k", None, bench.sizes.compared)
    models = (("base", None), ("first checkpoint", bench.checkpoints[0]))
    made: dict[tuple[str, str], Artifact] = {}
    gold: dict[str, Artifact] = {}
    walls: dict[str, float] = {}
    for engine in ("vllm", "transformers"):
        keep: dict[str, object] = {}
        for name, checkpoint in models:
            made[name, engine], walls[f"{name}, {engine}"] = bench.gen(
                checkpoint, prompts, bench.sizes.gsm8k_tokens, engine, keep
            )
        gold[engine] = bench.perplexity(engine, prompts, keep)
        if engine == "transformers":
            greedy = bench.perplexity(engine, prompts, keep, made["first checkpoint", engine])
        close_engines(keep)
    found: dict[str, Any] = {"wall_s": walls}
    for name, _ in models:
        pair = [made[name, engine] for engine in ("vllm", "transformers")]
        sides = [[evaluation_result(bench.score(one))] for one in pair]
        scores = compare_scores(sides[0], sides[1]).as_json()
        rates = {engine: made[name, engine].metrics["tokens_per_s"] for engine in ("vllm", "transformers")}
        found[name] = {**identical(*pair), "strict": scores, "tokens_per_s": rates}
    found["perplexity"] = {
        **{f"gold, {engine}": _told(one) for engine, one in gold.items()},
        "greedy, transformers": _told(greedy),
        "gold, vllm over transformers": compared_perplexities(gold["vllm"], gold["transformers"]).as_json(),
    }
    return found


def _told(perplexity: Artifact) -> dict[str, Any]:
    names = (
        "perplexity",
        "perplexity_low",
        "perplexity_high",
        "perplexity_per_sample",
        "rows",
        "tokens",
        "score_s",
    )
    return {name: perplexity.metrics[name] for name in names}


PHASES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "gsm8k": gsm8k,
    "ifeval": ifeval,
    "plain": plain,
    "compare": compare,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phases", nargs="+", choices=tuple(PHASES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path)
    parser.add_argument(
        "--store", type=Path, default=Path(tempfile.gettempdir()) / "gpu-generation" / "store"
    )
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--engines-per-gpu", type=int, help="vLLM processes on each GPU; default: the engine's choice"
    )
    parser.add_argument(
        "--limit-s", type=float, default=560.0, help="No further start is measured after this."
    )
    parser.add_argument("--tiny", action="store_true", help="A few prompts and tokens, for a trial on a CPU.")
    for name in ("checkpoints", "first", "alone", "fresh", "plain", "rows", "questions", "prompts", "compared",
                 "gsm8k-tokens", "ifeval-tokens"):  # fmt: skip
        parser.add_argument(f"--{name}", type=int)
    options = parser.parse_args()
    sizes = TINY if options.tiny else Sizes()
    if options.tiny:
        options.precision = "float32"
    given = {name: getattr(options, name) for name in vars(sizes) if getattr(options, name, None) is not None}
    if (nltk := options.data / "nltk_data").is_dir():
        os.environ.setdefault("NLTK_DATA", str(nltk))
    options.store.parent.mkdir(parents=True, exist_ok=True)
    memory = options.store.parent / "generation.json"
    results: dict[str, Any] = json.loads(memory.read_text()) if memory.exists() else {}
    bench = Bench(options, replace(sizes, **given))
    for phase in options.phases:
        began = time.monotonic()
        results[phase] = PHASES[phase](bench)
        results[phase]["phase_s"] = time.monotonic() - began
        memory.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"{phase}: {results[phase]['phase_s']:.0f} s", file=sys.stderr, flush=True)
    text = "\n".join(table(results)) + "\n"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "generation.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (options.out / "generation.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
