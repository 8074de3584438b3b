"""The `eval` stage: score stored generations. No model, no GPU; a new scorer version re-scores them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext


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
    revision: ClassVar[int] = 2

    identity: EvalIdentity
    gen: str
    data: str

    @property
    def parents(self) -> Mapping[str, str]:
        return {"gen": self.gen, "data": self.data}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Write `verdicts.parquet` and return each metric's mean with its 95 % interval.

        Raises:
            BudgetctlError: Prompts have no generation, or generations have no prompt.
            UsageError: pass@k was asked for with a k beyond the answers of some prompt.
        """
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        from budgetctl.tasks import task_named  # noqa: PLC0415

        task = task_named(self.identity.task)
        rows = pq.read_table(context.parents["data"].path("eval.parquet"), columns=["prompt_id", "reference"])
        references = dict(zip(rows["prompt_id"].to_pylist(), rows["reference"].to_pylist(), strict=True))
        generations = pq.read_table(
            context.parents["gen"].path("generations.parquet"),
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
        verdicts: dict[str, list[object]] = {"prompt_id": [], "sample": [], "metric": [], "value": []}
        scores: dict[str, list[float]] = {}
        truncated = 0
        with context.reporter.bar("eval", len(generations)) as bar:
            for done, generation in enumerate(generations, start=1):
                cut = generation["finish_reason"] == "length"
                truncated += cut
                values = task.score(generation["text"], references[generation["prompt_id"]], truncated=cut)
                for metric, value in values.items():
                    verdicts["prompt_id"].append(generation["prompt_id"])
                    verdicts["sample"].append(generation["sample"])
                    verdicts["metric"].append(metric)
                    verdicts["value"].append(float(value))
                    scores.setdefault(metric, []).append(float(value))
                bar.update(done)
        schema = pa.schema(
            [
                ("prompt_id", pa.string()),
                ("sample", pa.int32()),
                ("metric", pa.string()),
                ("value", pa.float64()),
            ]
        )
        pq.write_table(pa.table(verdicts, schema=schema), context.draft.files / "verdicts.parquet")
        metrics: dict[str, Metric] = {
            "task": task.name,
            "primary": task.primary_metric,
            "prompts": len(references),
            "answers": len(generations),
            "truncated": truncated,
        }
        prompts = [generation["prompt_id"] for generation in generations]
        for metric, values_of in scores.items():
            metrics |= self._summary(metric, values_of, prompts)
        return metrics

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

    def _summary(self, metric: str, values: Sequence[float], prompts: Sequence[str]) -> dict[str, Metric]:
        """A metric's mean with its interval, and its pass@k.

        Wilson's interval where there is one right-or-wrong verdict a prompt (or all verdicts are the same, which a
        bootstrap cannot see beyond), else a bootstrap over prompts.
        """
        from budgetctl.scoring.bootstrap import bootstrap_mean  # noqa: PLC0415
        from budgetctl.scoring.intervals import wilson  # noqa: PLC0415
        from budgetctl.scoring.passk import pass_at_each_k  # noqa: PLC0415

        binary, mean, distinct = set(values) <= {0.0, 1.0}, sum(values) / len(values), len(set(prompts))
        if binary and (distinct == len(prompts) or mean in (0.0, 1.0)):
            interval = wilson(mean * distinct, distinct)
        else:
            interval = bootstrap_mean(values, prompts)
        found: dict[str, Metric] = {
            metric: mean,
            f"{metric}_low": interval.low,
            f"{metric}_high": interval.high,
        }
        if binary and self.identity.pass_at:
            flags: dict[str, list[float]] = {}
            for prompt, value in zip(prompts, values, strict=True):
                flags.setdefault(prompt, []).append(value)
            for passed in pass_at_each_k(list(flags.values()), self.identity.pass_at):
                name = f"{metric}_pass@{passed.k}"
                found |= {
                    name: passed.value,
                    f"{name}_low": passed.interval.low,
                    f"{name}_high": passed.interval.high,
                }
        return found
