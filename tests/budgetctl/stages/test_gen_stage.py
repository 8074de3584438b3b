from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.parquet
import pytest

from budgetctl.console import LineReporter
from budgetctl.engines.kept import SLOT, close_engines
from budgetctl.engines.protocol import Decoding, Prompt
from budgetctl.engines.transformers import TransformersEngine
from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.models.encoding import Encoder
from budgetctl.models.loading import load_tokenizer
from budgetctl.models.templates import Template
from budgetctl.stages.execute import execute
from budgetctl.stages.gen import GenIdentity, GenStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import Execution
from budgetctl.training.config import LoraSettings, OptimizerSettings, SftSettings
from store import Store

TINY = Template.named("tiny")
SAMPLED = GenIdentity(template=TINY, decoding=Decoding(temperature=1.0, samples=2, max_new_tokens=10))


def answers(artifact: Any) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(artifact.path("generations.parquet")).to_pylist()


def test_layout_and_order(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    made = run_stage(GenStage(SAMPLED, base=base_key, prompts=publish_rows("eval.parquet"))).artifact
    schema = pyarrow.parquet.read_schema(made.path("generations.parquet"))
    assert [(field.name, str(field.type)) for field in schema] == [
        ("prompt_id", "string"), ("sample", "int32"), ("text", "string"), ("token_ids", "list<element: int32>"),
        ("finish_reason", "string"), ("logprob", "double"),
    ]  # fmt: skip
    rows = answers(made)
    assert [(row["prompt_id"], row["sample"]) for row in rows] == [
        (f"sum-{index}", sample) for index in range(24) for sample in range(2)
    ]
    assert made.metrics["truncated"] == sum(row["finish_reason"] == "length" for row in rows)
    assert "<|end|>" not in "".join(row["text"] for row in rows)


def test_a_stopped_generation_continues_where_it_was(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    prompts = publish_rows("eval.parquet")
    stage = GenStage(SAMPLED, base=base_key, prompts=prompts)
    with pytest.raises(InterruptedRunError, match="after 10 of 48 answers"):
        run_stage(stage, should_stop=lambda: True, execution={"generation_batch": 10})
    resumed = run_stage(stage).artifact
    assert resumed.metrics["resumed_answers"] == 10
    other_seed = GenIdentity(template=TINY, decoding=SAMPLED.decoding.model_copy(update={"seed": 9}))
    fresh = run_stage(GenStage(other_seed, base=base_key, prompts=prompts)).artifact
    assert [row["token_ids"] for row in answers(resumed)] != [row["token_ids"] for row in answers(fresh)]


def test_resumed_answers_equal_undisturbed_ones(
    run_stage: Callable[..., Any],
    base_key: str,
    publish_rows: Callable[..., str],
    stage_store: Any,
    tmp_path: Any,
) -> None:
    stage = GenStage(SAMPLED, base=base_key, prompts=publish_rows("eval.parquet"))
    with pytest.raises(InterruptedRunError):
        run_stage(stage, should_stop=lambda: True, execution={"generation_batch": 7})
    resumed = [row["token_ids"] for row in answers(run_stage(stage).artifact)]
    engine = TransformersEngine(stage_store.artifact(base_key).path(), "cpu", "float32")
    encoder = Encoder(load_tokenizer(stage_store.artifact(base_key).path()), TINY)
    rows = pyarrow.parquet.read_table(stage_store.artifact(stage.prompts).path("eval.parquet")).to_pylist()
    prompts = [Prompt(row["prompt_id"], tuple(encoder.prompt(row["prompt"]))) for row in rows]
    found = {
        (answer.prompt_id, answer.sample): list(answer.token_ids)
        for batch in engine.generate(prompts, SAMPLED.decoding, encoder.stop_ids, None) for answer in batch
    }  # fmt: skip
    assert resumed == [found[row["prompt_id"], sample] for row in rows for sample in range(2)]


def test_a_part_that_lost_its_bytes_is_generated_again(
    run_stage: Callable[..., Any],
    base_key: str,
    publish_rows: Callable[..., str],
    stage_store: Store,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage = GenStage(SAMPLED, base=base_key, prompts=publish_rows("eval.parquet"))
    with pytest.raises(InterruptedRunError):
        run_stage(stage, should_stop=lambda: True, execution={"generation_batch": 7})
    (part,) = stage_store.root.glob("drafts/*/scratch/answers/part-*.parquet")
    part.write_bytes(b"")
    outcome = execute(stage, stage_store, Execution(threads=1, device="cpu"), LineReporter())
    assert outcome.artifact.metrics["resumed_answers"] == 0
    assert len(answers(outcome.artifact)) == 48
    assert "part-000000.parquet of the last attempt could not be read" in capsys.readouterr().err


def test_one_engine_serves_a_base_and_its_checkpoints(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    settings = SftSettings(
        epochs=3, lora=LoraSettings(rank=4), optimizer=OptimizerSettings(learning_rate=1e-2)
    )
    checkpoint = run_stage(
        SftStage(SftIdentity(template=TINY, settings=settings), base_key, publish_rows("sft.parquet"))
    )
    keep: dict[str, object] = {}
    prompts = publish_rows("eval.parquet")
    bare = run_stage(GenStage(SAMPLED, base=base_key, prompts=prompts), keep=keep).artifact
    engines = list(keep.values())
    tuned_stage = GenStage(SAMPLED, base=base_key, prompts=prompts, checkpoint=checkpoint.artifact.key)
    tuned = run_stage(tuned_stage, keep=keep).artifact
    assert list(keep.values()) == engines
    assert [row["text"] for row in answers(bare)] != [row["text"] for row in answers(tuned)]


def test_data_without_prompts(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    with pytest.raises(UsageError, match=r"holds sft.parquet, no eval.parquet"):
        run_stage(GenStage(SAMPLED, base=base_key, prompts=publish_rows("sft.parquet")))


def test_a_full_checkpoint_answers_by_itself(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    settings = SftSettings(weights="full", epochs=3, optimizer=OptimizerSettings(learning_rate=1e-2))
    checkpoint = run_stage(
        SftStage(SftIdentity(template=TINY, settings=settings), base_key, publish_rows("sft.parquet"))
    )
    keep: dict[str, object] = {}
    prompts = publish_rows("eval.parquet")
    bare = run_stage(GenStage(SAMPLED, base=base_key, prompts=prompts), keep=keep).artifact
    tuned_stage = GenStage(SAMPLED, base=base_key, prompts=prompts, checkpoint=checkpoint.artifact.key)
    tuned = run_stage(tuned_stage, keep=keep).artifact
    assert [row["text"] for row in answers(bare)] != [row["text"] for row in answers(tuned)]
    assert sum(name.startswith(SLOT) for name in keep) == 1
    close_engines(keep)
    assert not any(name.startswith(SLOT) for name in keep)
