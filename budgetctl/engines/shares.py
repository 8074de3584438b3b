"""How many vLLM processes share one GPU, and how much of its memory each takes. No torch.

vLLM 0.26 to 0.32 schedules in Python, 60 to 80 µs for each token of each row, in one thread: a model of 135 million
parameters keeps an H200 busy for a sixth of the time (docs/results/generation.md). Processes beside each other each
have a thread of their own.
"""

from __future__ import annotations

from budgetctl.engines.gpus import Memory
from budgetctl.errors import BudgetctlError

MOST = 4
"""Processes of one GPU; with four, scheduling no longer holds up the kernels of a model of a billion parameters."""
CORES_EACH = 2
WEIGHTS_SHARE = 0.25
"""Of a GPU's memory that all copies of the weights may take: larger models keep a GPU busy from one process."""
ENOUGH_ANSWERS = 256
"""Below so many answers another process costs more than it brings."""
WORKSPACE_MIB = 4096.0
"""Of one process beside weights and cache: CUDA itself, activations of 16,384 tokens, logits of 1,024 rows, graphs."""
LEAST_CACHE_MIB = 512.0


def processes_per_gpu(weights_mib: float, memory: Memory | None, cores: int) -> int:
    """Return how many processes should serve a model from one GPU.

    Args:
        weights_mib: Of the model.
        memory: Of the GPU; None if nothing tells it.
        cores: CPU cores there are for this GPU.
    """
    if memory is None:
        return 1
    copies = int(WEIGHTS_SHARE * memory.total / max(weights_mib, 1.0))
    return max(1, min(MOST, cores // CORES_EACH, copies))


def cache_mib(share_mib: float, weights_mib: float) -> float:
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
