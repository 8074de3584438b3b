"""Instruction following: trained on Tulu 3's persona instructions, judged by IFEval's verifiable ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.tasks.task import Part
from ifeval.version import SCORER_VERSION

if TYPE_CHECKING:
    from ifeval.prompts import Prompt
    from ifeval.scoring import Scorer, Verdict

REMEMBERED_PROMPTS = 4096


class TuluIfTask:
    """Scores with IFEval's checkers; an answer that was cut off is judged as it stands, as IFEval does."""

    name = "tuluif"
    system_prompt = (
        "Follow every instruction in the user's message exactly: wording, format, length and language."
    )
    max_new_tokens = 1024
    primary_metric = "prompt_strict"
    loose_metric = "prompt_loose"
    scorer_version = SCORER_VERSION

    def __init__(self) -> None:
        self._scorer: Scorer | None = None
        self._prompt = lru_cache(maxsize=REMEMBERED_PROMPTS)(_read)
        self._judged = lru_cache(maxsize=1)(self._judge)  # `score` and `parts` are asked one after the other

    def check_reference(self, reference: str) -> None:
        """Refuse what is no IFEval prompt, or one whose instructions have arguments that do not fit them."""
        self._prompt(reference)

    def score(self, text: str, reference: str, truncated: bool) -> Mapping[str, float]:
        """Whether all instructions are followed.

        Args:
            text: The answer.
            reference: JSON with IFEval's `key`, `prompt`, `instruction_id_list` and `kwargs`.
            truncated: Not considered.

        Raises:
            UsageError: The reference is not such an object.
            BudgetctlError: NLTK's model is needed and cannot be had.
        """
        verdict = self._judged(text, reference)
        return {"prompt_strict": float(all(verdict.strict)), "prompt_loose": float(all(verdict.loose))}

    def parts(self, text: str, reference: str) -> Sequence[Part]:
        """Whether each instruction is followed.

        Raises:
            UsageError: As `score`.
            BudgetctlError: As `score`.
        """
        verdict = self._judged(text, reference)
        instructions = self._prompt(reference).instructions
        return [
            Part(one.kind, {"instruction_strict": float(strict), "instruction_loose": float(loose)})
            for one, strict, loose in zip(instructions, verdict.strict, verdict.loose, strict=True)
        ]

    def _judge(self, text: str, reference: str) -> Verdict:
        from ifeval.errors import MissingModelError  # noqa: PLC0415
        from ifeval.scoring import Scorer  # noqa: PLC0415

        self._scorer = self._scorer or Scorer()
        try:
            return self._scorer.score(self._prompt(reference).instructions, text)
        except MissingModelError as error:
            raise BudgetctlError(str(error)) from error


def _read(reference: str) -> Prompt:
    from ifeval.errors import PromptError  # noqa: PLC0415
    from ifeval.prompts import Prompt  # noqa: PLC0415

    try:
        fields = json.loads(reference)
        if not isinstance(fields, dict):
            raise PromptError(f"it must be a JSON object, got {reference[:80]!r}")
        return Prompt.of(fields)
    except (ValueError, RecursionError, PromptError) as error:
        raise UsageError(f"the reference of a tuluif row is not an IFEval prompt: {error}") from error
