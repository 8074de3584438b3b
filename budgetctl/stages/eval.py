"""The `eval` stage: score stored generations. No model, no GPU; a new scorer version re-scores them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext

ANSWERS_FILE = "generations.parquet"
VERDICTS_FILE = "verdicts.parquet"
KINDS_FILE = "kinds.parquet"

if TYPE_CHECKING:
    from budgetctl.scoring.intervals import Interval
    from budgetctl.stages.verdicts import VerdictTable


class EvalIdentity(Frozen):
    """Which scorer, in which version."""

    task: str
    scorer_version: int
    pass_at: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """The k of pass@k, for every metric that says right or wrong."""


@dataclass(frozen=True)
class EvalStage:
    """Scores every sample of a generation artifact against the references of its prompts."""

    name: ClassVar[str] = "eval"
    revision: ClassVar[int] = 3

    identity: EvalIdentity
    gen: str
    data: str

    @property
    def parents(self) -> Mapping[str, str]:
        return {"gen": self.gen, "data": self.data}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Write `verdicts.parquet` and return each metric with its 95 % interval.

        A metric of whole answers is the share of answers, one of parts the share of all parts of all answers. Where
        the task judges parts, `kinds.parquet` has the same for each kind of them.

        Raises:
            BudgetctlError: Prompts have no generation, or generations have no prompt.
            UsageError: pass@k was asked for with a k beyond the answers of some prompt, a reference cannot be read,
                or the scorer has another version than planned.
        """
        import pyarrow.parquet as pq  # noqa: PLC0415

        from budgetctl.stages.verdicts import VerdictTable  # noqa: PLC0415
        from budgetctl.tasks import task_in_version  # noqa: PLC0415

        task = task_in_version(self.identity.task, self.identity.scorer_version)
        rows = pq.read_table(context.parents["data"].path("eval.parquet"), columns=["prompt_id", "reference"])
        references = dict(zip(rows["prompt_id"].to_pylist(), rows["reference"].to_pylist(), strict=True))
        generations = pq.read_table(
            context.parents["gen"].path(ANSWERS_FILE),
            columns=["prompt_id", "sample", "text", "finish_reason"],
        ).to_pylist()
        answered = {generation["prompt_id"] for generation in generations}
        if answered != set(references):
            lacking, unknown = len(set(references) - answered), len(answered - set(references))
            raise BudgetctlError(
                f"the generations {self.gen[:12]} do not belong to the rows {self.data[:12]}: "
                f"{lacking} prompts have no answer, {unknown} answers have no prompt"
            )
        self._check_samples(Counter(generation["prompt_id"] for generation in generations))
        verdicts, truncated = VerdictTable(), 0
        with context.reporter.bar("eval", len(generations)) as bar:
            for done, generation in enumerate(generations, start=1):
                prompt_id, text = generation["prompt_id"], generation["text"]
                reference, cut = references[prompt_id], generation["finish_reason"] == "length"
                scores = task.score(text, reference, truncated=cut)
                verdicts.add(prompt_id, generation["sample"], scores, task.parts(text, reference))
                truncated += cut
                bar.update(done)
        verdicts.write(context.draft.files / VERDICTS_FILE)
        metrics: dict[str, Metric] = {
            "task": task.name,
            "primary": task.primary_metric,
            "prompts": len(references),
            "answers": len(generations),
            "truncated": truncated,
        }
        if verdicts.parts:
            verdicts.write_kinds(context.draft.files / KINDS_FILE)
            metrics["parts"] = verdicts.parts
        for metric, share in verdicts.shares():
            metrics |= {metric: share.value, **_ends(metric, share.interval)}
        return metrics | self._passed(verdicts)

    def _check_samples(self, answers: Mapping[str, int]) -> None:
        short = {
            prompt: count
            for prompt, count in answers.items()
            if count < max(self.identity.pass_at, default=0)
        }
        if short:
            prompt, count = next(iter(short.items()))
            raise UsageError(
                f"pass@{max(self.identity.pass_at)} needs at least as many answers a prompt; {len(short)} prompts have "
                f"fewer, such as {prompt!r} with {count}. Generate more (--samples) or lower k."
            )

    def _passed(self, verdicts: VerdictTable) -> dict[str, Metric]:
        """pass@k of every metric that says right or wrong."""
        from budgetctl.scoring.passk import pass_at_each_k  # noqa: PLC0415

        found: dict[str, Metric] = {}
        for metric, flags in verdicts.flags() if self.identity.pass_at else ():
            for passed in pass_at_each_k(flags, self.identity.pass_at):
                name = f"{metric}_pass@{passed.k}"
                found |= {name: passed.value, **_ends(name, passed.interval)}
        return found


def _ends(metric: str, interval: Interval) -> dict[str, Metric]:
    return {f"{metric}_low": interval.low, f"{metric}_high": interval.high}
