"""From the columns of somebody's data set to the rows of our layouts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from pydantic import model_validator

from budgetctl.data.layouts import Kind
from budgetctl.data.reasons import NO_ANSWERS, LeftOut
from budgetctl.data.turn_cells import Turns, answer_in, is_turns, same_turns, turns_in
from budgetctl.errors import UsageError
from budgetctl.schema import Frozen

Row = Mapping[str, Any]


class Columns(Frozen):
    """Which column holds what. A prompt or an answer is a text, or a list of `{role, content}` turns.

    For SFT rows name either `messages` (a whole conversation that ends with the answer) or `prompt` and
    `answer`. An `answer` column that holds a list gives one row per answer.
    """

    messages: str | None = None
    """Whole conversations that end with the answer."""
    prompt: str | None = None
    """What is asked: a text or turns."""
    answer: str | None = None
    """The demonstration, or a list of several. In eval rows the gold answer, of several the first."""
    chosen: str | None = None
    """The preferred answer: a text, or a conversation whose last turn it is. Turns before it that the prompt does not
    have yet belong to the prompt, and must be the same in `rejected`."""
    rejected: str | None = None
    """The other answer, likewise."""
    reference: str | tuple[str, ...] | None = None
    """What the scorer compares with: a text or a number. Several columns are put into one JSON object, for scorers
    that read one (empty values left out)."""
    system: str | None = None
    """A column with the system message of each row."""

    @model_validator(mode="after")
    def _something(self) -> Columns:
        if not (self.messages or self.prompt):
            raise ValueError("name the column of the messages or of the prompt")
        return self

    def rows(self, record: Row, kind: Kind, where: str, left_out: LeftOut) -> Iterator[Row]:
        """Turn one record into rows of a kind.

        Args:
            record: Column name → value.
            kind: `sft`, `pref` or `eval`.
            where: File and line, for messages.
            left_out: Counts records that give no row.

        Raises:
            UsageError: A column is not named, missing, or holds something else than text or turns.
        """
        if kind == "sft" and self.messages:
            turns = self._conversation(record, where)
            if len(turns) < 2 or turns[-1]["role"] != "assistant":
                raise UsageError(
                    f"{where}: column {self.messages!r} must end with an assistant's turn after a user's"
                )
            yield {"messages": turns}
            return
        prompt = self._prompt(record, where)
        if kind == "sft":
            value = _cell(record, self.answer, "answer", where)
            if value == []:
                left_out[NO_ANSWERS] += 1
            for answer in value if isinstance(value, list) and not is_turns(value) else [value]:
                before, said = answer_in(prompt, answer, self.answer, where)
                yield {"messages": [*before, *said]}
        elif kind == "pref":
            yield self._pair(record, prompt, where)
        else:
            yield {
                "prompt": prompt,
                "reference": self._reference(record, where),
                "answer": self._gold(record, prompt, where),
            }

    def _pair(self, record: Row, prompt: Turns, where: str) -> Row:
        (before, chosen), (other, rejected) = (
            answer_in(prompt, _cell(record, name, role, where), name, where)
            for name, role in ((self.chosen, "chosen"), (self.rejected, "rejected"))
        )
        usable = all(
            turns and turns[0]["content"].strip() for turns in (chosen, rejected)
        )  # others are left out
        if usable and not same_turns(before, other):
            raise UsageError(
                f"{where}: columns {self.chosen!r} and {self.rejected!r} part before their last turn; a pair is two "
                "answers to one conversation"
            )
        return {"prompt": before, "chosen": chosen, "rejected": rejected}

    def _prompt(self, record: Row, where: str) -> Turns:
        if self.prompt is None:
            turns = self._conversation(record, where)
            return turns[:-1] if turns and turns[-1]["role"] == "assistant" else turns
        value = _cell(record, self.prompt, "prompt", where)
        turns = turns_in(value, self.prompt, where, role="user")
        return [*self._system(record, turns, where), *turns]

    def _reference(self, record: Row, where: str) -> str:
        """What the scorer compares with; empty where there is nothing, so that the row is left out."""
        if isinstance(self.reference, tuple):
            named = {name: _without_empty(_cell(record, name, "reference", where)) for name in self.reference}
            return _object(named, where) if any(value is not None for value in named.values()) else ""
        value = _cell(record, self.reference, "reference", where)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise UsageError(
                f"{where}: column {self.reference!r} must hold a text or a number to compare answers with, found a "
                f"{type(value).__name__}; a reference of several parts names their columns: `reference: [A, B]`"
            )
        return str(value)

    def _gold(self, record: Row, prompt: Turns, where: str) -> str | None:
        """The gold answer of an eval row, where one is named and there."""
        if self.answer is None or record.get(self.answer) in (None, "", []):
            return None
        value = record[self.answer]
        first = value[0] if isinstance(value, list) and not is_turns(value) else value
        before, said = answer_in(prompt, first, self.answer, where)
        if not same_turns(before, prompt):
            raise UsageError(
                f"{where}: the gold answer in column {self.answer!r} follows other turns than the prompt"
            )
        return "".join(turn["content"] for turn in said) or None

    def _conversation(self, record: Row, where: str) -> Turns:
        turns = turns_in(_cell(record, self.messages, "messages", where), self.messages, where, role="user")
        return [*self._system(record, turns, where), *turns]

    def _system(self, record: Row, turns: Turns, where: str) -> Turns:
        if self.system is None or (turns and turns[0]["role"] == "system"):
            return []
        return turns_in(_cell(record, self.system, "system", where), self.system, where, role="system")


def _cell(record: Row, name: str | None, role: str, where: str) -> Any:
    if name is None:
        raise UsageError(f"{where}: no column is named for {role}; say `columns: {{{role}: NAME}}`")
    if name not in record:
        raise UsageError(
            f"{where}: there is no column {name!r}; there are {', '.join(sorted(record)) or 'none'}"
        )
    return record[name]


def _object(named: Mapping[str, Any], where: str) -> str:
    try:
        return json.dumps(named, ensure_ascii=False, sort_keys=True)
    except TypeError as error:
        raise UsageError(f"{where}: the columns of the reference hold what JSON cannot: {error}") from error


def _without_empty(value: Any) -> Any:
    """Parquet gives every object all keys of its column; the empty ones were never there."""
    if isinstance(value, Mapping):
        return {name: _without_empty(part) for name, part in value.items() if part is not None}
    return [_without_empty(part) for part in value] if isinstance(value, list) else value
