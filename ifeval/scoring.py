"""Verdicts: which instructions of a prompt an answer follows, strictly and loosely."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ifeval.checker import Checker, Toolbox
from ifeval.instruction import Instruction
from ifeval.registry import checker_for
from ifeval.text.languages import DEFAULT_SEED, LanguageDetector


@dataclass(frozen=True)
class Verdict:
    """One flag per instruction, in the prompt's order.

    Attributes:
        strict: The answer as it stands follows the instruction.
        loose: One of eight forms of it does: without its first line, its last, both, and each without stars
            (paper, section 2.2), which forgives an opening such as "Sure, here it is:".
    """

    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


class Scorer:
    """Scores answers; keeps checkers, text models and what they remember between answers.

    Args:
        compat: Reproduce lm-eval's verdicts also where it has a bug (listed in
            `docs/decisions/0202-ifeval-differences.md`).
        seed: Seed of the language detection, and of lm-eval's drawn letters with `compat`.
    """

    def __init__(self, compat: bool = False, seed: int = DEFAULT_SEED) -> None:
        self._tools = Toolbox(compat=compat, languages=LanguageDetector(seed), draws=random.Random(seed))
        self._checkers: dict[Instruction, Checker] = {}

    def score(self, instructions: Sequence[Instruction], answer: str) -> Verdict:
        """Judge one answer by all instructions of its prompt. A blank answer follows none.

        Raises:
            PromptError: an unknown kind, or arguments that do not fit it.
            MissingModelError: sentences must be counted and NLTK's model cannot be had.
        """
        checkers = [self.checker(instruction) for instruction in instructions]
        strict = tuple(_strict(checker, answer) for checker in checkers)
        forms = _LooseForms(answer)
        loose = tuple(
            _loose(checker, forms, known=followed) for checker, followed in zip(checkers, strict, strict=True)
        )
        return Verdict(strict, loose)

    def checker(self, instruction: Instruction) -> Checker:
        """The checker of an instruction, built once."""
        checker = self._checkers.get(instruction)
        if checker is None:
            checker = self._checkers[instruction] = checker_for(instruction, self._tools)
        return checker


class _LooseForms:
    """The eight forms of an answer that the loose reading tries, made when first needed, each once."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self._forms: list[str] | None = None

    def all(self) -> list[str]:
        if self._forms is None:
            lines = self.answer.split("\n")
            cut = [self.answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
            forms = dict.fromkeys(form for whole in cut for form in (whole, whole.replace("*", "")))
            self._forms = [form for form in forms if form.strip()]
        return self._forms


def _strict(checker: Checker, answer: str) -> bool:
    if checker.draws:
        checker.draw()
    return bool(answer.strip()) and checker.follows(answer)


def _loose(checker: Checker, forms: _LooseForms, known: bool) -> bool:
    if checker.draws:
        checker.draw()
        return any(checker.follows(form) for form in forms.all())
    return known or any(checker.follows(form) for form in forms.all() if form is not forms.answer)
