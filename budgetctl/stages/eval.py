"""The `eval` stage: score stored generations. No model, no GPU; a new scorer version re-scores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from budgetctl.errors import BudgetctlError
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext


class EvalIdentity(Frozen):
    """Which scorer, in which version."""

    task: str
    scorer_version: int


@dataclass(frozen=True)
class EvalStage:
    """Scores every sample of a generation artifact against the references of its prompts."""

    name: ClassVar[str] = "eval"
    revision: ClassVar[int] = 1

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
        """
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        from budgetctl.scoring.intervals import wilson  # noqa: PLC0415
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
        for metric, values_of in scores.items():
            mean = sum(values_of) / len(values_of)
            metrics[metric] = mean
            if set(values_of) <= {0.0, 1.0} and len(generations) == len(references):
                interval = wilson(int(sum(values_of)), len(values_of))
                metrics[f"{metric}_low"], metrics[f"{metric}_high"] = interval.low, interval.high
        return metrics
