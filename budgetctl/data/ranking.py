"""Which rows a budget buys: one ranking of all prompts, cut from its front or its back.

Every prompt has a rank value, hash(seed, prompt id). Taking the n lowest makes subsets nested across
budgets by construction, and independent of file order, process count and Python version. With
`overlap: disjoint` the SFT side takes from the front and the PFT side from the back of that one ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from blake3 import blake3

End = Literal["front", "back"]
Grouping = Literal["together", "spread"]


def rank_value(seed: int, prompt_id: str) -> bytes:
    """16 bytes whose order is a seeded, uniformly random order of prompts."""
    return blake3(f"{seed}\x1f{prompt_id}".encode(), derive_key_context="budgetctl prompt ranking 1").digest(
        length=16
    )


def ranked(
    seed: int,
    prompt_ids: Sequence[str],
    contents: Sequence[bytes],
    grouping: Grouping = "together",
    end: End = "front",
) -> list[int]:
    """Order rows for cutting.

    Args:
        seed: Another seed gives another order.
        prompt_ids: Each row's prompt.
        contents: A digest of each row's answers; orders the rows of one prompt among themselves.
        grouping: `together` keeps all answers to a prompt next to each other; `spread` takes one answer of
            every prompt before the second of any.
        end: `back` reverses the order of prompts.

    Returns:
        Row numbers, first to be taken first.
    """
    values = {prompt: rank_value(seed, prompt) for prompt in set(prompt_ids)}
    order = sorted(range(len(prompt_ids)), key=lambda row: (values[prompt_ids[row]], contents[row]))
    if end == "back":
        order.sort(key=lambda row: values[prompt_ids[row]], reverse=True)  # stable: answers keep their order
    if grouping == "spread":
        nth: dict[str, int] = {}
        turn: dict[int, int] = {}
        for row in order:
            turn[row] = nth.get(prompt_ids[row], 0)
            nth[prompt_ids[row]] = turn[row] + 1
        order.sort(key=lambda row: turn[row])
    return order


def distinct(prompt_ids: Iterable[str]) -> int:
    """How many different prompts there are."""
    return len(set(prompt_ids))
