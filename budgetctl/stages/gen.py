"""The `gen` stage: a model's answers to evaluation prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from budgetctl.engines.protocol import Decoding
from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.models.registry import Precision
from budgetctl.models.templates import Template
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext

if TYPE_CHECKING:
    from budgetctl.engines.protocol import AdapterFolder, Engine

PROMPTS_FILE = "eval.parquet"
ANSWERS_FILE = "generations.parquet"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


class GenIdentity(Frozen):
    """What answers depend on, beside the model and the prompts."""

    template: Template
    decoding: Decoding = Decoding()
    engine: Literal["transformers", "vllm"] = "transformers"
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

        import pyarrow.parquet  # noqa: PLC0415

        from budgetctl.engines.parts import AnswerParts  # noqa: PLC0415
        from budgetctl.engines.protocol import Prompt  # noqa: PLC0415
        from budgetctl.models.encoding import Encoder  # noqa: PLC0415
        from budgetctl.models.loading import load_tokenizer  # noqa: PLC0415

        data = context.parents["prompts"]
        if PROMPTS_FILE not in data.files:
            raise UsageError(
                f"Data {data.key[:12]} holds {', '.join(sorted(data.files))}, no {PROMPTS_FILE}; make evaluation "
                "prompts with `budgetctl data … --kind eval`."
            )
        rows = pyarrow.parquet.read_table(
            data.path(PROMPTS_FILE), columns=["prompt_id", "prompt"]
        ).to_pylist()
        encoder = Encoder(load_tokenizer(context.parents["base"].path()), self.identity.template)
        prompts = [
            Prompt(row["prompt_id"], tuple(encoder.prompt(row["prompt"], f"prompt {row['prompt_id']!r}")))
            for row in rows
        ]
        parts = AnswerParts(context.draft.scratch / "answers")
        done = parts.done()
        total = len(prompts) * self.identity.decoding.samples
        started, new_tokens, finished = time.monotonic(), 0, len(done)
        with context.reporter.bar("gen", total) as bar:
            bar.update(finished)
            if finished < total:
                engine = self._engine(context)
                answers = engine.generate(
                    prompts, self.identity.decoding, encoder.stop_ids, self._adapter(context), done
                )
                for batch in answers:
                    parts.add(batch, [encoder.decode(answer.token_ids) for answer in batch])
                    new_tokens += sum(len(answer.token_ids) for answer in batch)
                    finished += len(batch)
                    bar.update(finished, tokens_per_s=new_tokens / (time.monotonic() - started))
                    if context.should_stop() and finished < total:
                        raise InterruptedRunError(
                            f"gen stopped after {finished} of {total} answers; the same command goes on from there."
                        )
        records = parts.write(context.draft.files / ANSWERS_FILE, [row["prompt_id"] for row in rows])
        seconds = time.monotonic() - started
        tokens = [len(record["token_ids"]) for record in records]
        return {
            "prompts": len(prompts),
            "answers": len(records),
            "truncated": sum(record["finish_reason"] == "length" for record in records),
            "mean_tokens": sum(tokens) / max(1, len(tokens)),
            "resumed_answers": len(done),
            "generate_s": round(seconds, 3),
            "tokens_per_s": round(new_tokens / seconds, 1) if seconds else 0.0,
        }

    def _adapter(self, context: StageContext) -> AdapterFolder | None:
        from budgetctl.engines.protocol import AdapterFolder  # noqa: PLC0415

        checkpoint = context.parents.get("checkpoint")
        if checkpoint is None or ADAPTER_WEIGHTS not in checkpoint.files:
            return None
        return AdapterFolder(checkpoint.key, checkpoint.path())

    def _engine(self, context: StageContext) -> Engine:
        """Take the worker's engine if it holds this model, else start one and leave it for the next stage."""
        import torch  # noqa: PLC0415

        from budgetctl.engines.kept import kept_engine  # noqa: PLC0415
        from budgetctl.engines.transformers import TransformersEngine  # noqa: PLC0415
        from budgetctl.engines.vllm import VllmEngine  # noqa: PLC0415

        execution, precision = context.execution, self.identity.precision
        if execution.threads:
            torch.set_num_threads(execution.threads)
        checkpoint = context.parents.get("checkpoint")
        full = checkpoint is not None and ADAPTER_WEIGHTS not in checkpoint.files
        model = checkpoint if checkpoint is not None and full else context.parents["base"]
        if self.identity.engine == "vllm":
            return kept_engine(
                context.keep,
                VllmEngine,
                f"vllm:{model.key}:{precision}:{execution.device}",
                lambda: VllmEngine(model.path(), execution.device, precision, execution.threads),
            )
        return kept_engine(
            context.keep,
            TransformersEngine,
            f"{model.key}:{precision}:{execution.device}:{execution.generation_batch}",
            lambda: TransformersEngine(model.path(), execution.device, precision, execution.generation_batch),
        )
