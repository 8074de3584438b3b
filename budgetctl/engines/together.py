"""How many vLLM processes answer side by side on one GPU."""

from __future__ import annotations

from pathlib import Path

from budgetctl.engines.gpus import gpu_memory, physical_gpu
from budgetctl.engines.host import free_cores, free_memory_mib
from budgetctl.engines.vllm import GPU_RESERVE, WORKSPACE_MIB
from budgetctl.models.folders import weights_mib

SMALL_MIB = 1024.0
"""Weights up to which several pay: with 270 MiB four make a sweep's answers two to three times as fast as one, with
2.4 GiB about a quarter faster (docs/results/generation.md)."""
MOST_PER_GPU = 4
"""Where there are several generations, one for each."""
MOST_FOR_ONE = 2
"""Where a single generation's prompts are dealt to them: three and four wait for their turn on the GPU."""
CORES_PER_ENGINE = 2
"""Four processes on 8 cores, and on 4, still answered more than two did (docs/results/generation.md)."""
CACHE_MIB = 4096.0
"""Of keys and values, for each of them: 180,000 tokens of a model of 135 million parameters."""

HOST_MIB = 4096.0
"""Allowed for each of them of the machine's own memory, beside the weights, which pass through it. On a CPU vLLM 0.32
held 2.1 GiB beside them, 1 GiB of cache among it; CUDA adds its own."""


def engines_per_gpu(folder: Path, device: str, cores: int, most: int = MOST_PER_GPU) -> int:
    """Return as many as a GPU's free memory, the machine's, and the cores allow, where several pay.

    One vLLM process leaves a GPU idle for most of a small model's step.

    Args:
        folder: Of the model.
        device: `cpu`, or which GPU.
        cores: That may be used for this GPU; as large a part of the machine's memory may be.
        most: Never more than these.
    """
    memory = None if device == "cpu" else gpu_memory(physical_gpu(device))
    weights = weights_mib(folder)
    if memory is None or weights > SMALL_MIB:
        return 1
    room = int((memory.free - GPU_RESERVE * memory.total) / (weights + WORKSPACE_MIB + CACHE_MIB))
    free = free_memory_mib()
    fitting = most if free is None else int(free * cores / max(cores, free_cores()) / (weights + HOST_MIB))
    return max(1, min(most, room, fitting, cores // CORES_PER_ENGINE))
