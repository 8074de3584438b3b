"""Generation with vLLM in a process of its own: one start per worker, adapters swapped over one base.

The process may run another Python (`BUDGETCTL_VLLM_PYTHON`), because vLLM pins versions that a training
environment need not share.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from budgetctl.engines.child import Child, ChildDied
from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, Prompt, check_lengths
from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.folders import config_of
from budgetctl.models.registry import Precision

PYTHON_VARIABLE = "BUDGETCTL_VLLM_PYTHON"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Adapter ranks vLLM has kernels for (`vllm/config/lora.py` of 0.32)."""
START_S = 900.0
SILENCE_S = 1800.0
LENGTH_STEP = 256
"""The context is rounded up to multiples of this, so that a slightly longer prompt needs no new engine."""
GPU_RESERVE = 0.06
"""Share of a GPU's memory left to CUDA graphs and other processes' small change."""
CANARY_TOKENS = 8


class VllmEngine:
    """A base model in vLLM; see `engines.protocol.Engine`.

    Answers are reproducible as far as vLLM is: each (prompt, sample) has a seed of its own, but kernels choose
    their summation order by the batch, so a tie can fall otherwise in another batch.
    """

    def __init__(
        self, base: Path, device: str, precision: Precision, threads: int | None = None, share: float = 1.0
    ) -> None:
        """Describe the engine; its process starts with the first request.

        Args:
            base: Folder of the base.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            precision: Of the weights.
            threads: CPU threads; None leaves vLLM's choice.
            share: Most of the GPU's free memory it may take, below 1 where a training needs the rest.
        """
        self._base = base
        self._device = device
        self._precision = precision
        self._threads = threads
        self._share = share
        self._context = int(config_of(base).get("max_position_embeddings") or 4096)
        self._child: Child | None = None
        self._length = 0
        self._rank = 0
        self._numbers: dict[str, int] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="budgetctl-vllm-"))
        self.starts = 0
        atexit.register(self.close)

    def generate(
        self,
        prompts: Sequence[Prompt],
        decoding: Decoding,
        stop_ids: Sequence[int],
        adapter: AdapterFolder | None,
        done: frozenset[tuple[str, int]] = frozenset(),
    ) -> Iterator[list[Answer]]:
        """Yield finished answers as they come. A process that dies is started again once.

        Raises:
            UsageError: A prompt leaves no room for an answer.
            BudgetctlError: The adapter changes nothing, or the process died twice.
        """
        check_lengths(prompts, self._context)
        left = {
            (prompt.prompt_id, sample): prompt
            for prompt in prompts for sample in range(decoding.samples) if (prompt.prompt_id, sample) not in done
        }  # fmt: skip
        died = False
        while left:
            try:
                self._ready(
                    max(len(prompt.ids) for prompt in left.values()) + decoding.max_new_tokens, adapter
                )
                for answers in self._answers(left, decoding, stop_ids, adapter):
                    for answer in answers:
                        del left[answer.prompt_id, answer.sample]
                    yield answers
            except ChildDied:
                self._stop()
                if died:
                    raise
                died = True

    def logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], adapter: AdapterFolder | None
    ) -> list[list[float]]:
        """Return each answer token's log-probability after its prompt, in the order given."""
        texts = [
            {"ids": [*prompt.ids, *answer], "first": len(prompt.ids)}
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        child = self._ready(max(len(prompt.ids) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)) + 1, adapter)  # fmt: skip # noqa: E501
        return self._scores(child, texts, adapter)

    @property
    def process_id(self) -> int | None:
        """Of the process that holds vLLM, and of its group; None while there is none."""
        return self._child.pid if self._child is not None else None

    def close(self) -> None:
        """End the process and everything it started."""
        atexit.unregister(self.close)
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(
        self,
        left: dict[tuple[str, int], Prompt],
        decoding: Decoding,
        stop_ids: Sequence[int],
        adapter: AdapterFolder | None,
    ) -> Iterator[list[Answer]]:
        assert self._child is not None
        places = list(left)
        request = {
            "do": "generate", "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": decoding.top_k,
            "stop_ids": list(stop_ids), "adapter": self._adapter_document(adapter),
            "prompts": [
                {"ids": list(prompt.ids), "seed": _seed(decoding.seed, prompt_id, sample),
                 "limit": min(decoding.max_new_tokens, self._context - len(prompt.ids))}
                for (prompt_id, sample), prompt in left.items()
            ],
        }  # fmt: skip
        for reply in self._exchange(self._child, request):
            found = [(places[answer["place"]], answer) for answer in reply["answers"]]
            if found:
                yield [
                    Answer(prompt_id, sample, tuple(answer["ids"]), answer["reason"], answer["logprob"])
                    for (prompt_id, sample), answer in found
                ]

    def _exchange(self, child: Child, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        complete = False
        try:
            child.ask(request)
            for reply in child.replies(SILENCE_S):
                complete = "error" in reply or bool(reply.get("done"))
                if "error" in reply:
                    raise BudgetctlError(f"vLLM refused the request: {reply['error']}")
                yield reply
                if complete:
                    return
        finally:
            if (
                not complete
            ):  # whoever asked has stopped listening; the rest of the replies would answer another
                self._stop()

    def _scores(
        self, child: Child, texts: list[dict[str, Any]], adapter: AdapterFolder | None
    ) -> list[list[float]]:
        request = {"do": "logprobs", "texts": texts, "adapter": self._adapter_document(adapter)}
        found: list[list[float]] = next(self._exchange(child, request))["scores"]
        return found

    def _ready(self, length: int, adapter: AdapterFolder | None) -> Child:
        """Return a process whose context and adapter rank are large enough, with the adapter proven to matter."""
        length = min(self._context, -(-length // LENGTH_STEP) * LENGTH_STEP)
        rank = _served_rank(adapter) if adapter else 0
        if self._child is None or length > self._length or rank > self._rank:
            self._stop()
            self._length, self._rank = max(length, self._length), max(rank, self._rank, 64)
            self._child = self._start()
        if adapter is not None and adapter.key not in self._numbers:
            self._numbers[adapter.key] = len(self._numbers) + 1
            self._prove(self._child, adapter)
        return self._child

    def _prove(self, child: Child, adapter: AdapterFolder) -> None:
        """Compare a canary text's log-probabilities with and without the adapter."""
        canary = [{"ids": list(range(3, 3 + CANARY_TOKENS)), "first": 1}]
        if self._scores(child, canary, adapter) == self._scores(child, canary, None):
            raise BudgetctlError(
                f"Checkpoint {adapter.key[:12]} does not change the base's answers at all: its adapter is empty or was "
                "not applied."
            )

    def _start(self) -> Child:
        python = os.environ.get(PYTHON_VARIABLE, sys.executable)
        on_cpu = self._device == "cpu" or (self._device == "auto" and shutil.which("nvidia-smi") is None)
        options: dict[str, Any] = {
            "model": str(self._base), "dtype": self._precision, "max_model_len": self._length, "seed": 0,
            "enable_lora": True, "max_lora_rank": self._rank, "max_loras": 1, "max_cpu_loras": 4,
            "enforce_eager": on_cpu, "disable_log_stats": True,
        }  # fmt: skip
        environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1",
                       "HF_HUB_OFFLINE": "1", "VLLM_USE_FLASHINFER_SAMPLER": "0"}  # fmt: skip
        if on_cpu:
            environment["VLLM_CPU_KVCACHE_SPACE"] = "1"
            environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
            environment["OMP_NUM_THREADS"] = str(self._threads or os.cpu_count() or 1)
        else:
            if ":" in self._device:
                environment["CUDA_VISIBLE_DEVICES"] = self._device.split(":")[1]
            options["gpu_memory_utilization"] = round(self._share * _free_share(self._device), 3)
        script = Path(__file__).with_name("vllm_child.py")
        log = self._folder / f"vllm-{self.starts}.log"
        child = Child([python, "-P", str(script), json.dumps(options)], log, environment)
        self.starts += 1
        self._numbers = {}
        try:
            next(child.replies(START_S))
        except ChildDied as error:
            child.close()
            if "No module named 'vllm'" in str(error):
                raise UsageError(
                    f"{python} has no vLLM. Install it with pip install 'budgetctl[gpu]', or name a Python that has it "
                    f"in {PYTHON_VARIABLE}."
                ) from error
            raise
        return child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _adapter_document(self, adapter: AdapterFolder | None) -> dict[str, Any] | None:
        if adapter is None:
            return None
        return {"key": adapter.key, "number": self._numbers[adapter.key], "path": str(adapter.path)}


def _seed(seed: int, prompt_id: str, sample: int) -> int:
    digest = blake2b(f"{seed}\x00{prompt_id}\x00{sample}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def _served_rank(adapter: AdapterFolder) -> int:
    rank = int(json.loads((adapter.path / "adapter_config.json").read_text(encoding="utf-8"))["r"])
    fitting = [served for served in RANKS if served >= rank]
    if not fitting:
        raise UsageError(
            f"Checkpoint {adapter.key[:12]} has rank {rank}; vLLM serves at most {RANKS[-1]}. Use engine: "
            "transformers, or export it merged."
        )
    return fitting[0]


def _free_share(device: str) -> float:
    """Share of the GPU's memory that is free now, less a reserve.

    Raises:
        BudgetctlError: Hardly any is; names who holds it.
    """
    number = device.split(":")[1] if ":" in device else "0"
    query = ["nvidia-smi", f"--id={number}", "--format=csv,noheader,nounits"]
    free, total = (
        float(value)
        for value in subprocess.check_output(
            [*query, "--query-gpu=memory.free,memory.total"], text=True
        ).split(",")
    )
    share = free / total - GPU_RESERVE
    if share < 0.1:
        holders = subprocess.check_output(
            [*query, "--query-compute-apps=pid,process_name,used_memory"], text=True
        ).strip()
        raise BudgetctlError(
            f"GPU {number} has {free:.0f} of {total:.0f} MiB free, too little for vLLM. It is held by "
            f"(pid, program, MiB): {holders or 'a process this machine does not show'}."
        )
    return round(share, 3)
