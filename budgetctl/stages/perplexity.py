"""The `perplexity` stage: how likely a model finds gold answers, or its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.models.registry import Precision
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen
from budgetctl.stages.answering import EngineName, adapter_of, encoder_of, engine_of
from budgetctl.stages.stage import Metric, StageContext

if TYPE_CHECKING:
    from budgetctl.engines.protocol import Prompt
    from budgetctl.models.encoding import Encoder

LOSSES_FILE = "losses.parquet"
TEXTS_AT_ONCE = 256
"""Between two looks at whether to stop; the engine batches within."""


class PerplexityIdentity(Frozen):
    """What a perplexity depends on, beside the model and the rows."""

    template: Template
    answers: Literal["gold", "generated"] = "gold"
    """Gold answers of the rows, or the answers of a generation (a parent)."""
    engine: EngineName = "transformers"
    """In the key, because two engines round differently."""
    precision: Precision = "float32"


@dataclass(frozen=True)
class _Text:
    """An answer to be scored: its prompt and the ids that count."""

    sample: int
    prompt: Prompt
    ids: list[int]


@dataclass(frozen=True)
class PerplexityStage:
    """Scores one answer per row, or every generated one, of a base or of a checkpoint over it.

    Counted are the tokens of the answer's own text. What the template puts around it (the header before it and the
    end-of-turn token after it) is given to the model but not counted.
    """

    name: ClassVar[str] = "perplexity"
    revision: ClassVar[int] = 1

    identity: PerplexityIdentity
    base: str
    prompts: str
    checkpoint: str | None = None
    gen: str | None = None

    def __post_init__(self) -> None:
        if (self.identity.answers == "generated") != (self.gen is not None):
            raise UsageError(
                "a perplexity of generated answers needs a generation, and one of gold answers none"
            )

    @property
    def parents(self) -> Mapping[str, str]:
        optional = {"checkpoint": self.checkpoint, "gen": self.gen}
        given = {role: key for role, key in optional.items() if key is not None}
        return {"base": self.base, "prompts": self.prompts, **given}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Write `losses.parquet` and return both perplexities with the interval of the token-weighted one.

        Raises:
            UsageError: The rows have no gold answers, or fewer than two answers have a token to count.
        """
        import math  # noqa: PLC0415
        import time  # noqa: PLC0415

        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        from budgetctl.scoring.perplexity import RowLoss, perplexity  # noqa: PLC0415

        encoder = encoder_of(context, self.identity.template)
        every = self._gold(context, encoder) if self.gen is None else self._generated(context, encoder)
        texts = [text for text in every if text.ids]
        if len(texts) < 2:
            raise UsageError(
                f"{len(texts)} of {len(every)} answers have a token to count; a perplexity with an interval needs two"
            )
        texts.sort(
            key=lambda text: len(text.prompt.ids) + len(text.ids)
        )  # so that a batch wastes little padding
        engine, adapter = (
            engine_of(context, self.identity.engine, self.identity.precision),
            adapter_of(context),
        )
        started, start_s, scores = time.monotonic(), engine.start_s, list[list[float]]()
        with context.reporter.bar("perplexity", len(texts)) as bar:
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                if context.should_stop():
                    raise InterruptedRunError(
                        f"perplexity stopped after {start} of {len(texts)} answers; the same command starts anew."
                    )
                part = texts[start : start + TEXTS_AT_ONCE]
                scores += engine.logprobs(
                    [text.prompt for text in part], [text.ids for text in part], adapter
                )
                bar.update(len(scores))
        seconds = time.monotonic() - started - (engine.start_s - start_s)
        losses = [RowLoss(-math.fsum(score), len(score)) for score in scores]
        columns: dict[str, Any] = {
            "prompt_id": [text.prompt.prompt_id for text in texts],
            "sample": pa.array([text.sample for text in texts], pa.int32()),
            "nll": [loss.nll for loss in losses],
            "tokens": pa.array([loss.tokens for loss in losses], pa.int32()),
        }
        pq.write_table(pa.table(columns), context.draft.files / LOSSES_FILE)
        found = perplexity(losses)
        data = context.parents["prompts"].identity
        return {
            "task": str(data.get("task")),
            "split": str(data.get("split")),
            "answers": self.identity.answers,
            "perplexity": found.token_weighted,
            "perplexity_low": found.low,
            "perplexity_high": found.high,
            "perplexity_per_sample": found.per_sample,
            "nll_per_token": found.log_mean,
            "nll_per_token_se": found.log_se,
            "rows": found.rows,
            "tokens": found.tokens,
            "empty_answers": len(every) - len(texts),
            "counted": "the answer's text; the template's tokens, end of turn included, are left out",
            "score_s": round(seconds, 3),
        }

    def _gold(self, context: StageContext, encoder: Encoder) -> list[_Text]:
        from budgetctl.data.gold import gold_rows  # noqa: PLC0415
        from budgetctl.engines.protocol import Prompt  # noqa: PLC0415

        texts = []
        for row in gold_rows(context.parents["prompts"]):
            where = f"row {row.prompt_id!r}"
            prompt = Prompt(row.prompt_id, tuple(encoder.prompt(row.prompt, where)))
            texts.append(_Text(0, prompt, encoder.counted_answer(row.prompt, row.answer, where)))
        return texts

    def _generated(self, context: StageContext, encoder: Encoder) -> list[_Text]:
        import pyarrow.parquet as pq  # noqa: PLC0415

        from budgetctl.engines.protocol import Prompt  # noqa: PLC0415

        rows = pq.read_table(context.parents["prompts"].path("eval.parquet"), columns=["prompt_id", "prompt"])
        prompts = {
            row["prompt_id"]: Prompt(row["prompt_id"], tuple(encoder.prompt(row["prompt"])))
            for row in rows.to_pylist()
        }
        answers = pq.read_table(
            context.parents["gen"].path("generations.parquet"), columns=["prompt_id", "sample", "token_ids"]
        )
        return [
            _Text(
                answer["sample"],
                prompts[answer["prompt_id"]],
                [token for token in answer["token_ids"] if token not in encoder.stop_ids],
            )
            for answer in answers.to_pylist()
        ]
