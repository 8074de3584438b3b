"""Chat templates of our own: one per model family, from training through preference pairs to generation.

The template's text is part of every key it influences. What ends an answer is derived from the template by
rendering, never from a list of well-known strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budgetctl.errors import UsageError
from budgetctl.schema import Frozen

if TYPE_CHECKING:
    from jinja2 import Template as JinjaTemplate

Message = Mapping[str, Any]
"""One turn: `role` (`system`, `user` or `assistant`) and `content`."""

TEMPLATE_FOLDER = Path(__file__).parent
TEMPLATE_NAMES = ("chatml", "llama3", "tiny")

_CONTENT_MARK = "\x00content\x00"


class Template(Frozen):
    """How a conversation becomes text: a name for people and the full Jinja text."""

    name: str
    text: str

    @classmethod
    def named(cls, name: str) -> Template:
        """Read one of the templates that ship with the package.

        Raises:
            UsageError: No template has this name.
        """
        if name not in TEMPLATE_NAMES:
            raise UsageError(f"There is no template '{name}'. Known templates: {', '.join(TEMPLATE_NAMES)}.")
        return cls(name=name, text=(TEMPLATE_FOLDER / f"{name}.jinja").read_text(encoding="utf-8"))

    def render(self, messages: Sequence[Message], generation_prompt: bool = False) -> str:
        """Return the conversation as text, optionally opened for an assistant's answer."""
        return _compiled(self.text).render(messages=list(messages), add_generation_prompt=generation_prompt)

    def opening(self) -> str:
        """Return what stands before the first turn: the BOS token, or nothing where the family has none."""
        return self.render([])

    def closing(self) -> str:
        """Return what the template writes after an assistant's answer: the end-of-turn token first.

        Raises:
            UsageError: The template does not render the content of an assistant's turn.
        """
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _CONTENT_MARK}]
        _, mark, closing = self.render(turns).partition(_CONTENT_MARK)
        if not mark or not closing:
            raise UsageError(
                f"Template '{self.name}' writes nothing after an answer, so a model could not learn to stop. "
                "Give a template that ends each assistant turn with a token of its own."
            )
        return closing


@lru_cache(maxsize=32)
def _compiled(text: str) -> JinjaTemplate:
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415  (not needed to compute a key)

    # The same two options as Transformers uses, so that an exported chat template renders alike there.
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(text)
