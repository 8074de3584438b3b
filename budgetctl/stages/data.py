"""The `data` stage: the exact rows of one budget, one kind and one split, with a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from budgetctl.data.amount import Size, Tokens
from budgetctl.data.layouts import Kind, Split
from budgetctl.data.ranking import End, Grouping
from budgetctl.data.sources import AnySource
from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen
from budgetctl.stages.data_reader import DataReader
from budgetctl.stages.stage import Metric, StageContext

if TYPE_CHECKING:
    from budgetctl.data.overlap import Prompts


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
    revision: ClassVar[int] = 3

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
            UsageError: The source is missing or malformed, or a prompt has a reference that cannot be scored.
            ShortageError: There are not enough rows, or the two sides of the cell cannot be kept apart.
        """
        import json  # noqa: PLC0415

        from budgetctl.data.cutting import Order, cut, require_apart  # noqa: PLC0415
        from budgetctl.data.layouts import KIND_NAMES  # noqa: PLC0415
        from budgetctl.data.overlap import matrix, of_rows, of_texts  # noqa: PLC0415
        from budgetctl.data.prepare import card, write_rows  # noqa: PLC0415
        from budgetctl.data.presets import LICENCES  # noqa: PLC0415
        from budgetctl.data.questions import require_references  # noqa: PLC0415
        from budgetctl.tasks import task_named  # noqa: PLC0415

        identity = self.identity
        order = Order(identity.seed, identity.end, identity.answers)
        reader = DataReader(context, identity)
        pool = reader.pool(identity.source, identity.kind, identity.split)
        what = f"{identity.source.title} ({identity.split})"
        if identity.kind == "eval":
            require_references(pool, task_named(identity.task), what)
        chosen = cut(pool, identity.kind, identity.amount, order, what)
        summary = card(pool, chosen, identity.kind, identity.amount)
        own = identity.split if identity.kind == "eval" else identity.kind
        sets: dict[str, Prompts] = {own: of_rows(pool, chosen, identity.kind)}
        if identity.apart_from is not None:
            side = identity.apart_from
            sft = reader.pool(side.source, "sft", "train")
            picked = cut(sft, "sft", side.amount, replace(order, end="front"), side.source.title)
            require_apart(
                [pool.prompt_ids[row] for row in chosen], [sft.prompt_ids[row] for row in picked], len(picked)
            )
            sets["sft"] = of_rows(sft, picked, "sft")
            summary["apart_from"] = {"sft_rows": len(picked), "shared_prompts": 0}
        summary["source"] = identity.source.model_dump(mode="json")
        summary["licence"] = LICENCES.get(identity.source.title)
        summary["commits"], summary["contents"] = reader.commits, reader.contents
        sets.update((split, of_texts(texts)) for split, texts in reader.held_out().items())
        if pool.held_out:
            sets["left out"] = of_texts(pool.held_out)
        summary["overlap"] = matrix(sets)
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
            **{f"content of {repository}": content for repository, content in reader.contents.items()},
        }
