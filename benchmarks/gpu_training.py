r"""Training on GPUs through the real stages and commands; `training.md`, JSON and all losses under $OUT, a table last.

    export BASE=smollm2/ GSM8K=gsm8k/     # a Transformers folder; a folder with train.jsonl and test.jsonl
    python benchmarks/gpu_training.py two_gpus --store /tmp/s2
    CUDA_VISIBLE_DEVICES=1 python benchmarks/gpu_training.py shape unsloth qlora kill speed --store /tmp/s1 &
    export CUDA_VISIBLE_DEVICES=0
    python benchmarks/gpu_training.py learning --engine vllm --store /tmp/s0
    python benchmarks/gpu_pairs.py --gsm8k $GSM8K --store /tmp/s0 --sft KEY --engine vllm --precision bfloat16

Phases, each with a time limit of its own; one that fails is reported and the others go on in a fresh process:

- `speed`: SmolLM2-135M-Instruct, SFT, DPO and KTO in bfloat16 with 8-bit AdamW.
- `shape`: the same three with random weights in the shape of Llama-3.2-1B.
- `qlora`, `unsloth`: SFT of that shape in four bits, and with unsloth's kernels (with a stacked DPO after it).
- `kill`: a run stopped by USR2, then killed by SIGKILL, then finished, beside an undisturbed one.
- `learning`: SFT on all training rows, then DPO on pairs from its own answers; the scores of the untrained base and of
  both on the GSM8K test questions. (benchmarks/gpu_pairs.py measures how such pairs are made.)
- `two_gpus`: one process and two, whole and sharded, the same rows; and all weights of the shape, whole and sharded.

One process a GPU, and nothing else on the machine: small models wait for Python between their kernels.

A trial without a GPU: `python benchmarks/gpu_training.py PHASE... --tiny` (unsloth and qlora then say what they lack).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow.parquet

from budgetctl.console import LineReporter
from budgetctl.data.errors import ShortageError
from budgetctl.data.requests import eval_data, preference_data, sft_data, supply_of
from budgetctl.engines.kept import close_engines
from budgetctl.stages.execute import execute
from budgetctl.stages.pairs import PairsIdentity, PairsStage
from budgetctl.stages.stage import Execution, Stage
from budgetctl.study.bases import FoundBase, base_request, find_base
from budgetctl.study.requests import eval_stage, gen_stage, pft_stage, sft_stage
from budgetctl.study.starts import Start
from budgetctl.tasks import task_named
from store import Artifact, Store

LIMITS_S = {
    "speed": 90, "shape": 150, "qlora": 60, "unsloth": 180, "kill": 180, "learning": 700,
    "two_gpus": 300,
}  # fmt: skip
METHODS = ("dpo", "kto")
WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("1 process", {}), ("2 processes", {"processes": 2}), ("2 processes sharded", {"processes": 2, "shard": True}),
)  # fmt: skip


class Bench:
    """One store, one base, and what was measured."""

    def __init__(self, options: argparse.Namespace, root: Path, phase: str = "") -> None:
        self.options, self.tiny = options, options.tiny
        self.store = Store.open(root, create=True)
        self.reporter = LineReporter()
        self.keep: dict[str, object] = {}
        self.task = "arith" if self.tiny else "gsm8k"
        self.supply = supply_of(self.task, None if self.tiny else options.gsm8k)
        self.precision = "float32" if self.tiny else "bfloat16"
        self.table: list[dict[str, Any]] = []
        self.curves: dict[str, list[float]] = {}
        self.phase, self.started = phase, time.monotonic()

    def size(self, full: int) -> int:
        return max(16, full // 40) if self.tiny else full

    def do(self, stage: Stage, **how: Any) -> Artifact:
        execution = Execution(device="cpu" if self.tiny else "auto", sources=self.supply.located, **how)
        return execute(stage, self.store, execution, self.reporter, keep=self.keep).artifact

    def base(self) -> FoundBase:
        if self.tiny:
            request = base_request("tiny", self.store, {"steps": 20})
            self.do(request.stage)
            found = FoundBase(request.key, request.template, request.precision)
        else:
            found = find_base(str(self.options.base), self.store, Execution())
        return replace(found, precision=self.precision)

    def random_base(self) -> FoundBase:
        """Random weights in the shape of Llama-3.2-1B (smaller without a GPU), with the base's tokenizer."""
        import torch  # noqa: PLC0415
        from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

        folder = self.options.store.with_name(f"{self.options.store.name}-shape")
        if not folder.exists():
            tokenizer = AutoTokenizer.from_pretrained(self.store.artifact(self.base().key).path())
            shape = {
                "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
                "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128_256,
            }  # fmt: skip
            if self.tiny:
                shape |= {
                    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
                    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": len(tokenizer),
                }  # fmt: skip
            torch.manual_seed(0)
            config = LlamaConfig(
                **shape, max_position_embeddings=8192, rope_theta=500_000.0, tie_word_embeddings=True,
                bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            )  # fmt: skip
            with torch.device("cpu" if self.tiny else "cuda"):
                model = LlamaForCausalLM(config)
            model.to(getattr(torch, self.precision)).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            del model
            torch.cuda.empty_cache()
        return replace(find_base(str(folder), self.store, Execution()), precision=self.precision)

    def rows(self, n: int) -> str:
        return self.do(sft_data(self.supply, n, 0)).key

    def pairs(self, n: int, method: str = "dpo") -> str:
        kind = "unpaired" if method == "kto" else "pref"
        return self.do(preference_data(self.supply, n, 0, kind=kind)).key

    def settings(self, **given: Any) -> dict[str, Any]:
        common = {"epochs": 1, "precision": self.precision, "optimizer": {"name": "adamw_8bit"}}
        return {**common, **given}

    def note(self, what: str, artifact: Artifact, **more: Any) -> None:
        metrics = artifact.metrics
        seconds = float(metrics["train_s"])
        since = 1 - int(metrics["resumed_at_step"]) / int(metrics["steps"])
        rate = round(since * float(metrics["examples"]) / seconds, 1)
        row = {
            "what": what, "rows": metrics["rows"], "steps": metrics["steps"], "micro_batch": metrics["micro_batch"],
            "prepare_s": metrics["prepare_s"], "train_s": seconds,
            "rows_per_s": rate, "peak_gib": metrics.get("peak_gpu_gib"),
            "first_loss": metrics.get("first_loss"), "last_loss": metrics.get("last_loss"),
            "optimizer": metrics["optimizer"], **more,
        }  # fmt: skip
        self.curves[what] = curve(artifact)
        self.add(row)

    def say(self, what: str, **figures: Any) -> None:
        self.add({"what": what, **figures})

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, on disk too: the whole call may be cut off."""
        self.table.append(row)
        print(json.dumps(row), flush=True)
        self.write("not finished")

    def write(self, problem: str | None) -> None:
        seconds = round(time.monotonic() - self.started, 1)
        result = {"phase": self.phase, "seconds": seconds, "problem": problem, "measured": self.table}
        for name, content in (("training", result), ("curves", self.curves)):
            file = self.options.out / f"{name}-{self.phase}.json"
            file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        (self.options.out / "training.md").write_text(summary(self.options.out), "utf-8")

    def score(self, what: str, base: FoundBase, checkpoint: str | None) -> None:
        prompts = self.do(eval_data(self.supply, "test", self.size(1319) if self.tiny else None))
        started = time.monotonic()
        tokens = 24 if self.tiny else self.options.max_new_tokens
        asked = gen_stage(
            base, checkpoint, prompts.key, self.task, max_new_tokens=tokens, engine=self.options.engine
        )
        answers = self.do(asked)
        seconds = time.monotonic() - started
        verdict = self.do(eval_stage(answers, self.store)).metrics
        primary = str(verdict["primary"])
        self.say(
            f"{what}: score", **{name: value for name, value in verdict.items() if name.startswith(primary)},
            prompts=verdict["prompts"], truncated=verdict["truncated"], generation_s=round(seconds, 1),
        )  # fmt: skip


def three_methods(bench: Bench, base: FoundBase, name: str, n_rows: int, n_pairs: int) -> None:
    sft = bench.do(sft_stage(base, bench.rows(bench.size(n_rows)), bench.settings(), 0))
    bench.note(f"{name}, SFT", sft)
    for method in METHODS:
        pairs = bench.pairs(bench.size(n_pairs), method)
        tuned = bench.do(pft_stage(base, Start(sft.key), pairs, bench.settings(method=method), 0))
        bench.note(f"{name}, {method.upper()} stacked", tuned)


def speed(bench: Bench) -> None:
    three_methods(bench, bench.base(), "SmolLM2-135M", 640, 320)


def shape(bench: Bench) -> None:
    three_methods(bench, bench.random_base(), "1B shape", 800, 320)


def qlora(bench: Bench) -> None:
    base = bench.random_base()
    trained = bench.do(sft_stage(base, bench.rows(bench.size(320)), bench.settings(weights="qlora"), 0))
    bench.note("1B shape, SFT, QLoRA", trained)


def unsloth(bench: Bench) -> None:
    """The same seed and rows as with TRL's own model, so that the curves can be laid over each other."""
    base, rows = bench.random_base(), bench.rows(bench.size(800))
    plain = bench.do(sft_stage(base, rows, bench.settings(), 0))
    fast = bench.do(sft_stage(base, rows, bench.settings(backend="unsloth", precision="bfloat16"), 0))
    bench.note("1B shape, SFT, TRL, the same rows", plain)
    bench.note("1B shape, SFT, unsloth", fast, worst_loss_difference_to_trl=apart(plain, fast))
    pairs = bench.pairs(bench.size(160))
    given = bench.settings(backend="unsloth", precision="bfloat16")
    bench.note("1B shape, DPO stacked, unsloth", bench.do(pft_stage(base, Start(fast.key), pairs, given, 0)))


def kill(bench: Bench) -> None:
    """Through the commands: stopped, killed, finished; then undisturbed in another store."""
    base, rows = bench.base(), bench.rows(bench.size(960))
    epochs = 40 if bench.tiny else 1
    words = [sys.executable, "-P", "-m", "budgetctl", "sft", "--base", base.key, "--data", rows, "--epochs", epochs,
             "--seed", 1, "--set", f"precision={bench.precision}", "--set", "optimizer.name=adamw_8bit",
             "--checkpoint-every", 1, "--steal", "--device", "cpu" if bench.tiny else "auto",
             "--store", bench.store.root]  # fmt: skip
    command = list(map(str, words))
    codes = []
    for number in (signal.SIGUSR2, signal.SIGKILL):
        before = newest_checkpoint(bench.store.root)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while process.poll() is None and newest_checkpoint(bench.store.root) <= before:
            time.sleep(0.1)
        process.send_signal(number)
        process.communicate()
        codes.append(process.returncode)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    disturbed = bench.store.artifact(done.stdout.strip())
    other = Bench(bench.options, bench.store.root.with_name(f"{bench.store.root.name}-undisturbed"))
    given = {"epochs": epochs, "precision": bench.precision, "optimizer": {"name": "adamw_8bit"}}
    whole = other.do(sft_stage(other.base(), other.rows(bench.size(960)), given, 1))
    bench.note("SmolLM2-135M, SFT, undisturbed", whole)
    bench.note(
        "SmolLM2-135M, SFT, USR2 then SIGKILL then finished", disturbed, exit_codes=codes,
        resumed_at_step=disturbed.metrics["resumed_at_step"], worst_loss_difference=apart(whole, disturbed),
    )  # fmt: skip


def newest_checkpoint(root: Path) -> int:
    markers = root.glob("drafts/*/**/checkpoints/checkpoint-*/whole")
    return max((int(marker.parent.name.rsplit("-", 1)[-1]) for marker in markers), default=0)


def learning(bench: Bench) -> None:
    base = bench.base()
    available = int(bench.store.artifact(bench.rows(16)).metrics["available"] or 0)
    rows = bench.rows(256 if bench.tiny else available)
    given = bench.settings(
        epochs=2, batch_size=16 if bench.tiny else 64, optimizer={"name": "adamw_8bit", "learning_rate": 1e-3}
    )
    sft = bench.do(sft_stage(base, rows, given, 0), micro_batch=None if bench.tiny else 64)
    what = "SmolLM2-135M, SFT on all rows, 2 epochs in batches of 64"
    bench.note(what, sft, key=sft.key)
    bench.score("untrained", base, None)
    bench.score("SFT", base, sft.key)
    pairs = on_policy_pairs(bench, base, sft.key)
    if pairs is not None:
        dpo = bench.do(pft_stage(base, Start(sft.key), pairs, bench.settings(epochs=2), 0))
        bench.note("SmolLM2-135M, DPO on on-policy pairs", dpo)
        bench.score("DPO", base, dpo.key)


def on_policy_pairs(bench: Bench, base: FoundBase, checkpoint: str) -> str | None:
    """Several answers to training questions, right over wrong; None where no question has both."""
    asked = bench.do(eval_data(bench.supply, "train", 32 if bench.tiny else bench.options.prompts))
    answers = bench.do(
        gen_stage(
            base,
            checkpoint,
            asked.key,
            bench.task,
            decoding="sample",
            samples=bench.options.samples,
            max_new_tokens=24 if bench.tiny else bench.options.max_new_tokens,
            engine=bench.options.engine,
        )
    )
    scorer = task_named(bench.task).scorer_version
    stage = PairsStage(
        PairsIdentity(task=bench.task, scorer_version=scorer, kind="pref"), answers.key, asked.key
    )
    try:
        made = bench.do(stage)
    except ShortageError as error:
        bench.say("on-policy pairs", pairs=0, why=str(error))
        return None
    bench.say(
        "on-policy pairs",
        pairs=made.metrics["rows"],
        prompts=bench.options.prompts,
        samples=bench.options.samples,
    )
    return made.key


def two_gpus(bench: Bench) -> None:
    """The effective batch and the rows are the same, so the curves must be too, but for rounding."""
    os.environ["NCCL_NVLS_ENABLE"] = "0"
    plain = {"epochs": 1, "precision": bench.precision}
    full = {**plain, "weights": "full", "optimizer": {"learning_rate": 1e-5}}
    for name, make, ways in (
        ("SmolLM2-135M, SFT", lambda it: sft_stage(it.base(), it.rows(it.size(640)), plain, 0), WAYS),
        ("SmolLM2-135M, DPO over the base", lambda it: pft_stage(
            it.base(), None, it.pairs(it.size(320)), {**plain, "batch_size": 32}, 0), WAYS),
        ("1B shape, SFT of all weights", lambda it: sft_stage(
            it.random_base(), it.rows(it.size(320)), full, 0), WAYS[1:]),
    ):  # fmt: skip
        first: Artifact | None = None
        for said, how in ways:
            # One store for each: an equal key would be a hit.
            it = Bench(
                bench.options, bench.store.root.with_name(f"{bench.store.root.name}-{said}".replace(" ", "-"))
            )
            made = it.do(make(it), **how)
            more = {"worst_loss_difference": apart(first, made)} if first is not None else {}
            first = first or made
            bench.note(f"{name}, {said}", made, **more)


def curve(artifact: Artifact, name: str = "loss") -> list[float]:
    records = pyarrow.parquet.read_table(artifact.path("curves.parquet")).to_pylist()
    return [record["value"] for record in records if record["name"] == name]


def apart(one: Artifact, other: Artifact) -> float:
    """The largest difference of two loss curves at the same step."""
    first, second = curve(one), curve(other)
    if len(first) != len(second):
        return math.inf
    return round(max(abs(a - b) for a, b in zip(first, second, strict=True)), 5)


PHASES: dict[str, Callable[[Bench], None]] = {
    "speed": speed, "shape": shape, "qlora": qlora, "unsloth": unsloth, "kill": kill, "learning": learning,
    "two_gpus": two_gpus,
}  # fmt: skip


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in whatever runs once the time is over."""

    def over(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"its limit of {seconds:.0f} s was over")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run_phase(options: argparse.Namespace, phase: str) -> bool:
    """Run one phase and write what it measured; return whether it went well."""
    bench = Bench(options, options.store, phase)
    problem = None
    limit = LIMITS_S[phase] * options.slack
    print(f"== {phase} (limit {limit:.0f} s)", flush=True)
    try:
        with limited(limit):
            PHASES[phase](bench)
    except Exception as error:  # reported in the table; the other phases go on
        problem = f"{type(error).__name__}: {error}"
        print(f"{phase} failed: {problem}", flush=True)
    finally:
        close_engines(bench.keep)
    bench.write(problem)
    return problem is None


def summary(out: Path) -> str:
    """One table of trainings, one line for everything else, of all phases that wrote into the folder."""
    phases = [json.loads(file.read_text("utf-8")) for file in sorted(out.glob("training-*.json"))]
    (out / "training.json").write_text(json.dumps(phases, indent=1) + "\n", "utf-8")
    columns = (
        "what",
        "rows",
        "micro_batch",
        "prepare_s",
        "train_s",
        "rows_per_s",
        "peak_gib",
        "first_loss",
        "last_loss",
    )
    lines = [f"| {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) - 1)]
    others = []
    for phase in phases:
        for row in phase["measured"]:
            if "train_s" in row:
                lines.append("| " + " | ".join(_shown(row.get(name)) for name in columns) + " |")
            more = {
                name: value for name, value in row.items() if name not in (*columns, "steps", "optimizer")
            }
            if more:
                others.append(f"- {row['what']}: " + ", ".join(f"{k} {_shown(v)}" for k, v in more.items()))
    ends = [
        f"- {phase['phase']}: {phase['seconds']} s"
        + (f"; FAILED: {phase['problem']}" if phase["problem"] else "")
        for phase in phases
    ]
    return "\n".join([*lines, "", *others, "", "Phases:", *ends, ""])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phases", nargs="+", choices=list(PHASES))
    parser.add_argument("--base", default=os.environ.get("BASE"))
    parser.add_argument("--gsm8k", type=Path, default=os.environ.get("GSM8K"))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")))
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--prompts", type=int, default=800, help="training questions for on-policy pairs")
    parser.add_argument("--samples", type=int, default=8, help="answers to each of them")
    parser.add_argument("--slack", type=float, default=1.0, help="factor on the time limits")
    parser.add_argument(
        "--tiny", action="store_true", help="a small model on the CPU, to try the script itself"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    todo = list(options.phases)
    while todo:
        fine = run_phase(options, todo.pop(0))
        if not fine and todo:  # a failure may have spoilt the GPU's context: go on in a fresh process
            rest = [word for word in sys.argv[1:] if word not in PHASES]
            sys.stdout.flush()
            os.execv(sys.executable, [sys.executable, sys.argv[0], *todo, *rest])
    print(summary(options.out))


if __name__ == "__main__":
    main()
