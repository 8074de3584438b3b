"""Generation with vLLM in a process of its own: one start per worker, adapters swapped over one base.

The process may run another Python (`BUDGETCTL_VLLM_PYTHON`), because vLLM pins versions that a training
environment need not share. The parts of vLLM that are used (`LLM`, `LLMEngine.add_request` and `step`,
`SamplingParams`, `LoRARequest`, `TokensPrompt`) are the same in the versions 0.26.0 and 0.32.0.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from budgetctl.engines.child import Child, ChildDied
from budgetctl.engines.gpus import (
    Memory,
    gpu_holders,
    gpu_memory,
    physical_gpu,
    visible_gpus,
    wait_for_memory,
)
from budgetctl.engines.protocol import AdapterFolder
from budgetctl.engines.served import ServedEngine
from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.adapters import check_fits_folder
from budgetctl.models.folders import config_of, weights_mib
from budgetctl.models.registry import Precision

PYTHON_VARIABLE = "BUDGETCTL_VLLM_PYTHON"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Adapter ranks vLLM has kernels for (`vllm/config/lora.py` of 0.26 and 0.32)."""
USUAL_RANK = 64
"""Served when nobody says how large the adapters will get: SFT and preference adapters of the default rank, stacked."""
START_S = 900.0
LENGTH_STEP = 256
"""The context is rounded up to multiples of this, so that a slightly longer prompt needs no new engine."""
LENGTH_LEAST = 2048
"""vLLM pages its cache, so room for longer prompts of a later stage costs nothing."""
GPU_RESERVE = 0.06
"""Share of a GPU's memory left to CUDA graphs and other processes' small change."""
GPU_SHARE = 0.9
"""vLLM's own choice, where nothing tells how much is free."""
RELEASE_S = 30.0
"""How long the driver may take to collect the memory of a process that has ended."""
WORKSPACE_MIB = 4096.0
"""Of a process beside weights and cache: CUDA itself, activations of 16,384 tokens, logits of 1,024 rows, graphs."""
LEAST_CACHE_MIB = 512.0
GPU_THREADS = 2
"""CPU threads of a process that computes on a GPU: what is left for them is little, and idle ones spin."""
CANARY_TOKENS = 8
GRAPH_SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024)
"""Rows at once for which vLLM records a step of decoding as a CUDA graph; a step between two sizes is padded.

vLLM's own list has 51 sizes, ends at 512 rows, and is recorded four times: with and without an adapter, for decoding
alone and mixed with prompts. Offline, nearly every step decodes alone, under an adapter, and many rows."""


class VllmEngine(ServedEngine):
    """A base model in vLLM; see `engines.protocol.Engine`.

    Answers are reproducible as far as vLLM is: each (prompt, sample) has a seed of its own, but kernels choose
    their summation order by the batch, so a tie can fall otherwise in another batch.
    """

    def __init__(
        self,
        base: Path,
        device: str,
        precision: Precision,
        threads: int | None = None,
        share: float = 1.0,
        rank: int | None = None,
        together: int = 1,
    ) -> None:
        """Describe the engine; its process starts with the first request.

        Args:
            base: Folder of the base.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            precision: Of the weights.
            threads: CPU threads; None leaves vLLM's choice.
            share: Most of the GPU's free memory it may take, below 1 where others need the rest.
            rank: Largest adapter rank that will be asked for, if it is known.
            together: How many engines like this one start on the GPU at the same time; each keeps an equal part of what
                was free then, over its own restarts too.
        """
        super().__init__("vLLM", int(config_of(base).get("max_position_embeddings") or 4096))
        self._base = base
        self._device = device
        self._precision = precision
        self._threads = threads
        self._share = share
        self._together = together
        self._part: float | None = None
        self._length = 0
        self._rank = served_rank(rank, "the plan's largest adapter") if rank else USUAL_RANK
        self._numbers: dict[str, int] = {}
        self._memory: Memory | None = None
        self._held_mib = 0.0

    @property
    def _on_cpu(self) -> bool:
        return self._device == "cpu" or (self._device == "auto" and not visible_gpus())

    def _ready(self, length: int, adapter: AdapterFolder | None) -> Child:
        """Return a process whose context and adapter rank are large enough, with the adapter proven to matter."""
        length = min(self._context, max(LENGTH_LEAST, -(-length // LENGTH_STEP) * LENGTH_STEP))
        rank = 0
        if adapter is not None:
            config = json.loads((adapter.path / "adapter_config.json").read_text(encoding="utf-8"))
            rank = served_rank(int(config["r"]), f"checkpoint {adapter.key[:12]}")
            if adapter.key not in self._numbers:
                check_fits_folder(adapter.path, self._base, f"Checkpoint {adapter.key[:12]}")
        if self._child is None or length > self._length or rank > self._rank:
            self._stop()
            self._length, self._rank = max(length, self._length), max(rank, self._rank)
            self._child = self._start()
        if adapter is not None and adapter.key not in self._numbers:
            self._numbers[adapter.key] = len(self._numbers) + 1
            self._prove(self._child, adapter)
        return self._child

    def _prove(self, child: Child, adapter: AdapterFolder) -> None:
        """Compare a canary text's log-probabilities with and without the adapter."""
        canary = [{"ids": list(range(3, 3 + CANARY_TOKENS)), "first": 1}]
        if self._scores(child, canary, adapter) == self._scores(child, canary, None):
            del self._numbers[adapter.key]
            raise BudgetctlError(
                f"Checkpoint {adapter.key[:12]} does not change the base's answers at all: its adapter is empty or was "
                "not applied."
            )

    def _start(self) -> Child:
        if self._precision == "float32" and not self._on_cpu:
            raise UsageError(
                "On a GPU vLLM applies adapters in 16 bits only, and this base is used in float32. Use a base whose "
                "precision is bfloat16 (--precision bfloat16 on a command line), or engine: transformers."
            )
        python = os.environ.get(PYTHON_VARIABLE, sys.executable)
        options: dict[str, Any] = {
            "model": str(self._base), "dtype": self._precision, "max_model_len": self._length, "seed": 0,
            "enable_lora": True, "max_lora_rank": self._rank, "max_loras": 1, "max_cpu_loras": 4,
            "enforce_eager": self._on_cpu, "disable_log_stats": True,
        }  # fmt: skip
        if not self._on_cpu:
            options["compilation_config"] = {
                "cudagraph_mode": "FULL_DECODE_ONLY",
                "cudagraph_capture_sizes": list(GRAPH_SIZES),
                "cudagraph_specialize_lora": False,
            }
        environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1",
                       "HF_HUB_OFFLINE": "1", "VLLM_USE_FLASHINFER_SAMPLER": "0"}  # fmt: skip
        if self._on_cpu:
            environment["VLLM_CPU_KVCACHE_SPACE"] = "1"
            environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
            environment["OMP_NUM_THREADS"] = str(self._threads or os.cpu_count() or 1)
        else:
            gpu = physical_gpu(self._device)
            environment["CUDA_VISIBLE_DEVICES"] = gpu
            environment.setdefault("TRITON_CACHE_DIR", _kernel_cache())
            environment["OMP_NUM_THREADS"] = str(min(self._threads or GPU_THREADS, GPU_THREADS))
            self._memory = gpu_memory(gpu)
            options["gpu_memory_utilization"] = round(self._memory_share(_free_share(gpu, self._memory)), 3)
            if self._shares_the_gpu and self._memory is not None:
                # Measured by vLLM itself, the cache's size would depend on what others take meanwhile.
                share_mib = options["gpu_memory_utilization"] * self._memory.total
                weights = weights_mib(self._base)
                cache = _cache_mib(share_mib, weights)
                options["kv_cache_memory_bytes"] = int(cache * 2**20)
                self._held_mib = weights + cache
        script = Path(__file__).with_name("vllm_child.py")
        log = self._folder / f"vllm-{self.starts}.log"
        child = Child([python, "-P", str(script), json.dumps(options)], log, environment)
        self._numbers = {}
        try:
            self._await_start(child, START_S)
        except ChildDied as error:
            if "No module named 'vllm'" in str(error):
                raise UsageError(
                    f"{python} has no vLLM. Install it with pip install 'budgetctl[gpu]', or name a Python that has it "
                    f"in {PYTHON_VARIABLE}."
                ) from error
            raise
        return child

    @property
    def _shares_the_gpu(self) -> bool:
        return self._share < 1 or self._together > 1

    def _memory_share(self, free: float) -> float:
        """Which part of the GPU's memory to take while `free` of it is free."""
        if self._together == 1:
            return self._share * free
        if self._part is None:
            self._part = self._share * free / self._together
        return min(self._part, free)

    def _stop(self) -> None:
        """End the process, and on a GPU wait until the driver has taken its memory back."""
        if self._child is not None:
            gpu = physical_gpu(self._device)
            before = self._memory
            if before is not None and self._shares_the_gpu:  # others take and give memory, too
                now = gpu_memory(gpu) or before
                before = Memory(min(before.free, now.free + self._held_mib), before.total)
            super()._stop()
            if not self._on_cpu:
                wait_for_memory(gpu, before, RELEASE_S)

    def _adapter_document(self, adapter: AdapterFolder | None) -> dict[str, Any] | None:
        if adapter is None:
            return None
        return {"key": adapter.key, "number": self._numbers[adapter.key], "path": str(adapter.path)}


def served_rank(rank: int, what: str) -> int:
    """Return the smallest rank vLLM has kernels for that takes an adapter of `rank`.

    Raises:
        UsageError: There is none so large.
    """
    fitting = [served for served in RANKS if served >= rank]
    if not fitting:
        raise UsageError(
            f"{what[0].upper()}{what[1:]} has rank {rank}; vLLM serves at most {RANKS[-1]}. Use engine: transformers, "
            "or export it merged."
        )
    return fitting[0]


def _kernel_cache() -> str:
    """Return the folder where Triton keeps compiled kernels by default.

    Named, it stays that one. Otherwise torch puts it into the folder of the model that it compiles, and in vLLM 0.26
    that is another one once the model is loaded as compiled: a base's second start compiled all of vLLM's kernels anew,
    25 s of it (docs/results/generation.md).
    """
    home = os.environ.get("TRITON_HOME") or os.path.expanduser("~")  # noqa: PTH111  (Path's fails where there is none)
    return str(Path(home) / ".triton" / "cache")


def _free_share(gpu: str, memory: Memory | None) -> float:
    """Share of the GPU's memory that is free now, less a reserve.

    Raises:
        BudgetctlError: Hardly any is; names who holds it.
    """
    if memory is None:
        return GPU_SHARE
    share = memory.free / memory.total - GPU_RESERVE
    if share < 0.1:
        raise BudgetctlError(
            f"GPU {gpu} has {memory.free:.0f} of {memory.total:.0f} MiB free, too little for vLLM. It is held by "
            f"(pid, program, MiB): {gpu_holders(gpu) or 'a process this machine does not show'}."
        )
    return share


def _cache_mib(share_mib: float, weights_mib: float) -> float:
    """Return how much key-value cache fits into a process's share of a GPU.

    Raises:
        BudgetctlError: None does.
    """
    cache = share_mib - weights_mib - WORKSPACE_MIB
    if cache < LEAST_CACHE_MIB:
        raise BudgetctlError(
            f"A share of {share_mib:.0f} MiB of this GPU is too little for vLLM, whose weights take {weights_mib:.0f} "
            f"and whose work {WORKSPACE_MIB:.0f} MiB. Use engine: transformers, or a GPU with more memory."
        )
    return cache
