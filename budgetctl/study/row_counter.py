"""Cuts rows as the data stages will, reading each source once and writing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from budgetctl.console import make_reporter
from budgetctl.data.amount import Size, Tokens
from budgetctl.data.errors import ShortageError
from budgetctl.data.layouts import KIND_NAMES, Kind, Split
from budgetctl.data.sources import AnySource, HubDataset
from budgetctl.stages.data import DataIdentity
from store import Store

if TYPE_CHECKING:
    from budgetctl.data.cutting import Order
    from budgetctl.data.lengths import TokenCounter
    from budgetctl.data.sift import Names


@dataclass(frozen=True)
class Found:
    """What a data stage would take.

    Attributes:
        refused: Why it cannot take its rows, or an empty text.
        rows: Annotations; None if that is not known here.
        left_over: Tokens of a token budget that buy nothing more.
    """

    refused: str = ""
    rows: int | None = None
    left_over: int | None = None


NOTHING_KNOWN = Found()


class RowCounter:
    """Answers for one plan's data stages."""

    def __init__(self, located: Mapping[str, Path], store: Store) -> None:
        """Make a counter.

        Args:
            located: Where local sources lie.
            store: Has the bases whose tokenizers count, and knows the commits of hub datasets.
        """
        self._located = dict(located)
        self._copies = frozenset(located)
        self._store = store
        self._cached: dict[str, bool] = {}
        self._bases: dict[str, bool] = {}
        self._pools: dict[str, Names] = {}
        self._held_out: dict[str, frozenset[str]] = {}
        self._rankings: dict[tuple[str, Order], Sequence[int]] = {}

    def find(self, wanted: DataIdentity, parents: Mapping[str, str]) -> Found:
        """What a stage would take; unknown where its dataset, or the base that counts its tokens, is not here yet."""
        from budgetctl.data.cutting import Order, require_apart  # noqa: PLC0415

        side = wanted.apart_from
        amounts = [wanted.amount, *([side.amount] if side else [])]
        in_tokens = any(isinstance(amount, Tokens) for amount in amounts)
        sources = [wanted.source, *([side.source] if side else [])]
        if not all(map(self._here, sources)) or (in_tokens and self._counting(wanted, parents) is None):
            return NOTHING_KNOWN
        order = Order(wanted.seed, wanted.end, wanted.answers)
        try:
            pool, rows = self._cut(wanted, parents, wanted.source, wanted.kind, wanted.amount, order)
            if side is not None:
                front = replace(order, end="front")
                other, picked = self._cut(wanted, parents, side.source, "sft", side.amount, front)
                require_apart(
                    [pool.prompt_ids[row] for row in rows],
                    [other.prompt_ids[row] for row in picked],
                    len(picked),
                )
        except ShortageError as error:
            return Found(refused=str(error))
        left = None
        if isinstance(wanted.amount, Tokens):
            left = wanted.amount.budget - sum(pool.costs[row] for row in rows)
        return Found(rows=len(rows), left_over=left)

    def _cut(
        self, wanted: DataIdentity, parents: Mapping[str, str], source: AnySource, kind: Kind,
        amount: Size | None, order: Order,
    ) -> tuple[Names, Sequence[int]]:  # fmt: skip
        """A pool and the first rows of its ranking, which is made once for all sizes."""
        from budgetctl.data.cutting import cut, taken  # noqa: PLC0415

        what = source.title if wanted.split == "train" else f"{source.title} ({wanted.split})"
        name, pool = self._pool(wanted, parents, source, "pref" if kind == "unpaired" else kind)
        if (name, order) not in self._rankings:
            self._rankings[name, order] = cut(pool, kind, None, order, what)
        return pool, taken(pool, kind, amount, self._rankings[name, order], what)

    def _pool(
        self, wanted: DataIdentity, parents: Mapping[str, str], source: AnySource, kind: Kind
    ) -> tuple[str, Names]:
        counting, held_out = self._counting(wanted, parents), wanted.held_out
        counted = "" if counting is None else f"{counting} {wanted.system_prompt} {wanted.tokens}"
        name = f"{kind} {wanted.split} {source.model_dump_json()} {held_out} {counted}"
        if name not in self._pools:
            counter = None
            if counting is not None:
                make_reporter().say(f"counting the tokens of {source.title} ({KIND_NAMES[kind]})")
                counter = self._token_counter(wanted, counting, kind)
            if kind == "eval":
                self._pools[name] = self._load_questions(source, wanted.split)
            else:
                self._pools[name] = self._load(source, kind, self._prompts_of(held_out), counter)
        return name, self._pools[name]

    def _load(
        self, source: AnySource, kind: Kind, keep_out: frozenset[str], counter: TokenCounter | None
    ) -> Names:
        """The usable rows' names; Arrow is loaded only for sources that may be large, and to count tokens."""
        if source.small and counter is None:
            from budgetctl.data.sift import names_in  # noqa: PLC0415

            return names_in(source, kind, self._located, keep_out)
        from budgetctl.data.pool import names_in_batches  # noqa: PLC0415

        return names_in_batches(source, kind, self._located, keep_out, counter)

    def _load_questions(self, source: AnySource, split: Split) -> Names:
        """Evaluation prompts, each once; dev has none of test."""
        from budgetctl.data.overlap import of_split  # noqa: PLC0415
        from budgetctl.data.pool import load_pool  # noqa: PLC0415
        from budgetctl.data.questions import once_each  # noqa: PLC0415

        test = frozenset(of_split(source, "test", self._located)) if split == "dev" else frozenset()
        pool = load_pool(source, "eval", split, self._located, test)
        return once_each(pool, f"{source.title} ({split})")

    def _prompts_of(self, held_out: AnySource | None) -> frozenset[str]:
        """Prompts of dev and test, read once for all kinds of rows."""
        if held_out is None or not self._here(held_out):
            return frozenset()
        name = held_out.model_dump_json()
        if name not in self._held_out:
            if held_out.small:
                from budgetctl.data.sift import held_out_names as read  # noqa: PLC0415
            else:
                from budgetctl.data.pool import held_out_prompts as read  # noqa: PLC0415
            self._held_out[name] = read(held_out, self._located)
        return self._held_out[name]

    def _here(self, source: AnySource) -> bool:
        """Whether a source can be read on this machine; the hub's cache is looked into, the hub is not asked."""
        if not isinstance(source, HubDataset) or source.name in self._copies:
            return True
        name = source.model_dump_json()
        if name not in self._cached:
            from budgetctl.data.hub_fetch import FrozenRevisions, cached  # noqa: PLC0415

            folder = cached(source, FrozenRevisions(self._store.root))
            self._cached[name] = folder is not None
            if folder is not None:
                self._located[source.name] = folder
        return self._cached[name]

    def _counting(self, wanted: DataIdentity, parents: Mapping[str, str]) -> str | None:
        """Key of the base whose tokenizer counts, if it counts and is there."""
        base = parents.get("base")
        if wanted.tokens is None or base is None or not self._has_base(base):
            return None
        return base

    def _has_base(self, key: str) -> bool:
        if key not in self._bases:
            self._bases[key] = self._store.has(key)
        return self._bases[key]

    def _token_counter(self, wanted: DataIdentity, base: str, kind: Kind) -> TokenCounter:
        from budgetctl.data.lengths import counter_of  # noqa: PLC0415

        assert wanted.tokens is not None
        folder = self._store.artifact(base).path()
        return counter_of(folder, wanted.tokens.template, kind, wanted.system_prompt, wanted.tokens.most)
