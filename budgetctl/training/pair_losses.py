"""Losses over pairs that TRL's DPO trainer does not have, from answers' log-probabilities alone.

Every loss is one number per pair, so that the mean over a batch does not depend on how it is cut into micro-batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from budgetctl.training.config import PftSettings

LEAST_GAP = 1e-7
"""How far a probability stays from 1 before its odds are taken."""


@dataclass(frozen=True)
class AnswerScores:
    """Log-probabilities of the chosen and the rejected answers, each of shape (pairs,).

    Attributes:
        chosen: Summed over the tokens of each chosen answer.
        rejected: The same of the rejected ones.
        chosen_tokens: Tokens of each chosen answer.
        rejected_tokens: The same of the rejected ones.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor

    @classmethod
    def of(cls, log_probs: torch.Tensor, mask: torch.Tensor) -> AnswerScores:
        """Add up token log-probabilities of a batch whose first half is chosen; both are (2 × pairs, tokens)."""
        summed = (log_probs * mask).sum(1).chunk(2)
        tokens = mask.sum(1).clamp(min=1).chunk(2)
        return cls(*summed, *tokens)

    @property
    def chosen_mean(self) -> torch.Tensor:
        """Per token."""
        return self.chosen / self.chosen_tokens

    @property
    def rejected_mean(self) -> torch.Tensor:
        """Per token."""
        return self.rejected / self.rejected_tokens


def reference_free_loss(settings: PftSettings, scores: AnswerScores) -> torch.Tensor:
    """Return the loss of each pair.

    - SimPO (Meng et al. 2405.14734, eq. 6): −log σ(β·(p_w − p_l) − γ), p an answer's mean token log-probability.
    - ORPO (Hong et al. 2403.07691, eqs. 6 and 7): −p_w + λ·(−log σ(log odds_w − log odds_l)), odds = e^p / (1 − e^p).
    - CPO (Xu et al. 2401.08417, eq. 5): −log σ(β·(P_w − P_l)), P the summed log-probability; its added likelihood
      is `sft_weight`.
    """
    if settings.method == "simpo":
        return -logsigmoid(settings.beta * (scores.chosen_mean - scores.rejected_mean) - settings.gamma)
    if settings.method == "orpo":
        ratio = _log_odds(scores.chosen_mean) - _log_odds(scores.rejected_mean)
        return -scores.chosen_mean - settings.odds_weight * logsigmoid(ratio)
    return -logsigmoid(settings.beta * (scores.chosen - scores.rejected))


def rewards(settings: PftSettings, scores: AnswerScores) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what each method calls the rewards of the chosen and the rejected answers, for the curve."""
    if settings.method == "simpo":
        return settings.beta * scores.chosen_mean, settings.beta * scores.rejected_mean
    if settings.method == "orpo":
        return settings.odds_weight * scores.chosen_mean, settings.odds_weight * scores.rejected_mean
    return settings.beta * scores.chosen, settings.beta * scores.rejected


def _log_odds(logprob: torch.Tensor) -> torch.Tensor:
    below_one = logprob.clamp(max=-LEAST_GAP)
    return below_one - torch.log(-torch.expm1(below_one))
