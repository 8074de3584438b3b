"""The pass over a preference training's texts before its first step: their log-probabilities under the policy as it is.

All texts of the rows are scored, whether the training will see them or not, so that what is kept of it is complete for
whoever trains on the same rows. Processes that hold the whole model score a share each; those that hold parts of it
compute every batch together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from budgetctl.errors import BudgetctlError, InterruptedRunError
from budgetctl.training.datasets import IGNORED
from budgetctl.training.reference import (
    MISMATCHED_FILE,
    OWN_FILE,
    PARTS,
    ReferenceTexts,
    Text,
    part_file,
    read_scores,
    write_scores,
)
from budgetctl.training.sharding import is_sharded
from budgetctl.training.watch import agreed

WRITE_EVERY_S = 60.0
"""A kill loses at most so much of the pass."""


@dataclass
class ReferencePass:
    """Scores what no earlier run has scored.

    Attributes:
        texts: What needs a score.
        folder: The draft's scratch: scores go there, and an interrupted pass goes on from there.
        known: Files of earlier trainings that start from the same policy.
        in_memory: Write nothing.
        should_stop: Asked between batches.
        scored: How many texts this pass has scored, in all processes together.
    """

    texts: ReferenceTexts
    folder: Path
    known: Sequence[Path]
    in_memory: bool
    should_stop: Callable[[], bool]
    scored: int = 0
    _written_at: float = field(default_factory=time.monotonic)

    def run(self, model: Any, accelerator: Any, at_once: int) -> Mapping[str, float]:
        """Return the log-probability of every text by its digest.

        Args:
            model: The policy, with TRL's output head.
            accelerator: Of its trainer.
            at_once: Texts of one forward pass.

        Raises:
            InterruptedRunError: It was asked to stop; what was scored is in the folder.
            BudgetctlError: A text has no score, or one that is no number.
        """
        wanted = self.texts.by_digest
        files = [self.folder / name for name in (OWN_FILE, MISMATCHED_FILE)]
        scores = read_scores([*self.known, *files, *self.folder.glob(PARTS)])
        together = is_sharded(model)
        unknown = sorted(
            (digest for digest in wanted if digest not in scores), key=lambda one: -len(wanted[one])
        )
        accelerator.wait_for_everyone()  # nobody may write before all have read what there is to do
        share = unknown if together else unknown[accelerator.process_index :: accelerator.num_processes]
        part = None if self.in_memory else part_file(self.folder, accelerator.process_index)
        if share:
            model.eval()
            scores |= self._score(
                [wanted[digest] for digest in share], model, accelerator, at_once, part, together
            )
        accelerator.wait_for_everyone()
        if accelerator.num_processes > 1 and not together:
            scores |= read_scores(self.folder.glob(PARTS))
        self.scored = len(unknown)
        self._check_complete(scores)
        if not self.in_memory and accelerator.is_main_process:
            for file, texts in zip(files, (self.texts.own, self.texts.mismatched), strict=True):
                write_scores(file, {text.digest: scores[text.digest] for text in texts})
        return scores

    def _score(
        self,
        texts: Sequence[Text],
        model: Any,
        accelerator: Any,
        at_once: int,
        part: Path | None,
        together: bool,
    ) -> dict[str, float]:
        found: dict[str, float] = read_scores([part])
        writes = part is not None and (accelerator.is_main_process or not together)
        for start in range(0, len(texts), at_once):
            if start and self._stops(accelerator.device, together):
                if part is not None and writes:
                    write_scores(part, found)
                onwards = "from there" if part is not None else "with all of them (--reference-in-memory)"
                raise InterruptedRunError(
                    f"Stopped while the reference was scored, after {start} of {len(texts)} texts; the same command "
                    f"goes on {onwards}."
                )
            batch = texts[start : start + at_once]
            values = _summed_logprobs(batch, model, accelerator)
            found |= {text.digest: value for text, value in zip(batch, values, strict=True)}
            if part is not None and writes and time.monotonic() - self._written_at >= WRITE_EVERY_S:
                write_scores(part, found)
                self._written_at = time.monotonic()
        if part is not None and writes:
            write_scores(part, found)
        return found

    def _stops(self, device: torch.device, together: bool) -> bool:
        wish = self.should_stop()
        return agreed(wish, False, device)[0] if together else wish

    def _check_complete(self, scores: Mapping[str, float]) -> None:
        for what, texts in (("the rows'", self.texts.own), ("the mismatched", self.texts.mismatched)):
            if lacking := sum(not math.isfinite(scores.get(text.digest, math.nan)) for text in texts):
                raise BudgetctlError(
                    f"The reference log-probabilities are incomplete: {lacking} of {len(texts)} of {what} texts have "
                    "none that is a number. Look at the base's weights and precision."
                )


def _summed_logprobs(batch: Sequence[Text], model: Any, accelerator: Any) -> list[float]:
    """The log-probability of each answer, padded behind and computed as in training."""
    longest = max(map(len, batch))
    shape = (len(batch), longest)
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED)
    for row, text in enumerate(batch):
        ids[row, : len(text)] = torch.tensor((*text.prompt, *text.answer))
        mask[row, : len(text)] = 1
        labels[row, len(text.prompt) : len(text)] = torch.tensor(text.answer)
    ids, mask, labels = (tensor.to(accelerator.device) for tensor in (ids, mask, labels))
    with torch.no_grad(), accelerator.autocast():
        outputs = model(
            input_ids=ids, attention_mask=mask, labels=labels, use_cache=False, fused_lm_head=True
        )
    values: list[float] = outputs.log_probs.sum(1).float().tolist()
    return values
