"""Cells that hold what somebody says: a text, or turns of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from budgetctl.data.prompt_ids import normalised
from budgetctl.errors import UsageError

ROLES = ("system", "user", "assistant")
Turns = list[dict[str, str]]


def turns_in(value: Any, name: str | None, where: str, role: str) -> Turns:
    """A text as one turn of that role, or a list of turns as it stands; null is an empty text.

    Args:
        value: What the cell holds.
        name: Of its column, for messages.
        where: File and line, for messages.
        role: Of a text.

    Raises:
        UsageError: It is neither, or a turn has no text or an unknown role.
    """
    if value is None:
        value = ""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, list):
        return [_turn(turn, name, where) for turn in value]
    raise UsageError(
        f"{where}: column {name!r} must hold a text or a list of turns, found a {type(value).__name__}"
    )


def is_turns(value: list[Any]) -> bool:
    """Whether a list is one conversation, rather than several answers."""
    return bool(value) and isinstance(value[0], Mapping)


def answer_in(prompt: Turns, value: Any, name: str | None, where: str) -> tuple[Turns, Turns]:
    """The turns that an answer follows, and the answer.

    A text answers the prompt. Of a conversation the last turn is the answer; the turns before it repeat the prompt or
    go on from it, and what goes on belongs to the prompt.

    Args:
        prompt: The row's prompt.
        value: What the cell holds.
        name: Of its column, for messages.
        where: File and line, for messages.

    Raises:
        UsageError: It does not end with an assistant's turn, or is a conversation about another prompt.
    """
    turns = turns_in(value, name, where, role="assistant")
    if not turns:
        return prompt, turns
    *earlier, answer = turns
    if answer["role"] != "assistant":
        raise UsageError(
            f"{where}: column {name!r} must end with an assistant's turn, found one of role {answer['role']!r}"
        )
    return _continued(prompt, earlier, name, where), [answer]


def same_turns(one: Turns, other: Turns) -> bool:
    """Whether two conversations are one prompt: blanks, case and Unicode forms do not matter."""
    return len(one) == len(other) and all(
        left["role"] == right["role"] and normalised(left["content"]) == normalised(right["content"])
        for left, right in zip(one, other, strict=True)
    )


def _turn(turn: Any, name: str | None, where: str) -> dict[str, str]:
    role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, Mapping) else (None, None)
    if not (isinstance(role, str) and isinstance(content, str)):
        raise UsageError(f"{where}: column {name!r} must hold turns with a text role and a text content")
    if role not in ROLES:
        raise UsageError(
            f"{where}: column {name!r} has a turn of role {role!r}; the roles are {', '.join(ROLES)}"
        )
    return {"role": role, "content": content}


def _continued(prompt: Turns, earlier: Turns, name: str | None, where: str) -> Turns:
    """The prompt with what a conversation adds to it before its answer."""
    (system, asked), (own, said) = _without_system(prompt), _without_system(earlier)
    if system and own and not same_turns(system, own):
        raise UsageError(f"{where}: column {name!r} has another system message than the prompt")
    blank = any(not turn["content"].strip() for turn in asked)  # such a row is left out
    if blank or not said or same_turns(said, asked[-len(said) :]):
        more = []
    elif same_turns(said[: len(asked)], asked):
        more = said[len(asked) :]
    elif said[0]["role"] == "assistant":
        more = said
    else:
        raise UsageError(
            f"{where}: the conversation in column {name!r} begins with another turn than the prompt: "
            f"{said[0]['content'][:80]!r}"
        )
    return [*(system or own), *asked, *more]


def _without_system(turns: Turns) -> tuple[Turns, Turns]:
    """A leading system message, and the rest."""
    count = 1 if turns and turns[0]["role"] == "system" else 0
    return turns[:count], turns[count:]
