"""From a source to the rows of one budget: clean, keep eval prompts out, rank, cut, and say what happened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from budgetctl.data.layouts import Kind, Split
from budgetctl.data.prompt_ids import prompt_id
from budgetctl.data.ranking import End, Grouping, distinct, ranked
from budgetctl.data.sources.source import Row, Source
from budgetctl.errors import BudgetctlError, UsageError

NAMES: Mapping[str, str] = {
    "sft": "SFT rows",
    "pref": "preference pairs",
    "unpaired": "pairs",
    "eval": "prompts",
}


@dataclass(frozen=True)
class Pool:
    """Every usable row of one kind and split, with what was left out and why."""

    prompt_ids: Sequence[str]
    rows: Sequence[Row]
    digests: Sequence[bytes]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


def prompt_of(row: Row) -> Sequence[Mapping[str, str]]:
    """The turns before the answer."""
    turns: Sequence[Mapping[str, str]] = row["prompt"] if "prompt" in row else row["messages"][:-1]
    return turns


def load_pool(
    source: Source,
    kind: Kind,
    split: Split,
    located: Mapping[str, Path],
    keep_out: frozenset[str] = frozenset(),
) -> Pool:
    """Read a source and leave out what cannot be used: empty texts, pairs without a difference, repetitions.

    Args:
        source: Where the rows come from.
        kind: Layout; `unpaired` reads pairs.
        split: Which rows.
        located: Content hash → path of local sources.
        keep_out: Prompt ids that must not appear (dev and test prompts, for training rows).
    """
    ids: list[str] = []
    rows: list[Row] = []
    digests: list[bytes] = []
    left_out: Counter[str] = Counter()
    seen: set[bytes] = set()
    for row in source.rows("pref" if kind == "unpaired" else kind, split, located):
        reason = _unusable(row)
        identifier = prompt_id(prompt_of(row))
        digest = blake3(json.dumps(row, sort_keys=True, ensure_ascii=True).encode()).digest(length=16)
        if reason is None and identifier in keep_out:
            reason = "prompts of dev or test"
        if reason is None and digest in seen:
            reason = "repetitions"
        if reason is not None:
            left_out[reason] += 1
            continue
        seen.add(digest)
        ids.append(identifier)
        rows.append(row)
        digests.append(digest)
    return Pool(ids, rows, digests, dict(left_out))


def eval_prompt_ids(source: Source, located: Mapping[str, Path]) -> frozenset[str]:
    """The prompts of dev and test, which training rows must not contain."""
    return frozenset(
        prompt_id(prompt_of(row)) for split in ("dev", "test") for row in source.rows("eval", split, located)
    )


@dataclass(frozen=True)
class Order:
    """How a pool is ranked before it is cut; see `ranked`."""

    seed: int
    end: End = "front"
    grouping: Grouping = "together"


def cut(pool: Pool, kind: Kind, size: int | None, order: Order, what: str) -> list[int]:
    """Choose the first `size` rows of the ranking; None takes all.

    Raises:
        BudgetctlError: There are fewer rows than that. Nothing is ever made up or quietly left short.
    """
    if not len(pool):
        raise BudgetctlError(f"{what} has no {NAMES[kind]}{_left_out_words(pool)}")
    if size is not None and size > len(pool):
        raise BudgetctlError(
            f"{what} has {len(pool)} {NAMES[kind]}{_left_out_words(pool)}, and {size} are asked for; "
            "lower the budget or change the share"
        )
    return ranked(order.seed, pool.prompt_ids, pool.digests, order.grouping, order.end)[:size]


def require_apart(taken: Sequence[str], other: Sequence[str], n_sft: int) -> None:
    """Check that the two sides of a cell share no prompt.

    Raises:
        UsageError: They do, because together they need more prompts than there are.
    """
    shared = len(set(taken) & set(other))
    if shared:
        raise UsageError(
            f"overlap: disjoint cannot be kept: {len(taken)} preference rows and {n_sft} SFT rows need more "
            f"prompts than the sources have ({shared} would be on both sides); "
            "lower the budget or say overlap: shared"
        )


def laid_out(kind: Kind, identifier: str, row: Row, system_prompt: str | None) -> Iterator[dict[str, Any]]:
    """One usable row in the layout of its kind, the system message put in front unless the row has its own.

    A pair gives two `unpaired` rows, so that desirable and undesirable answers always balance.
    """
    prompt = _with_system(prompt_of(row), system_prompt)
    if kind == "sft":
        yield {"prompt_id": identifier, "messages": [*prompt, row["messages"][-1]]}
    elif kind == "pref":
        yield {
            "prompt_id": identifier,
            "prompt": prompt,
            "chosen": row["chosen"],
            "rejected": row["rejected"],
        }
    elif kind == "eval":
        yield {"prompt_id": identifier, "prompt": prompt, "reference": row["reference"]}
    else:
        for side, label in (("chosen", True), ("rejected", False)):
            yield {"prompt_id": identifier, "prompt": prompt, "completion": row[side], "label": label}


def card(pool: Pool, chosen: Sequence[int], kind: Kind) -> dict[str, Any]:
    """Counts of rows and prompts, what there was to choose from, and what was left out and why."""
    prompts = distinct(pool.prompt_ids[row] for row in chosen)
    counts: dict[str, Any] = {
        "kind": kind,
        "rows": len(chosen) * (2 if kind == "unpaired" else 1),
        "annotations": len(chosen),
        "prompts": prompts,
        "available": len(pool),
        "available_prompts": distinct(pool.prompt_ids),
        "left_out": dict(pool.left_out),
    }
    if kind == "unpaired":
        counts["desirable"] = counts["undesirable"] = len(chosen)
    return counts


def _with_system(prompt: Sequence[Mapping[str, str]], system_prompt: str | None) -> list[Mapping[str, str]]:
    if system_prompt is None or (prompt and prompt[0]["role"] == "system"):
        return list(prompt)
    return [{"role": "system", "content": system_prompt}, *prompt]


def _unusable(row: Row) -> str | None:
    """Why a row cannot be used, in words that a count can stand before."""
    turns = [
        turn
        for name in ("messages", "prompt", "chosen", "rejected", "completion")
        for turn in row.get(name, ())
    ]
    if any(not turn["content"].strip() for turn in turns) or not prompt_of(row):
        return "rows with an empty text"
    if "chosen" in row and row["chosen"] == row["rejected"]:
        return "pairs whose answers are equal"
    return None


def _left_out_words(pool: Pool) -> str:
    if not pool.left_out:
        return ""
    return (
        " left (left out: "
        + ", ".join(f"{count} {reason}" for reason, count in sorted(pool.left_out.items()))
        + ")"
    )
