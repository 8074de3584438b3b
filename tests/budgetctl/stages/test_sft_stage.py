from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.models.templates import Template
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.training.config import LoraSettings, SftSettings
from store import Store

TINY = Template.named("tiny")
QUICK = SftIdentity(template=TINY, settings=SftSettings(epochs=2, lora=LoraSettings(rank=4)))


def test_it_publishes_an_adapter_and_a_curve(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    stage = SftStage(QUICK, base=base_key, data=publish_rows("sft.parquet"))
    made = run_stage(stage)
    assert set(made.artifact.files) == {"adapter_config.json", "adapter_model.safetensors", "curves.parquet"}
    assert made.artifact.parents == {"base": base_key, "data": stage.data}
    assert made.artifact.metrics["steps"] == 3
    assert run_stage(stage).hit


def test_an_interrupted_stage_goes_on_in_its_draft(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store
) -> None:
    stage = SftStage(QUICK, base=base_key, data=publish_rows("sft.parquet"))
    calls = itertools.count()
    with pytest.raises(InterruptedRunError, match="after step 2 of 3"):
        run_stage(stage, should_stop=lambda: next(calls) >= 1)
    assert run_stage(stage).artifact.metrics["resumed_at_step"] == 2


def test_data_of_another_kind(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    with pytest.raises(UsageError, match=r"holds pref.parquet, no sft.parquet"):
        run_stage(SftStage(QUICK, base=base_key, data=publish_rows("pref.parquet")))
