"""From conversations to token ids and loss masks: the one place where a template meets a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from budgetctl.errors import UsageError
from budgetctl.models.templates import Message, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class EncodedConversation:
    """A whole conversation, with the tokens that are to be learnt marked.

    Attributes:
        ids: Token ids, BOS to the last end-of-turn token.
        learn: For each id, whether it belongs to an assistant's answer (its end-of-turn token included).
    """

    ids: tuple[int, ...]
    learn: tuple[bool, ...]


class Encoder:
    """A template bound to a tokenizer.

    The template's own text and an answer's text are tokenised apart, so a prompt has the same ids in training
    as in generation, whatever the answer begins with.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: Template) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self._special_tokens = frozenset(
            str(token) for token in tokenizer.added_tokens_decoder.values() if token.special
        )
        self.stop_id = self._single_token(template.closing(), "end-of-turn", first_only=True)
        opening = template.opening().strip()
        self.bos_id = self._single_token(opening, "opening") if opening else None

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Token ids that end an answer."""
        return (self.stop_id,)

    @property
    def pad_id(self) -> int:
        """An id to fill batches with; it is always masked, so any will do."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else self.stop_id

    def prompt(self, messages: Sequence[Message], origin: str = "prompt") -> list[int]:
        """Return the ids of a conversation opened for the assistant's answer."""
        self._refuse_special_text(messages, origin)
        return self._ids(self.template.render(messages, generation_prompt=True))

    def answer(
        self, prompt: Sequence[Message], answer: Sequence[Message], origin: str = "answer"
    ) -> list[int]:
        """Return the ids of the assistant's turn that follows `prompt`, up to and with the end-of-turn token."""
        if len(answer) != 1 or answer[0]["role"] != "assistant":
            raise UsageError(
                f"{origin}: an answer must be exactly one assistant turn, not {len(answer)} turns."
            )
        self._refuse_special_text(answer, origin)
        opened = self.template.render(prompt, generation_prompt=True)
        return self._answer_ids(opened, self.template.render([*prompt, *answer]), origin)

    def counted_answer(self, prompt: Sequence[Message], answer: str, origin: str = "answer") -> list[int]:
        """Return the ids of an answer's own text: what perplexity counts.

        The end-of-turn token and whatever the template puts behind it are left out: they are the template's.
        """
        ids = self.answer(prompt, [{"role": "assistant", "content": answer}], origin)
        return ids[: ids.index(self.stop_id)]

    def conversation(self, messages: Sequence[Message], origin: str = "row") -> EncodedConversation:
        """Return a whole conversation's ids with every assistant turn marked for learning."""
        if not messages or messages[-1]["role"] != "assistant":
            raise UsageError(f"{origin}: the last turn must be the assistant's.")
        self._refuse_special_text(messages, origin)
        ids: list[int] = []
        learn: list[bool] = []
        done = 0
        for turn, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            opened = self.template.render(messages[:turn], generation_prompt=True)
            closed = self.template.render(messages[: turn + 1])
            given = self._ids(opened[done:])
            answer = self._answer_ids(opened, closed, origin)
            ids += [*given, *answer]
            learn += [False] * len(given) + [True] * len(answer)
            done = len(opened) + len(closed[len(opened) :].rstrip("\n"))
        return EncodedConversation(tuple(ids), tuple(learn))

    def decode(self, ids: Sequence[int]) -> str:
        """Return an answer's text without its end-of-turn token."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _answer_ids(self, opened: str, closed: str, origin: str) -> list[int]:
        if not closed.startswith(opened):
            raise UsageError(
                f"{origin}: template '{self.template.name}' renders a prompt differently once it is answered, so "
                "the answer's tokens cannot be told from the prompt's. Use a template whose turns do not depend on "
                "later ones."
            )
        ids = self._ids(closed[len(opened) :])
        if self.stop_id not in ids:
            raise UsageError(f"{origin}: the rendered answer has no end-of-turn token.")
        return ids[: ids.index(self.stop_id) + 1]

    def _ids(self, text: str) -> list[int]:
        encoded: Any = self.tokenizer(text, add_special_tokens=False, return_attention_mask=False)
        return list(encoded["input_ids"])

    def _single_token(self, text: str, what: str, first_only: bool = False) -> int:
        ids = self._ids(text)
        first = str(self.tokenizer.convert_ids_to_tokens(ids[0])) if ids else ""
        whole = text.startswith(first) if first_only else text == first
        if not ids or not whole or first not in self._special_tokens:
            raise UsageError(
                f"Template '{self.template.name}' needs its {what} text {text.strip()!r} to be a special token of "
                "the tokenizer, and this tokenizer has none such. Choose a base whose tokenizer has it, or add the "
                "token to its tokenizer and embeddings."
            )
        return ids[0]

    def _refuse_special_text(self, messages: Sequence[Message], origin: str) -> None:
        for message in messages:
            content = str(message["content"])
            if "<" not in content and "[" not in content:
                continue
            for token in self._special_tokens:
                if token in content:
                    raise UsageError(
                        f"{origin}: the {message['role']}'s text contains {token!r}, which this tokenizer reads "
                        "as a control token. Remove it from the data."
                    )
