"""Which prompts two sets of rows have in common: word for word, and when blanks, case and Unicode forms are unified.

Prompts are counted, not rows. Two sets share a prompt exactly if some row of each has the same text; they share it
normalised if the texts have the same prompt id (`budgetctl.data.prompt_ids`), so every exact match is one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from budgetctl.data.hub_fetch import FrozenRevisions, fetch
from budgetctl.data.layouts import Kind, Split
from budgetctl.data.pool import Pool, load_pool
from budgetctl.data.prompt_ids import conversation_id, exact_digest
from budgetctl.data.sources import HubDataset
from budgetctl.data.sources.source import Source
from budgetctl.data.supply import Supply
from budgetctl.data.turns import Conversation, conversations

Texts = dict[str, set[bytes]]
"""Prompt id → digests of its exact texts."""


@dataclass(frozen=True)
class Prompts:
    """A set of prompts.

    Attributes:
        ids: Their normalised ids.
        texts: Exact texts of some of them, looked up only for prompts that two sets share.
    """

    ids: Set[str]
    texts: Callable[[Set[str]], Texts]


def of_texts(texts: Mapping[str, set[bytes]]) -> Prompts:
    """Prompts whose texts are held in memory."""
    return Prompts(texts.keys(), lambda ids: {name: texts[name] for name in ids})


def of_rows(pool: Pool, rows: Sequence[int], kind: Kind) -> Prompts:
    """Prompts of some rows of a pool; `unpaired` rows lie in it as pairs."""

    def texts(ids: Set[str]) -> Texts:
        wanted = [row for row in rows if pool.prompt_ids[row] in ids]
        if not wanted:
            return {}
        batch = pool.take(wanted)
        column = batch.column("messages" if kind == "sft" else "prompt")
        names = (pool.prompt_ids[row] for row in wanted)
        turns = (turns[:-1] if kind == "sft" else turns for turns in conversations(column))
        return collected(zip(names, turns, strict=True))

    return Prompts({pool.prompt_ids[row] for row in rows}, texts)


def of_split(source: Source, split: Split, located: Mapping[str, Path]) -> Texts:
    """The evaluation prompts of a split."""
    found = (
        turns
        for batch in source.batches("eval", split, located)
        for turns in conversations(batch.column("prompt"))
    )
    return collected(
        (conversation_id((role or "", text or "") for role, text in turns), turns) for turns in found
    )


def collected(prompts: Iterable[tuple[str, Conversation]]) -> Texts:
    """Exact texts by prompt id."""
    texts: Texts = {}
    for name, turns in prompts:
        texts.setdefault(name, set()).add(exact_digest(turns))
    return texts


def matrix(sets: Mapping[str, Prompts]) -> dict[str, Any]:
    """Count the prompts that every two sets share.

    Returns:
        `prompts`: set → number of prompts; `normalised` and `exact`: set → set → number of shared prompts.
    """
    counts = {name: len(one.ids) for name, one in sets.items()}
    normalised, exact = ({name: {name: count} for name, count in counts.items()} for _ in range(2))
    for (name, one), (other_name, other) in combinations(sets.items(), 2):
        shared = one.ids & other.ids
        left, right = one.texts(shared), other.texts(shared)
        same = sum(bool(left[prompt] & right[prompt]) for prompt in shared)
        normalised[name][other_name] = normalised[other_name][name] = len(shared)
        exact[name][other_name] = exact[other_name][name] = same
    return {"prompts": counts, "normalised": normalised, "exact": exact}


def with_sets_of_whole(
    counts: Mapping[str, Any], part: str, whole: str, known: Mapping[str, Any], whole_there: str
) -> dict[str, Any]:
    """Extend the matrix of a part and its whole by the other sets that the whole was compared with.

    The part shares nothing with a set that the whole shares nothing with; of other sets it is not known how much.

    Args:
        counts: The matrix of the two.
        part: Name of a subset of `whole`.
        whole: Name of the larger set.
        known: An earlier matrix of the larger set and others.
        whole_there: What that one calls the larger set.
    """
    others = [name for name in known["prompts"] if name != whole_there]
    extended: dict[str, Any] = {
        "prompts": {**counts["prompts"], **{name: known["prompts"][name] for name in others}}
    }
    for how in ("normalised", "exact"):
        table = {name: dict(row) for name, row in counts[how].items()}
        for name in others:
            shared = known[how][whole_there][name]
            of_part = None if shared else 0
            table[name] = {
                part: of_part,
                whole: shared,
                **{other: known[how][name][other] for other in others},
            }
            table[part][name], table[whole][name] = of_part, shared
        extended[how] = table
    return extended


def source_matrix(supply: Supply, revisions: FrozenRevisions, offline: bool) -> dict[str, Any]:
    """The matrix of everything that a task's sources hold, fetching what is not on this machine.

    Raises:
        BudgetctlError: A hub cannot be reached.
        UsageError: A source is malformed, or missing in the folder that stands for the hub.
    """
    supply.require(supply.sft, supply.pref, supply.eval)
    located = dict(supply.located)
    for source in (supply.sft, supply.pref, supply.eval):
        if isinstance(source, HubDataset) and source.name not in located:
            located[source.name], _ = fetch(source, revisions, offline)
    sft, pref = (
        load_pool(supply.sft, "sft", "train", located),
        load_pool(supply.pref, "pref", "train", located),
    )
    pairs = of_rows(pref, range(len(pref)), "pref")
    splits: tuple[Split, ...] = ("dev", "test")
    return matrix(
        {
            "sft": of_rows(sft, range(len(sft)), "sft"), "pref": pairs, "unpaired": pairs,
            **{split: of_texts(of_split(supply.eval, split, located)) for split in splits},
        }
    )  # fmt: skip


def to_table(counts: Mapping[str, Any]) -> str:
    """A matrix as lines: normalised matches, exact ones in brackets."""
    names = list(counts["prompts"])
    cells = [["prompts", *names]]
    for name in names:
        shared = [f"{counts['normalised'][name][other]} ({counts['exact'][name][other]})" for other in names]
        cells.append([name, *shared])
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    first, *rest = widths
    return "\n".join(
        "  ".join(
            [line[0].ljust(first), *(text.rjust(width) for text, width in zip(line[1:], rest, strict=True))]
        )
        for line in cells
    )
