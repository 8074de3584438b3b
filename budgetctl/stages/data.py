"""The `data` stage: the exact rows of one budget, one kind and one split, with a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field, model_validator

from budgetctl.data.amount import Size, Tokens
from budgetctl.data.layouts import Kind, Split
from budgetctl.data.ranking import End, Grouping
from budgetctl.data.sources import AnySource, HubDataset
from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext

if TYPE_CHECKING:
    from budgetctl.data.lengths import TokenCounter
    from budgetctl.data.pool import Pool


class SftSide(Frozen):
    """The SFT rows of the same cell, from which preference rows must keep apart."""

    source: AnySource
    size: int | None = Field(default=None, gt=0)
    token_budget: int | None = Field(default=None, gt=0)
    """Instead of `size`."""

    @model_validator(mode="after")
    def _one_of_both(self) -> SftSide:
        if (self.size is None) == (self.token_budget is None):
            raise ValueError("the SFT rows of the cell have either a size or a token budget")
        return self

    @property
    def amount(self) -> Size:
        """How much of the ranking they are."""
        return _amount(self.size, self.token_budget) or 0


class TokenLimit(Frozen):
    """Lengths are counted in tokens of the rendered template, by the tokenizer of the parent `base`."""

    template: Template
    most: int | None = Field(default=None, gt=0)
    """Rows that need more tokens are left out before the budget is cut, and counted; None only measures."""


class DataIdentity(Frozen):
    """Which rows. Sizes come from the budget, not from the data, so that the key is known offline."""

    task: str
    kind: Kind
    split: Split
    size: int | None = Field(gt=0)
    """Annotations: SFT rows, pairs or eval prompts. None takes all (eval only). `unpaired` turns each pair
    into two rows but counts pairs, since pairs are what is bought."""
    token_budget: int | None = Field(default=None, gt=0)
    """Instead of `size`: as many rows of the ranking as so many tokens pay for (budgetctl.data.amount)."""
    seed: int = 0
    """Of the ranking that decides which rows a budget buys."""
    source: AnySource
    held_out: AnySource | None = None
    """Whose dev and test prompts are kept out of training rows."""
    system_prompt: str | None = None
    end: End = "front"
    """With `overlap: disjoint`, preference rows come from the back of the ranking."""
    apart_from: SftSide | None = None
    """Checked: no prompt of these SFT rows may be among the rows taken."""
    tokens: TokenLimit | None = None
    answers: Grouping = "together"
    """Whether several answers to one prompt stay next to each other in the ranking, or are spread over it."""

    @model_validator(mode="after")
    def _consistent(self) -> DataIdentity:
        if self.kind != "eval" and (self.size is None) == (self.token_budget is None):
            raise ValueError(f"{self.kind} rows need a size or a token budget, and not both")
        budgets = (self.token_budget, self.apart_from.token_budget if self.apart_from else None)
        if self.tokens is None and any(budget is not None for budget in budgets):
            raise ValueError("a budget in tokens needs a tokenizer and a template to count with")
        if self.kind != "eval" and self.split != "train":
            raise ValueError(f"{self.kind} rows train and so cannot come from split {self.split}")
        if self.apart_from is not None and self.kind not in ("pref", "unpaired"):
            raise ValueError("apart_from belongs to preference rows")
        return self

    @property
    def amount(self) -> Size | None:
        """How much of the ranking is taken; None is all of it."""
        return _amount(self.size, self.token_budget)


def _amount(size: int | None, token_budget: int | None) -> Size | None:
    return size if token_budget is None else Tokens(token_budget)


@dataclass(frozen=True)
class DataStage:
    """Writes `<kind>.parquet` and `card.json`."""

    name: ClassVar[str] = "data"
    revision: ClassVar[int] = 2

    identity: DataIdentity
    base: str | None = None
    """Whose tokenizer counts; needed with `tokens`."""

    def __post_init__(self) -> None:
        if (self.identity.tokens is None) != (self.base is None):
            raise UsageError("lengths in tokens need a base model, and a base model is for nothing else here")

    @property
    def parents(self) -> Mapping[str, str]:
        return {} if self.base is None else {"base": self.base}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Read, rank, cut and write.

        Raises:
            UsageError: The source is missing or malformed, or the two sides of the cell cannot be kept apart.
            BudgetctlError: There are not enough rows.
        """
        import json  # noqa: PLC0415

        from budgetctl.data.layouts import KIND_NAMES  # noqa: PLC0415
        from budgetctl.data.prepare import Order, card, cut, require_apart, write_rows  # noqa: PLC0415
        from budgetctl.data.presets import LICENCES  # noqa: PLC0415

        identity = self.identity
        order = Order(identity.seed, identity.end, identity.answers)
        reader = _Reader(context, identity)
        pool = reader.pool(identity.source, identity.kind, identity.split)
        what = f"{identity.source.title} ({identity.split})"
        chosen = cut(pool, identity.kind, identity.amount, order, what)
        summary = card(pool, chosen, identity.kind, identity.amount)
        if identity.apart_from is not None:
            side = identity.apart_from
            sft = reader.pool(side.source, "sft", "train")
            picked = cut(sft, "sft", side.amount, replace(order, end="front"), side.source.title)
            require_apart(
                [pool.prompt_ids[row] for row in chosen], [sft.prompt_ids[row] for row in picked], len(picked)
            )
            summary["apart_from"] = {"sft_rows": len(picked), "shared_prompts": 0}
        summary["source"] = identity.source.model_dump(mode="json")
        summary["licence"] = LICENCES.get(identity.source.title)
        summary["commits"] = reader.commits
        for reason, count in sorted(pool.left_out.items()):
            context.reporter.say(f"data: {count} {reason} left out")
        with context.reporter.bar(f"{len(chosen)} {KIND_NAMES[identity.kind]}", len(chosen)) as bar:
            write_rows(context.draft.files, pool, chosen, identity.kind, identity.system_prompt)
            bar.update(len(chosen))
        (context.draft.files / "card.json").write_text(
            json.dumps(summary, indent=1, sort_keys=True) + "\n", "utf-8"
        )
        return {
            "task": identity.task,
            "kind": identity.kind,
            "rows": summary["rows"],
            "annotations": summary["annotations"],
            "prompts": summary["prompts"],
            "available": summary["available"],
            "left_out": sum(pool.left_out.values()),
            **summary.get("token_budget", {}),
            **{f"commit of {repository}": commit for repository, commit in reader.commits.items()},
        }


class _Reader:
    """Reads pools, fetching what a hub has, and keeps small ones: a study cuts the same pool many times."""

    def __init__(self, context: StageContext, identity: DataIdentity) -> None:
        self._context = context
        self._identity = identity
        self._held_out = identity.held_out if identity.split == "train" else None
        self._located = dict(context.execution.sources)
        self.commits: dict[str, str] = {}

    def pool(self, source: AnySource, kind: Kind, split: Split) -> Pool:
        from budgetctl.data.pool import load_pool  # noqa: PLC0415

        held_out = self._held_out.model_dump_json() if self._held_out else ""
        stored: Kind = "pref" if kind == "unpaired" else kind
        counting = self._identity.tokens
        counted = f"{self._identity.system_prompt} {counting.model_dump_json()}" if counting else ""
        name = f"data pool {source.model_dump_json()} {stored} {split} {held_out} {counted}"
        kept = self._context.keep.get(name)
        if kept is not None:
            return cast("Pool", kept)
        self._fetch(source)
        folder = None if source.small else self._context.draft.scratch
        pool = load_pool(
            source, kind, split, self._located, self._held_out_prompts(), folder, self._counter(stored)
        )
        if source.small:
            self._context.keep[name] = pool
        return pool

    def _counter(self, kind: Kind) -> TokenCounter | None:
        limit = self._identity.tokens
        if limit is None:
            return None
        from budgetctl.data.lengths import TokenCounter  # noqa: PLC0415
        from budgetctl.models.encoding import Encoder  # noqa: PLC0415
        from budgetctl.models.loading import load_tokenizer  # noqa: PLC0415

        tokenizer = load_tokenizer(self._context.parents["base"].path())
        return TokenCounter(
            Encoder(tokenizer, limit.template), kind, self._identity.system_prompt, limit.most
        )

    def _held_out_prompts(self) -> frozenset[str]:
        from budgetctl.data.pool import held_out_prompts  # noqa: PLC0415

        if self._held_out is None:
            return frozenset()
        self._fetch(self._held_out)
        return held_out_prompts(self._held_out, self._located)

    def _fetch(self, source: AnySource) -> None:
        if not isinstance(source, HubDataset) or source.name in self._located:
            return
        from budgetctl.data.hub_fetch import FrozenRevisions, fetch  # noqa: PLC0415

        self._context.reporter.say(f"data: fetching {source.repository} at {source.revision}")
        folder, commit = fetch(
            source, FrozenRevisions(self._context.store.root), self._context.execution.offline
        )
        self._located[source.name] = folder
        self.commits[source.repository] = commit
