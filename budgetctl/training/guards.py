"""Checks that stop a training before it wastes anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from budgetctl.errors import BudgetctlError
from budgetctl.models.encoding import Encoder
from budgetctl.models.registry import Precision
from budgetctl.training.config import PftSettings
from budgetctl.training.rows import TokenSequence

SAMPLES = 3
REWARDS = ("rewards/chosen", "rewards/rejected", "rewards/margins")


def check_samples(
    sequences: Sequence[tuple[str, TokenSequence]], encoder: Encoder, answers_only: bool = True
) -> None:
    """Check the first rendered rows: one BOS in front, and a learnt answer that ends with its one end token.

    Raises:
        BudgetctlError: A row is not what the template promises.
    """
    for prompt_id, sequence in sequences[:SAMPLES]:
        learnt = [token for token, learn in zip(sequence.ids, sequence.learn, strict=True) if learn]
        bos = encoder.bos_id
        if bos is not None and (sequence.ids[0] != bos or sequence.ids.count(bos) != 1):
            raise BudgetctlError(
                f"Row {prompt_id!r} has {sequence.ids.count(bos)} BOS tokens instead of one in front: "
                f"{encoder.tokenizer.decode(sequence.ids)!r}"
            )
        if not learnt:
            raise BudgetctlError(f"Row {prompt_id!r} has no token to learn.")
        if answers_only and learnt[-1] == encoder.stop_id and len(learnt) > 1 and bos in learnt:
            raise BudgetctlError(f"Row {prompt_id!r} would learn its BOS token as part of an answer.")
        spans = _spans(sequence)
        for span in spans if answers_only else ():
            ends = span.count(encoder.stop_id)
            truncated = span is spans[-1] and sequence.learn[-1] and ends == 0
            if not truncated and (ends != 1 or span[-1] != encoder.stop_id):
                raise BudgetctlError(
                    f"Row {prompt_id!r}: an answer holds {ends} end-of-turn tokens instead of one at its end: "
                    f"{encoder.tokenizer.decode(span)!r}"
                )


def _spans(sequence: TokenSequence) -> list[list[int]]:
    spans: list[list[int]] = []
    before = False
    for token, learn in zip(sequence.ids, sequence.learn, strict=True):
        if learn and not before:
            spans.append([])
        if learn:
            spans[-1].append(token)
        before = learn
    return spans


def first_step_check(settings: PftSettings, precision: Precision) -> Callable[[Mapping[str, float]], None]:
    """Return a check that the policy still equals its reference at the first step.

    Every log-ratio is then 0, so margins are 0 and the loss is known (ln 2 for DPO). The tolerance covers rounding
    of sums over an answer's tokens between two batch shapes: 1e-3 in float32, and 0.05 + 0.2·β in bfloat16, whose
    token log-probabilities differ in the third digit.
    """
    tolerance = 1e-3 if precision == "float32" else 0.05 + 0.2 * settings.beta
    expected = expected_first_loss(settings)

    def check(figures: Mapping[str, float]) -> None:
        rewards = [value for name, value in figures.items() if name in REWARDS]
        worst = max((abs(value) for value in rewards), default=math.inf)
        if worst > tolerance:
            raise BudgetctlError(
                f"Before the first step the policy must equal its reference, but rewards are off by {worst:.3g} "
                f"(allowed {tolerance:g}). The reference does not belong to this policy."
            )
        if expected is not None and abs(figures["loss"] - expected) > max(tolerance, tolerance * expected):
            raise BudgetctlError(
                f"The first {settings.method} loss is {figures['loss']:.6f}; it must be {expected:.6f} while the "
                "policy equals its reference."
            )

    return check


def expected_first_loss(settings: PftSettings) -> float | None:
    """Return the loss while every log-ratio is 0; None where it depends on the data or is not worth a formula."""
    if settings.sft_weight:
        return None
    known = {"dpo": math.log(2), "robust": math.log(2), "hinge": 1.0, "ipo": (1 / (2 * settings.beta)) ** 2}
    return known.get(settings.method)
