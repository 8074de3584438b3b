"""From the ranking to the rows of one budget, and what to say when there are too few. Loads no Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from budgetctl.data.amount import Size, Tokens
from budgetctl.data.errors import ShortageError
from budgetctl.data.layouts import KIND_NAMES, Kind
from budgetctl.data.ranking import End, Grouping, ranked
from budgetctl.data.sift import Names


@dataclass(frozen=True)
class Order:
    """How a pool is ranked before it is cut; see `ranked`."""

    seed: int
    end: End = "front"
    grouping: Grouping = "together"


def cut(pool: Names, kind: Kind, size: Size | None, order: Order, what: str) -> list[int]:
    """Choose the first rows of the ranking: `size` of them, or as many as so many tokens pay for; None takes all.

    Raises:
        ShortageError: There are fewer rows than that. Nothing is ever made up or quietly left short.
    """
    ranking = ranked(order.seed, pool.prompt_ids, pool.digests, order.grouping, order.end)
    return taken(pool, kind, size, ranking, what)


def taken(pool: Names, kind: Kind, size: Size | None, ranking: Sequence[int], what: str) -> list[int]:
    """As `cut`, of a pool that is ranked already."""
    if not len(pool):
        raise ShortageError(f"{what} has no {KIND_NAMES[kind]}{_left_out_words(pool)}")
    if isinstance(size, Tokens):
        return _paid_for(pool, kind, size, ranking, what)
    if size is not None and size > len(pool):
        raise ShortageError(
            f"{what} has {len(pool)} {KIND_NAMES[kind]}{_left_out_words(pool)}, and {size} are asked for; "
            f"{_remedy(kind)}"
        )
    return list(ranking[:size])


def _paid_for(pool: Names, kind: Kind, budget: Tokens, ranking: Sequence[int], what: str) -> list[int]:
    """The longest prefix of the ranking that a token budget pays for; never nothing, and never all for less."""
    count, spent = budget.rows(pool.costs[row] for row in ranking)
    if not count:
        raise ShortageError(
            f"{budget.budget} tokens buy nothing of {what}: the first of its {KIND_NAMES[kind]} takes "
            f"{pool.costs[ranking[0]]}; raise the budget or change the share"
        )
    if count == len(ranking) and spent < budget.budget:
        raise ShortageError(
            f"{what} has {spent} tokens in {count} {KIND_NAMES[kind]}{_left_out_words(pool)}, and {budget.budget} are "
            "asked for; lower the budget or change the share"
        )
    return list(ranking[:count])


def require_apart(taken: Sequence[str], other: Sequence[str], n_sft: int) -> None:
    """Check that the two sides of a cell share no prompt.

    Raises:
        ShortageError: They do, because together they need more prompts than there are.
    """
    shared = len(set(taken) & set(other))
    if shared:
        raise ShortageError(
            f"overlap: disjoint cannot be kept: {len(taken)} preference rows and {n_sft} SFT rows need more "
            f"prompts than the sources have ({shared} would be on both sides); "
            "lower the budget or say overlap: shared"
        )


def _remedy(kind: Kind) -> str:
    if kind == "eval":
        return "ask for fewer"
    return "lower the budget, or spend more of it on the other kind of rows"


def _left_out_words(pool: Names) -> str:
    if not pool.left_out:
        return ""
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(pool.left_out.items()))
    return f" left (left out: {counts})"
