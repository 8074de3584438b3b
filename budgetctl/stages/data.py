"""The `data` stage: the exact rows of one budget, one kind and one split, with a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, model_validator

from budgetctl.data.layouts import Kind, Split
from budgetctl.data.ranking import End, Grouping
from budgetctl.data.sources import AnySource
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext


class SftSide(Frozen):
    """The SFT rows of the same cell, from which preference rows must keep apart."""

    source: AnySource
    size: int = Field(gt=0)


class DataIdentity(Frozen):
    """Which rows. Sizes come from the budget, not from the data, so that the key is known offline."""

    task: str
    kind: Kind
    split: Split
    size: int | None = Field(gt=0)
    """Annotations: SFT rows, pairs or eval prompts. None takes all (eval only). `unpaired` turns each pair
    into two rows but counts pairs, since pairs are what is bought."""
    seed: int = 0
    """Of the ranking that decides which rows a budget buys."""
    source: AnySource
    system_prompt: str | None = None
    end: End = "front"
    """With `overlap: disjoint`, preference rows come from the back of the ranking."""
    apart_from: SftSide | None = None
    """Checked: no prompt of these SFT rows may be among the rows taken."""
    answers: Grouping = "together"
    """Whether several answers to one prompt stay next to each other in the ranking, or are spread over it."""

    @model_validator(mode="after")
    def _consistent(self) -> DataIdentity:
        if self.size is None and self.kind != "eval":
            raise ValueError(f"{self.kind} rows need a size")
        if (self.kind == "eval") == (self.split == "train"):
            raise ValueError(
                f"{self.kind} rows cannot come from split {self.split}: sft, pref and unpaired take train, "
                "eval takes dev or test"
            )
        if self.apart_from is not None and self.kind not in ("pref", "unpaired"):
            raise ValueError("apart_from belongs to preference rows")
        return self


@dataclass(frozen=True)
class DataStage:
    """Writes `<kind>.parquet` and `card.json`."""

    name: ClassVar[str] = "data"
    revision: ClassVar[int] = 1

    identity: DataIdentity

    @property
    def parents(self) -> Mapping[str, str]:
        return {}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Read, rank, cut and write.

        Raises:
            UsageError: The source is missing or malformed, or the two sides of the cell cannot be kept apart.
            BudgetctlError: There are not enough rows.
        """
        import json  # noqa: PLC0415

        from budgetctl.data.prepare import (  # noqa: PLC0415
            NAMES,
            Order,
            card,
            cut,
            eval_prompt_ids,
            laid_out,
            load_pool,
            require_apart,
        )  # fmt: skip
        from budgetctl.data.write import write_rows  # noqa: PLC0415

        identity, located = self.identity, context.execution.sources
        order = Order(identity.seed, identity.end, identity.answers)
        what = f"{identity.source.source} ({identity.split})"
        keep_out = frozenset[str]() if identity.kind == "eval" else eval_prompt_ids(identity.source, located)
        pool = load_pool(identity.source, identity.kind, identity.split, located, keep_out)
        chosen = cut(pool, identity.kind, identity.size, order, what)
        summary = card(pool, chosen, identity.kind)
        taken = [pool.prompt_ids[row] for row in chosen]
        if identity.apart_from is not None:
            side = identity.apart_from
            sft = load_pool(side.source, "sft", "train", located, eval_prompt_ids(side.source, located))
            picked = cut(sft, "sft", side.size, replace(order, end="front"), side.source.source)
            require_apart(taken, [sft.prompt_ids[row] for row in picked], side.size)
            summary["apart_from"] = {"sft_rows": side.size, "shared_prompts": 0}
        for reason, count in sorted(pool.left_out.items()):
            context.reporter.say(f"data: {count} {reason} left out")
        with context.reporter.bar(f"{len(chosen)} {NAMES[identity.kind]}", len(chosen)) as bar:
            write_rows(
                context.draft.files,
                identity.kind,
                (
                    laid
                    for row in chosen
                    for laid in laid_out(
                        identity.kind, pool.prompt_ids[row], pool.rows[row], identity.system_prompt
                    )
                ),
            )
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
        }
