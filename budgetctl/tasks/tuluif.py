"""Instruction following: trained on Tulu 3's persona instructions, judged by IFEval's verifiable ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from budgetctl.errors import UsageError

if TYPE_CHECKING:
    from ifeval.instruction import Instruction
    from ifeval.scoring import Scorer


class TuluIfTask:
    """Scores with IFEval's checkers; an answer that was cut off is judged as it stands, as IFEval does."""

    name = "tuluif"
    system_prompt = (
        "Follow every instruction in the user's message exactly: wording, format, length and language."
    )
    max_new_tokens = 1024
    primary_metric = "prompt_strict"
    loose_metric = "prompt_loose"
    scorer_version = 1

    def __init__(self) -> None:
        self._scorer: Scorer | None = None

    def check_reference(self, reference: str) -> None:
        """Refuse what is no IFEval prompt, or one whose instructions have arguments that do not fit them."""
        self._instructions(reference)

    def score(self, text: str, reference: str, truncated: bool) -> Mapping[str, float]:
        """`prompt_*`: all instructions are followed; `instruction_*`: the share of them that is.

        Args:
            text: The answer.
            reference: JSON with IFEval's `key`, `prompt`, `instruction_id_list` and `kwargs`.
            truncated: Not considered.

        Raises:
            UsageError: The reference is not such an object.
        """
        verdict = self._checkers().score(self._instructions(reference), text)
        return {
            "prompt_strict": float(all(verdict.strict)),
            "prompt_loose": float(all(verdict.loose)),
            "instruction_strict": sum(verdict.strict) / len(verdict.strict),
            "instruction_loose": sum(verdict.loose) / len(verdict.loose),
        }

    def _checkers(self) -> Scorer:
        from ifeval.scoring import Scorer  # noqa: PLC0415

        self._scorer = self._scorer or Scorer()
        return self._scorer

    def _instructions(self, reference: str) -> tuple[Instruction, ...]:
        from ifeval.errors import PromptError  # noqa: PLC0415
        from ifeval.prompts import Prompt  # noqa: PLC0415

        try:
            fields = json.loads(reference)
            if not isinstance(fields, dict):
                raise PromptError(f"expected an object, found a {type(fields).__name__}")
            instructions = Prompt.of(fields).instructions
            for instruction in instructions:
                self._checkers().checker(instruction)
        except (ValueError, PromptError) as error:
            raise UsageError(f"the reference of a tuluif row is not an IFEval prompt: {error}") from error
        return instructions
