"""The `gen` stage: a model's answers to evaluation prompts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from budgetctl.engines.protocol import Decoding
from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.models.registry import Precision
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen
from budgetctl.stages.answering import EngineName, adapter_of, encoder_of, engine_of, kept_last
from budgetctl.stages.stage import Metric, StageContext
from store import Artifact

if TYPE_CHECKING:
    from budgetctl.engines.protocol import Prompt
    from budgetctl.models.encoding import Encoder

PROMPTS_FILE = "eval.parquet"
ANSWERS_FILE = "generations.parquet"


class GenIdentity(Frozen):
    """What answers depend on, beside the model and the prompts."""

    template: Template
    decoding: Decoding = Decoding()
    engine: EngineName = "transformers"
    """In the key, because two engines round differently and greedy answers can part at a tie."""
    precision: Precision = "float32"


@dataclass(frozen=True)
class GenStage:
    """Answers of a base, or of a checkpoint over it."""

    name: ClassVar[str] = "gen"
    revision: ClassVar[int] = 1

    identity: GenIdentity
    base: str
    prompts: str
    checkpoint: str | None = None

    @property
    def parents(self) -> Mapping[str, str]:
        parents = {"base": self.base, "prompts": self.prompts}
        return parents if self.checkpoint is None else {**parents, "checkpoint": self.checkpoint}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        """Write `generations.parquet`; an earlier attempt's answers are kept.

        Raises:
            UsageError: The data artifact holds no evaluation prompts.
            InterruptedRunError: It was asked to stop; finished answers are in the draft.
        """
        import time  # noqa: PLC0415

        from budgetctl.engines.parts import AnswerParts  # noqa: PLC0415

        data, base, template = context.parents["prompts"], context.parents["base"], self.identity.template
        if PROMPTS_FILE not in data.files:
            raise UsageError(
                f"Data {data.key[:12]} holds {', '.join(sorted(data.files))}, no {PROMPTS_FILE}; make evaluation "
                "prompts with `budgetctl data … --kind eval`."
            )
        encoder = encoder_of(context, template)
        prompts = kept_last(
            context.keep, "prompts", (data.key, base.key, template), lambda: encoded_prompts(data, encoder)
        )
        parts = AnswerParts(context.draft.scratch / "answers")
        if parts.damaged:
            context.reporter.say(
                f"gen: {', '.join(parts.damaged)} of the last attempt could not be read and was removed; its answers "
                "are generated again"
            )
        done = parts.done()
        total = len(prompts) * self.identity.decoding.samples
        started, new_tokens, finished, start_s = time.monotonic(), 0, len(done), 0.0
        with context.reporter.bar("gen", total) as bar:
            bar.update(finished)
            if finished < total:
                engine = engine_of(context, self.identity.engine, self.identity.precision)
                before = engine.start_s
                adapter = adapter_of(context)
                # Closed here: an exception that somebody keeps would keep it listening to the engine.
                with closing(
                    engine.generate(prompts, self.identity.decoding, encoder.stop_ids, adapter, done)
                ) as answers:
                    for batch in answers:
                        parts.add(batch, [encoder.decode(answer.token_ids) for answer in batch])
                        new_tokens += sum(len(answer.token_ids) for answer in batch)
                        finished += len(batch)
                        start_s = engine.start_s - before
                        bar.update(finished, tokens_per_s=new_tokens / (time.monotonic() - started - start_s))
                        if context.should_stop() and finished < total:
                            raise InterruptedRunError(
                                f"gen stopped after {finished} of {total} answers; the same command goes on from there."
                            )
        records = parts.write(context.draft.files / ANSWERS_FILE, [prompt.prompt_id for prompt in prompts])
        seconds = time.monotonic() - started - start_s
        tokens = [len(record["token_ids"]) for record in records]
        return {
            "prompts": len(prompts),
            "answers": len(records),
            "truncated": sum(record["finish_reason"] == "length" for record in records),
            "mean_tokens": sum(tokens) / max(1, len(tokens)),
            "resumed_answers": len(done),
            "engine_start_s": round(start_s, 3),
            "generate_s": round(seconds, 3),
            "tokens_per_s": round(new_tokens / seconds, 1) if seconds else 0.0,
        }


def encoded_prompts(data: Artifact, encoder: Encoder) -> tuple[Prompt, ...]:
    """Read evaluation prompts, as ids opened for an answer."""
    import pyarrow.parquet  # noqa: PLC0415

    from budgetctl.engines.protocol import Prompt  # noqa: PLC0415

    rows = pyarrow.parquet.read_table(data.path(PROMPTS_FILE), columns=["prompt_id", "prompt"]).to_pylist()
    return tuple(
        Prompt(row["prompt_id"], tuple(encoder.prompt(row["prompt"], f"prompt {row['prompt_id']!r}")))
        for row in rows
    )
