"""Prompts with their verifiable instructions, as IFEval's `input_data.jsonl` holds them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ifeval.checker import Toolbox
from ifeval.errors import PromptError
from ifeval.instruction import Instruction
from ifeval.jsonlines import read_json_lines
from ifeval.registry import KINDS, checker_for

Key = int | str

_TOOLS = Toolbox()


@dataclass(frozen=True)
class Prompt:
    """A prompt and what its answers are checked for.

    Attributes:
        key: The prompt's name in its file.
        text: What the model is asked.
        instructions: In the file's order, which is the order of the flags in a verdict.
    """

    key: Key
    text: str
    instructions: tuple[Instruction, ...]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Prompt":
        """Build from the fields `key`, `prompt`, `instruction_id_list` and `kwargs`; others are ignored.

        Raises:
            PromptError: a field is missing or not of its type, there is no instruction, or the arguments of one do not
                fit it.
        """
        key, text = fields.get("key"), fields.get("prompt")
        if isinstance(key, bool) or not isinstance(key, (int, str)):
            raise PromptError(f"`key` must be a whole number or a text, got {key!r}")
        if not isinstance(text, str):
            raise PromptError(f"prompt {key}: `prompt` must be a text, got {text!r}")
        kinds, arguments = fields.get("instruction_id_list"), fields.get("kwargs")
        known = isinstance(kinds, list) and all(isinstance(kind, str) and kind in KINDS for kind in kinds)
        if not isinstance(kinds, list) or not kinds or not known:
            raise PromptError(
                f"prompt {key}: `instruction_id_list` must list kinds of {sorted(KINDS)}, got {kinds!r}"
            )
        if not isinstance(arguments, list) or len(arguments) != len(kinds):
            raise PromptError(
                f"prompt {key}: `kwargs` must hold one object for each of {len(kinds)} instructions"
            )
        if not all(isinstance(named, dict) for named in arguments):
            raise PromptError(f"prompt {key}: `kwargs` must hold objects, got {arguments!r}")
        try:
            pairs = zip(kinds, arguments, strict=True)
            instructions = tuple(Instruction.of(kind, named) for kind, named in pairs)
            for instruction in instructions:
                checker_for(instruction, _TOOLS)
        except PromptError as problem:
            raise PromptError(f"prompt {key}: {problem}") from problem
        return cls(key, text, instructions)


class PromptSet:
    """Prompts in order, found again by key or by text."""

    def __init__(self, prompts: Iterable[Prompt], places: Mapping[str, str] | None = None) -> None:
        """Take prompts.

        Args:
            prompts: In order.
            places: Where each stands (`file:line`), by its key as text.

        Raises:
            PromptError: two have the same key.
        """
        self.prompts = tuple(prompts)
        self._places = places or {}
        self._by_key: dict[str, Prompt] = {}
        self._by_text: dict[str, list[Prompt]] = {}
        for prompt in self.prompts:
            if self._by_key.setdefault(str(prompt.key), prompt) is not prompt:
                raise PromptError(f"two prompts have the key {prompt.key!r}")
            self._by_text.setdefault(prompt.text, []).append(prompt)

    @classmethod
    def read(cls, path: Path) -> "PromptSet":
        """Read a file of JSON lines.

        Raises:
            PromptError: naming the line that is wrong.
        """
        found = [(where, _prompt(where, fields)) for where, fields in read_json_lines(path, PromptError)]
        return cls((prompt for _, prompt in found), {str(prompt.key): where for where, prompt in found})

    def by_key(self, key: Key) -> Prompt | None:
        """The prompt of a key; 1000 and "1000" name the same."""
        return self._by_key.get(str(key))

    def name_of(self, prompt: Prompt) -> str:
        """How to call a prompt in a complaint: where it stands, if that is known, and its key."""
        place = self._places.get(str(prompt.key))
        return f"prompt {prompt.key}" if place is None else f"{place}: prompt {prompt.key}"

    def by_text(self, text: str) -> list[Prompt]:
        """All prompts with exactly this text."""
        return self._by_text.get(text, [])


def _prompt(where: str, fields: Mapping[str, Any]) -> Prompt:
    try:
        return Prompt.of(fields)
    except PromptError as problem:
        raise PromptError(f"{where}: {problem}") from problem
