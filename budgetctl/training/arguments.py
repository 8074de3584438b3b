"""From our settings to TRL's argument classes, every default that matters said out loud."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from trl import DPOConfig, KTOConfig, SFTConfig

from budgetctl.training.config import PftSettings, SftSettings, TrainingSettings

LOSS_TYPES = {
    "dpo": "sigmoid", "ipo": "ipo", "hinge": "hinge", "robust": "robust", "exo": "exo_pair", "nca": "nca_pair",
    "bco": "bco_pair", "sppo": "sppo_hard", "aot": "aot", "aot_unpaired": "aot_unpaired", "apo": "apo_zero",
    "apo_down": "apo_down", "discopop": "discopop",
}  # fmt: skip
"""Method → the `loss_type` of TRL's DPO trainer."""


@dataclass(frozen=True)
class Shape:
    """How a training is laid out on this machine.

    Attributes:
        folder: Where checkpoints go.
        steps: Optimizer steps.
        micro_batch: Rows of one forward pass.
        accumulation: Forward passes of one step.
        seed: Of dropout.
        on_gpu: Whether a GPU computes.
        gradient_checkpointing: Recompute activations to save memory.
        optimizer: TRL's name of the optimizer.
        processes: How many train together.
    """

    folder: Path
    steps: int
    micro_batch: int
    accumulation: int
    seed: int
    on_gpu: bool
    gradient_checkpointing: bool
    optimizer: str
    processes: int = 1


def sft_arguments(settings: SftSettings, shape: Shape) -> SFTConfig:
    """Return TRL's SFT arguments for tokenised rows with labels."""
    return SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, **_common(settings, shape))


def pair_arguments(settings: PftSettings, shape: Shape) -> DPOConfig:
    """Return TRL's DPO arguments for one of the pair methods; those without a reference bring their own loss."""
    loss = "sigmoid_norm" if settings.length_normalised else LOSS_TYPES.get(settings.method, "sigmoid")
    return DPOConfig(
        beta=settings.beta,
        label_smoothing=settings.label_smoothing,
        precompute_ref_log_probs=True,
        loss_type=[loss],
        **_common(settings, shape),
    )


def kto_arguments(settings: PftSettings, shape: Shape) -> KTOConfig:
    """Return TRL's KTO arguments."""
    return KTOConfig(
        beta=settings.beta,
        desirable_weight=settings.desirable_weight,
        undesirable_weight=settings.undesirable_weight,
        precompute_ref_log_probs=True,
        **_common(settings, shape),
    )


def on_one_gpu(arguments: Any, device: torch.device) -> None:
    """Keep a training of one process on its own GPU; Transformers would spread each batch over all that are visible."""
    _ = arguments.device  # counts the visible GPUs and makes the first one the current one
    arguments._n_gpu = 1
    if device.index:
        arguments.__dict__["_setup_devices"] = device  # what the property above has cached
        torch.cuda.set_device(device)


def _common(settings: TrainingSettings, shape: Shape) -> dict[str, Any]:
    optimizer = settings.optimizer
    return {
        "output_dir": str(shape.folder),
        "max_steps": shape.steps,
        "per_device_train_batch_size": shape.micro_batch,
        "gradient_accumulation_steps": shape.accumulation,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "max_length": None,
        "learning_rate": optimizer.learning_rate,
        "lr_scheduler_type": "constant_with_warmup"
        if optimizer.schedule == "constant"
        else optimizer.schedule,
        # Transformers' warm-up begins at a rate of 0: a training of one step must not be spent on it.
        "warmup_steps": min(math.ceil(optimizer.warmup * shape.steps), shape.steps - 1),
        "optim": shape.optimizer,
        "weight_decay": optimizer.weight_decay,
        "adam_beta1": optimizer.beta1,
        "adam_beta2": optimizer.beta2,
        "adam_epsilon": optimizer.epsilon,
        "max_grad_norm": optimizer.max_grad_norm,
        "seed": shape.seed,
        "bf16": settings.precision == "bfloat16",
        "use_cpu": not shape.on_gpu,
        "gradient_checkpointing": shape.gradient_checkpointing,
        "dataloader_pin_memory": shape.on_gpu,
        "ddp_backend": "gloo" if shape.processes > 1 and not shape.on_gpu else None,
        "ddp_find_unused_parameters": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
