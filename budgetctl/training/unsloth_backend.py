"""unsloth's kernels under our own trainers; for a process that imported unsloth before everything else.

Only the model is unsloth's: its attention, its LoRA kernels, its loading in four bits. Trainers, rows, checks,
checkpoints and what is published stay ours. A frozen adapter below the trained one is allowed: unsloth 2026.10 asks
each projection whether several adapters are active, and then leaves it to PEFT (`unsloth/kernels/fast_lora.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.training.config import TrainingSettings
from budgetctl.training.job import TrainingJob

if TYPE_CHECKING:
    from budgetctl.models.loading import LoadedBase

PYTHON_VARIABLE = "BUDGETCTL_UNSLOTH_PYTHON"
CHILD_MODULE = "budgetctl.training.unsloth_child"
CAUSAL_TOLERANCE = 0.05
"""Share of the hidden states' size by which two batch layouts may differ in bfloat16."""


def check_possible(job: TrainingJob) -> None:
    """Refuse, before a process is started, what unsloth cannot do here.

    Raises:
        UsageError: There is no GPU or no unsloth, or a watched run is asked for.
    """
    import torch  # noqa: PLC0415

    if job.device == "cpu" or not torch.cuda.is_available():
        raise UsageError("backend: unsloth needs a GPU; use backend: trl here, or run on a machine with one.")
    if PYTHON_VARIABLE not in os.environ and find_spec("unsloth") is None:
        raise UsageError(
            "backend: unsloth needs its package: pip install 'budgetctl[gpu]', or name the Python of an environment "
            f"that has it (and budgetctl) in {PYTHON_VARIABLE}."
        )
    if job.watched is not None:
        raise UsageError("A run that is measured while it trains needs backend: trl.")


def child_python() -> str:
    """The interpreter of the training's own process."""
    return os.environ.get(PYTHON_VARIABLE, sys.executable)


def child_environment(job: TrainingJob) -> Mapping[str, str]:
    """What the process must find set before it imports unsloth."""
    changes = {
        # Leaves TRL's trainers as they are (unsloth/models/rl.py, unsloth/_gpu_init.py); a GPU is used all the same.
        "UNSLOTH_ALLOW_CPU": "1",
        "UNSLOTH_COMPILE_LOCATION": str(job.scratch / "unsloth"),
        "HF_HUB_OFFLINE": "1",
        "UNSLOTH_DISABLE_STATISTICS": "1",  # it would fetch a file of the hub, to be counted
    }
    _, _, number = job.device.partition(":")
    if number:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        changes["CUDA_VISIBLE_DEVICES"] = (
            visible[int(number)] if len(visible) > int(number) and visible[0] else number
        )
    if PYTHON_VARIABLE in os.environ and (root := _source_tree()) is not None:
        changes["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return changes


def load_unsloth(folder: Path, settings: TrainingSettings, seed: int) -> LoadedBase:
    """Load a Transformers folder with unsloth's attention, its weights frozen.

    Raises:
        BudgetctlError: Its attention is not causal, or padding changes answers.
    """
    import torch  # noqa: PLC0415
    from transformers import AutoConfig  # noqa: PLC0415
    from unsloth import FastLanguageModel  # noqa: PLC0415

    from budgetctl.models.loading import LoadedBase, context_length, load_tokenizer  # noqa: PLC0415

    context = context_length(AutoConfig.from_pretrained(folder))
    model, _ = FastLanguageModel.from_pretrained(
        str(folder),
        # Longer rows would be cut without a word; KTO puts another row's answer behind a prompt.
        max_seq_length=min(context, 2 * settings.max_length),
        dtype=torch.bfloat16,
        load_in_4bit=settings.weights == "qlora",
        use_gradient_checkpointing=False,
        use_exact_model_name=True,
        fix_tokenizer=False,
        random_state=seed,
    )
    model.requires_grad_(False)
    model.eval()
    _check_causal(model)
    return LoadedBase(model, load_tokenizer(folder), torch.device("cuda:0"), context)


def install_kernels(peft_model: Any, recompute: bool) -> None:
    """Put unsloth's LoRA kernels into a PEFT model; which weights train must be said after it, not before."""
    from unsloth import FastLanguageModel  # noqa: PLC0415

    FastLanguageModel.patch_peft_model(
        peft_model, use_gradient_checkpointing="unsloth" if recompute else False
    )


def _check_causal(model: Any) -> None:
    """Compare the hidden states of a text alone, with other text behind it and with padding behind it."""
    import torch  # noqa: PLC0415

    generator = torch.Generator().manual_seed(0)
    text = torch.randint(0, min(model.config.vocab_size, 1000), (2, 24), generator=generator).to(model.device)
    text[1, :12] = text[0, :12]
    mask = torch.ones_like(text)
    mask[1, 12:] = 0
    for training in (False, True):
        model.train(training)
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
            both = model.base_model(
                input_ids=text, attention_mask=mask, use_cache=False
            ).last_hidden_state.float()
            alone = model.base_model(
                input_ids=text[:1, :12], attention_mask=mask[:1, :12], use_cache=False
            ).last_hidden_state.float()
        size = alone.norm()
        worst = max(float((both[row, :12] - alone[0]).norm() / size) for row in (0, 1))
        if not worst < CAUSAL_TOLERANCE:
            raise BudgetctlError(
                "Under unsloth the same text has other hidden states when something stands behind it (by "
                f"{worst:.3f} of their size). This version does not fit this model; use backend: trl."
            )
    model.eval()


def _source_tree() -> Path | None:
    """The folder this package is imported from, unless it is an environment's site-packages."""
    root = Path(__file__).parents[2]
    return root if (root / "pyproject.toml").exists() else None
