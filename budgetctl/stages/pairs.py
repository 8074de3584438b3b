"""The `pairs` stage: training rows from a checkpoint's own answers, judged by the task's scorer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from budgetctl.data.judged import Rejected
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext

if TYPE_CHECKING:
    from budgetctl.data.judged import Answer, Judged
    from budgetctl.data.sources.source import Row


ASKED = "asked"
"""What a card's overlap calls the prompts that were asked."""


class PairsIdentity(Frozen):
    """Which rows, from whose verdicts. The answers themselves are the parent `gen`."""

    task: str
    scorer_version: int
    kind: Literal["sft", "pref", "unpaired"]
    """`pref`: right over wrong answers. `unpaired`: the same pairs taken apart. `sft`: best of n."""
    size: int | None = Field(default=None, gt=0)
    """Rows (pairs for `unpaired`); None takes all there are."""
    seed: int = 0
    rejected: Rejected = "random"
    """Which wrong answer: any, the one the model finds likeliest, or the one nearest in length to the chosen."""


@dataclass(frozen=True)
class PairsStage:
    """Writes `<kind>.parquet` and `card.json`, like the `data` stage."""

    name: ClassVar[str] = "pairs"
    revision: ClassVar[int] = 2

    identity: PairsIdentity
    gen: str
    prompts: str

    @property
    def parents(self) -> Mapping[str, str]:
        return {"gen": self.gen, "prompts": self.prompts}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Judge, pair, rank and cut.

        Raises:
            ShortageError: Fewer prompts gave rows than were asked for.
            UsageError: The scorer has another version than planned.
        """
        import json  # noqa: PLC0415

        import pyarrow.parquet as pq  # noqa: PLC0415

        from budgetctl.data.cutting import Order, cut  # noqa: PLC0415
        from budgetctl.data.judged import Judged  # noqa: PLC0415
        from budgetctl.data.overlap import (  # noqa: PLC0415
            collected,
            matrix,
            of_rows,
            of_texts,
            with_sets_of_whole,
        )
        from budgetctl.data.pool import pool_of  # noqa: PLC0415
        from budgetctl.data.prepare import card, write_rows  # noqa: PLC0415
        from budgetctl.data.sources.source import in_batches  # noqa: PLC0415

        identity = self.identity
        judged = Judged(identity.rejected, identity.seed)
        stored: Literal["sft", "pref"] = "sft" if identity.kind == "sft" else "pref"
        pool = pool_of(in_batches(self._rows(context, judged), stored), stored)
        left_out = {**pool.left_out, **judged.without}
        pool = replace(pool, left_out=left_out)
        chosen = cut(pool, identity.kind, identity.size, Order(identity.seed), f"generation {self.gen[:12]}")
        summary = card(pool, chosen, identity.kind)
        if judged.unused:
            summary["unused_answers"] = {"right answers cut at the length limit": judged.unused}
        asked = context.parents["prompts"]
        whole = collected(
            (row["prompt_id"], [(turn["role"], turn["content"]) for turn in row["prompt"]])
            for row in pq.read_table(asked.path("eval.parquet"), columns=["prompt_id", "prompt"]).to_pylist()
        )
        shared = matrix({identity.kind: of_rows(pool, chosen, identity.kind), ASKED: of_texts(whole)})
        if "card.json" in asked.files:
            known = json.loads(asked.path("card.json").read_text("utf-8"))
            summary |= {name: known[name] for name in ("source", "licence", "commits", "contents")}
            shared = with_sets_of_whole(
                shared, identity.kind, ASKED, known["overlap"], asked.identity["split"]
            )
        summary["overlap"] = shared
        write_rows(context.draft.files, pool, chosen, identity.kind, None)
        (context.draft.files / "card.json").write_text(
            json.dumps(summary, indent=1, sort_keys=True) + "\n", "utf-8"
        )
        return {
            "task": identity.task,
            "kind": identity.kind,
            "rows": summary["rows"],
            "annotations": summary["annotations"],
            "available": summary["available"],
            **{name.replace(" ", "_"): count for name, count in judged.without.items()},
        }

    def _rows(self, context: StageContext, judged: Judged) -> Iterator[Row]:
        import pyarrow.parquet as pq  # noqa: PLC0415

        table = pq.read_table(context.parents["prompts"].path("eval.parquet"))
        answers = self._answers(
            context, dict(zip(table["prompt_id"].to_pylist(), table["reference"].to_pylist(), strict=True))
        )
        for row in table.select(["prompt_id", "prompt"]).to_pylist():
            given = answers.get(row["prompt_id"], [])
            if self.identity.kind == "sft":
                yield from judged.best(row["prompt"], given)
            else:
                yield from judged.pairs(row["prompt_id"], row["prompt"], given)

    def _answers(self, context: StageContext, references: Mapping[str, str]) -> dict[str, list[Answer]]:
        """Prompt id → its judged answers."""
        import pyarrow.parquet as pq  # noqa: PLC0415

        from budgetctl.data.judged import Answer  # noqa: PLC0415
        from budgetctl.tasks import task_in_version  # noqa: PLC0415

        task = task_in_version(self.identity.task, self.identity.scorer_version)
        columns = ["prompt_id", "text", "finish_reason", "logprob"]
        table = pq.read_table(context.parents["gen"].path("generations.parquet"), columns=columns)
        found: dict[str, list[Answer]] = {}
        with context.reporter.bar("pairs: judging", table.num_rows) as bar:
            for done, given in enumerate(table.to_pylist(), start=1):
                reference, cut = references[given["prompt_id"]], given["finish_reason"] == "length"
                right = task.score(given["text"], reference, cut)[task.primary_metric] == 1
                found.setdefault(given["prompt_id"], []).append(
                    Answer(given["text"], right, given["logprob"], cut)
                )
                bar.update(done)
        return found
