"""Supervised and preference finetuning, from files to files."""

from __future__ import annotations

import gc
from dataclasses import replace

import torch

from budgetctl.errors import BudgetctlError
from budgetctl.training import unsloth_backend
from budgetctl.training.attempt import OutOfMemory, attempt
from budgetctl.training.config import PftSettings, SftSettings
from budgetctl.training.job import Metric, TrainingJob
from budgetctl.training.layout import check_layout
from budgetctl.training.microbatch import smaller
from budgetctl.training.processes import Starter, attempt_in_processes


def train(job: TrainingJob, settings: SftSettings | PftSettings) -> dict[str, Metric]:
    """Train on demonstrations or preferences and write the checkpoint with its curve.

    SFT trains an adapter over the base. Preference finetuning trains a second one over the parent's and writes
    their exact concatenation; its reference policy is what it starts from: the base with the parent adapter, or
    the base alone. A micro-batch that does not fit into a GPU is halved, the last finished step kept.

    Returns:
        Metrics for the manifest.

    Raises:
        UsageError: Rows, checkpoint and base do not fit each other.
        InterruptedRunError: It was asked to stop; the next call with the same scratch goes on.
        BudgetctlError: A guard fired, such as a first DPO loss that is not ln 2, or not even one row fits.
    """
    needs_whole_model = job.watched is not None or job.annealing is not None
    check_layout(settings, job.processes, job.shard, needs_whole_model)
    recompute = False
    starter = None
    if settings.backend == "unsloth":
        unsloth_backend.check_possible(job)
        starter = Starter(
            unsloth_backend.child_python(),
            unsloth_backend.CHILD_MODULE,
            unsloth_backend.child_environment(job),
        )
    while True:
        try:
            if starter is not None or job.processes > 1:
                return attempt_in_processes(job, settings, recompute, starter)
            return attempt(job, settings, recompute)
        except OutOfMemory as found:
            rows = smaller(settings.batch_size // job.processes, found.rows, found.least)
            if rows is None and recompute:
                raise BudgetctlError(_hopeless(found, settings)) from None
            recompute = recompute or rows is None
            job = replace(job, micro_batch=rows or found.rows)
        gc.collect()  # trainer and callbacks hold each other, and with them the model that would stay beside the next
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        job.reporter.say(
            f"out of GPU memory; going on with {job.micro_batch} rows at once"
            + (" and recomputed activations" if recompute else "")
        )


def _hopeless(found: OutOfMemory, settings: SftSettings | PftSettings) -> str:
    """What to say when the smallest micro-batch does not fit, with the ways that are left."""
    what = f"A row of {found.longest} tokens does"
    if found.rows > 1:
        what = f"{found.rows} rows of up to {found.longest} tokens, the fewest that can be computed at once here, do"
    ways = ["lower max_length" + (" or batch_size" if found.rows > 1 else "")]
    ways += {"lora": ["use weights: qlora"], "full": ["use weights: lora"], "qlora": []}[settings.weights]
    return (
        f"{what} not fit into this GPU's memory, even when activations are recomputed: {', '.join(ways)}, or use a GPU "
        "with more memory."
    )
