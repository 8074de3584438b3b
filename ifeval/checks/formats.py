"""Family `detectable_format`: bullets, highlights, sections, JSON, titles, fixed answers (paper, table 1)."""

import json
import re
from dataclasses import dataclass
from typing import ClassVar, Self

from ifeval.checker import Checker, Toolbox
from ifeval.instruction import Instruction, compile_words

_FIXED_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_HIGHLIGHT = re.compile(r"\*([^\n*]*)\*")
_DOUBLE_HIGHLIGHT = re.compile(r"\*\*([^\n*]*)\*\*")
_JSON_FENCES = ("```json", "```Json", "```JSON", "```")


@dataclass(frozen=True)
class NumberOfBullets(Checker):
    """`detectable_format:number_bullet_lists`: exactly so many lines that start with `* ` or `-`.

    A star counts when something other than a star follows. A star alone on its line takes the next line with it,
    as in IFEval's own code.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"num_bullets"})
    wanted: int

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(instruction.count("num_bullets"))

    def follows(self, text: str) -> bool:
        lines = [line.lstrip() for line in text.split("\n")]
        return _stars(lines) + sum(line.startswith("-") for line in lines) == self.wanted


def _stars(lines: list[str]) -> int:
    count = at = 0
    while at < len(lines):
        line = lines[at]
        if line == "*" and at + 1 < len(lines):
            count, at = count + 1, at + 1
        elif line.startswith("*") and line[1:2] not in ("", "*"):
            count += 1
        at += 1
    return count


@dataclass(frozen=True)
class FixedAnswer(Checker):
    """`detectable_format:constrained_response`: one of the three answers that the prompt offers occurs."""

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls()

    def follows(self, text: str) -> bool:
        return any(answer in text for answer in _FIXED_ANSWERS)


@dataclass(frozen=True)
class NumberOfHighlights(Checker):
    """`detectable_format:number_highlighted_sections`: at least so many `*sections*`, each within a line.

    `**Doubly starred**` sections count once; blank ones do not count.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"num_highlights"})
    wanted: int

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls(instruction.count("num_highlights"))

    def follows(self, text: str) -> bool:
        # The first pattern finds an empty section at each end of a doubly starred one, which does not count.
        sections = _HIGHLIGHT.findall(text) + _DOUBLE_HIGHLIGHT.findall(text)
        return sum(bool(section.strip()) for section in sections) >= self.wanted


@dataclass(frozen=True)
class NumberOfSections(Checker):
    """`detectable_format:multiple_sections`: at least so many headings, a given word and then a number."""

    takes: ClassVar[frozenset[str]] = frozenset({"section_spliter", "num_sections"})
    pattern: re.Pattern[str]
    wanted: int

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        word = instruction.text("section_spliter").strip()
        heading = word if tools.compat else re.escape(word)
        return cls(compile_words(heading + r"\s?\d+", instruction.kind), instruction.count("num_sections"))

    def follows(self, text: str) -> bool:
        return sum(1 for _ in self.pattern.finditer(text)) >= self.wanted


@dataclass(frozen=True)
class JsonFormat(Checker):
    """`detectable_format:json_format`: the whole answer is JSON, in a code fence or not."""

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls()

    def follows(self, text: str) -> bool:
        body = text.strip()
        for fence in _JSON_FENCES:
            body = body.removeprefix(fence)
        try:
            json.loads(body.removesuffix("```").strip())
        except (ValueError, RecursionError):
            return False
        return True


@dataclass(frozen=True)
class Title(Checker):
    """`detectable_format:title`: a title in `<<double angular brackets>>` within a line, not blank."""

    @classmethod
    def of(cls, instruction: Instruction, tools: Toolbox) -> Self:
        return cls()

    def follows(self, text: str) -> bool:
        return any(map(_title, text.split("\n")))


def _title(line: str) -> str:
    """What stands between the first `<<` of a line and its last `>>`."""
    opened, closed = line.find("<<"), line.rfind(">>")
    if opened < 0 or closed < opened + 3:
        return ""
    return line[opened : closed + 2].lstrip("<").rstrip(">").strip()
