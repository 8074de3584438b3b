"""TRL's trainers, subclassed only where they cannot do what a study needs.

- Rows come tokenised by our own templates, so their preparation is skipped.
- The reference's log-probabilities are those of the policy before its first step (`reference_pass`). TRL would add a
  copy of one adapter as the reference, which for a stack of two is the wrong policy.
- Checkpoints hold the trained weights alone, and a marker says that one is whole.
- KTO's divergence estimate is the effective batch's, so that it does not depend on the micro-batch.

The model is the base with PEFT's layers inside it, not a `PeftModel`: the frozen parent and the trained adapter
are both active, and no trainer switches them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import load_file, save_file
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from trl import DPOTrainer, KTOTrainer, SFTTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer import dpo_trainer, kto_trainer, sft_trainer

from budgetctl.errors import BudgetctlError
from budgetctl.training.adapted_head import heads_with_adapters
from budgetctl.training.config import PftSettings
from budgetctl.training.datasets import IGNORED
from budgetctl.training.pair_losses import AnswerScores, reference_free_loss, rewards
from budgetctl.training.reference import text_digest
from budgetctl.training.reference_pass import ReferencePass
from budgetctl.training.sharding import gathered, gathered_state, is_sharded, spread_like, spread_state

WEIGHTS_FILE = "trained.safetensors"
WHOLE_MARKER = "whole"
PAIR_SIDES = {"ref_chosen_logps": "chosen_ids", "ref_rejected_logps": "rejected_ids"}
UNPAIRED_SIDES = {"ref_logps": "completion_ids", "ref_KL_logps": "KL_completion_ids"}
"""TRL's column of reference log-probabilities → the column of the answers they belong to."""


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end."""
    whole = [marker.parent for marker in folder.glob(f"checkpoint-*/{WHOLE_MARKER}")]
    return max(whole, key=lambda path: int(path.name.rsplit("-", 1)[-1]), default=None)


class _Checkpoints:
    """Small checkpoints that are whole or not there, and a loss that is a number."""

    model: Any
    args: Any
    state: Any
    accelerator: Any
    optimizer: Any
    lr_scheduler: Any
    _whole: dict[str, torch.Tensor]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._whole, folder / WEIGHTS_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        saved = load_file(Path(resume_from_checkpoint) / WEIGHTS_FILE)
        with torch.no_grad():
            for name, weight in self._trained():
                weight.copy_(spread_like(saved[name], weight))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self._whole = {
            name: gathered(weight) for name, weight in self._trained()
        }  # by all processes together
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        self._whole = {}
        self.accelerator.wait_for_everyone()  # each process writes its own random state
        if not self.args.should_save:
            return
        folder = Path(self.args.output_dir)
        newest = folder / f"checkpoint-{self.state.global_step}"
        (newest / WHOLE_MARKER).touch()
        for older in folder.glob("checkpoint-*"):
            if older != newest:
                shutil.rmtree(older)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not is_sharded(self.model):
            super()._save_optimizer_and_scheduler(output_dir)  # type: ignore[misc]
            return
        state = gathered_state(self.optimizer)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not is_sharded(self.model):
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
            return
        optimizer, schedule = (
            torch.load(Path(checkpoint) / name, map_location="cpu", weights_only=True)
            for name in (OPTIMIZER_NAME, SCHEDULER_NAME)
        )
        self.optimizer.load_state_dict(spread_state(self.optimizer, optimizer))
        self.lr_scheduler.load_state_dict(schedule)

    def _wrap_model(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        if is_sharded(
            model
        ):  # Accelerate would put its data parallelism around it; only the autocast is wanted
            self.accelerator.prepare_model(model, device_placement=False, evaluation_mode=True)
        return super()._wrap_model(model, *args, **kwargs)  # type: ignore[misc]

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[misc]
        return gathered(norm) if isinstance(norm, torch.Tensor) else norm

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """A checkpoint in a draft needs no card."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        try:
            loss = super().training_step(*args, **kwargs)  # type: ignore[misc]
        except torch.cuda.OutOfMemoryError:
            if self.accelerator.num_processes == 1:  # of several, the others do not know of it
                self._keep_last_good()
            raise
        if not self._is_number(loss):
            self._keep_last_good()
            whose = (
                "Another process's loss is not a number"
                if torch.isfinite(loss)
                else f"The loss became {float(loss)}"
            )
            raise BudgetctlError(
                f"{whose} at step {self.state.global_step + 1} of {self.state.max_steps}. The "
                f"weights after step {self.state.global_step} are kept in the draft; lower the learning rate or look "
                "at the rows of that step."
            )
        return loss

    def _is_number(self, loss: torch.Tensor) -> bool:
        """Whether the loss is finite in every process, so that all of them stop at the same step."""
        finite = torch.isfinite(loss.detach())
        if self.accelerator.num_processes > 1:
            finite = self.accelerator.reduce(finite.int(), "sum") == self.accelerator.num_processes
        return bool(finite)

    def _keep_last_good(self) -> None:
        """Write the state after the last finished step, unless that is the beginning."""
        self.model.zero_grad()
        if self.state.global_step:
            self._save_checkpoint(self.model, None)

    def _trained(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        return ((name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad)


class SupervisedTrainer(_Checkpoints, SFTTrainer):  # type: ignore[misc]
    """SFT on tokenised rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with heads_with_adapters(sft_trainer):
            super().__init__(*args, **kwargs)


class _KeptReference(_Checkpoints):
    """Reference log-probabilities from the untrained policy, computed once."""

    reference: ReferencePass
    texts_per_row: int

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        """Add the reference's columns."""
        with disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs):
            scores = self.reference.run(self.model, self.accelerator, self.texts_per_row * batch_size)
        sides = PAIR_SIDES if "chosen_ids" in dataset.column_names else UNPAIRED_SIDES
        for column, answer in sides.items():
            values = [scores[text_digest(row["prompt_ids"], row[answer])] for row in dataset]
            dataset = dataset.add_column(column, values)
        return dataset


class PairTrainer(_KeptReference, DPOTrainer):  # type: ignore[misc]
    """DPO and its relatives on tokenised pairs, perhaps with the chosen answers' likelihood added."""

    texts_per_row = 2

    def __init__(
        self, *args: Any, settings: PftSettings, reference: ReferencePass | None = None, **kwargs: Any
    ) -> None:
        self.settings = settings
        if reference is not None:
            self.reference = reference
        # TRL hashes all weights for the name of a cache that is not used here; on 8B that takes minutes.
        with patch.object(dpo_trainer, "hash_module", return_value=""), heads_with_adapters(dpo_trainer):
            super().__init__(*args, **kwargs)

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        """Add the likelihood per row; TRL's own is per token of a micro-batch, so it depends on how that is cut."""
        if not self.settings.sft_weight:
            return super()._compute_loss(model, inputs, return_outputs)
        remembering = _Remembering(model)
        loss = super()._compute_loss(remembering, inputs, False)
        scores = AnswerScores.of(remembering.log_probs, inputs["completion_mask"][:, 1:])
        return self._with_likelihood(loss, scores)

    def _with_likelihood(self, loss: torch.Tensor, scores: AnswerScores) -> torch.Tensor:
        likelihood = -scores.chosen_mean.mean()
        self._metrics["train"]["nll"].append(self.accelerator.gather(likelihood.detach()).mean().item())
        return loss + self.settings.sft_weight * likelihood


class _Remembering:
    """A model that keeps the log-probabilities of its last forward pass."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.log_probs: torch.Tensor

    def __call__(self, **kwargs: Any) -> Any:
        outputs = self._model(**kwargs)
        self.log_probs = outputs.log_probs
        return outputs


class ReferenceFreeTrainer(PairTrainer):
    """SimPO, ORPO and CPO on the same rows, in TRL's DPO trainer, with a loss of our own."""

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        return dataset

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        mask = inputs["completion_mask"][:, 1:]
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, IGNORED)
        outputs = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=labels, use_cache=False,
            fused_lm_head=True,
        )  # fmt: skip
        scores = AnswerScores.of(outputs.log_probs, mask)
        self._note(scores)
        loss = reference_free_loss(self.settings, scores).mean()
        return self._with_likelihood(loss, scores) if self.settings.sft_weight else loss

    def _note(self, scores: AnswerScores) -> None:
        """Log what TRL logs for DPO."""
        chosen, rejected = (self.accelerator.gather(side.detach()) for side in rewards(self.settings, scores))
        figures = {
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
            "rewards/accuracies": (chosen > rejected).float(),
            "logps/chosen": self.accelerator.gather(scores.chosen.detach()),
            "logps/rejected": self.accelerator.gather(scores.rejected.detach()),
        }
        for name, values in figures.items():
            self._metrics["train"][name].append(values.mean().item())


class UnpairedTrainer(_KeptReference, KTOTrainer):  # type: ignore[misc]
    """KTO on tokenised rows, its divergence estimated over the effective batch."""

    texts_per_row = 1

    def __init__(self, *args: Any, reference: ReferencePass, **kwargs: Any) -> None:
        self._divergence: torch.Tensor | None = None
        self.reference = reference
        with patch.object(kto_trainer, "hash_module", return_value=""), heads_with_adapters(kto_trainer):
            super().__init__(*args, **kwargs)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, items = super().get_batch_samples(*args, **kwargs)
        if self.calculate_KL and batches:
            self._divergence = None
            ratios = [
                super(UnpairedTrainer, self)._compute_kl_logps(self.model, batch) - batch["ref_KL_logps"]
                for batch in batches
            ]
            self._divergence = self.accelerator.reduce(torch.cat(ratios).mean(), "mean")
        return batches, items

    def _compute_kl_logps(self, model: Any, batch: Any) -> Any:
        """Return values whose mean excess over the reference's is the effective batch's divergence."""
        return batch["ref_KL_logps"] + self._divergence
