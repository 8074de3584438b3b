from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.stages.pft import PftIdentity, PftStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.training.config import LoraSettings, PftSettings, SftSettings
from budgetctl.training.reference import read_scores
from store import Artifact, Store

TINY = Template.named("tiny")
SMALL = LoraSettings(rank=4)


def identity(**settings: Any) -> PftIdentity:
    return PftIdentity(template=TINY, settings=PftSettings(**{"lora": SMALL, "epochs": 1, **settings}))


@pytest.mark.parametrize(
    ("method", "file"),
    [
        ("dpo", "pref.parquet"),
        ("kto", "unpaired.parquet"),
        ("kto", "pref.parquet"),
        ("simpo", "pref.parquet"),
    ],
)
def test_it_stacks_over_a_checkpoint_or_the_base(
    method: str, file: str, run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    sft = SftStage(
        SftIdentity(template=TINY, settings=SftSettings(lora=SMALL)), base_key, publish_rows("sft.parquet")
    )
    policy = run_stage(sft).artifact.key
    pairs = publish_rows(file)
    over_policy = run_stage(
        PftStage(identity(method=method), base=base_key, data=pairs, policy=policy)
    ).artifact
    over_base = run_stage(PftStage(identity(method=method), base=base_key, data=pairs)).artifact
    assert over_policy.metrics["adapter_rank"] == 8
    assert over_base.metrics["adapter_rank"] == 4
    assert over_policy.parents == {"base": base_key, "data": pairs, "policy": policy}
    assert over_base.parents == {"base": base_key, "data": pairs}


def test_data_of_another_kind(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    with pytest.raises(UsageError, match=r"holds sft.parquet; dpo needs pref.parquet"):
        run_stage(PftStage(identity(), base=base_key, data=publish_rows("sft.parquet")))
    with pytest.raises(UsageError, match=r"kto needs unpaired.parquet or pref.parquet"):
        run_stage(PftStage(identity(method="kto"), base=base_key, data=publish_rows("sft.parquet")))


def test_a_reference_that_stays_in_memory(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store
) -> None:
    stage = PftStage(identity(), base=base_key, data=publish_rows("pref.parquet"))
    metrics = run_stage(stage, execution={"keep_reference": False}).artifact.metrics
    assert metrics["reference_texts_scored"] == 48
    assert metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert not references(stage_store)


def test_a_sweep_scores_the_reference_once(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store
) -> None:
    pairs = publish_rows("pref.parquet")

    def scored(seed: int = 0, **settings: Any) -> Any:
        wanted = identity(**settings).model_copy(update={"seed": seed})
        return run_stage(PftStage(wanted, base=base_key, data=pairs)).artifact.metrics

    assert scored(epochs=0.1)["reference_texts_scored"] == 48  # though it sees 16 of the 24 rows
    for other in (scored(seed=4), scored(beta=1.0), scored(method="ipo"), scored(adapter="continue")):
        assert other["reference_texts_scored"] == 0
    assert scored(beta=1.0, seed=9)["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    (kept,) = references(stage_store)
    assert kept.parents == {"base": base_key, "data": pairs}
    assert len(read_scores([kept.path("reference.parquet")])) == 48


def test_mismatched_texts_are_scored_once_for_an_order_of_rows(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store
) -> None:
    pairs = publish_rows("pref.parquet")

    def scored(seed: int = 0, **settings: Any) -> Any:
        wanted = identity(**{"method": "kto", **settings}).model_copy(update={"seed": seed})
        return run_stage(PftStage(wanted, base=base_key, data=pairs)).artifact.metrics[
            "reference_texts_scored"
        ]

    assert 48 < scored() <= 96
    assert scored(beta=1.0) == 0
    assert scored(desirable_weight=2.0) == 0
    assert scored(method="dpo") == 0
    assert 0 < scored(seed=1) <= 48
    assert scored(seed=1, beta=1.0) == 0
    assert len(references(stage_store)) == 3


def test_cut_texts_are_another_reference(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str]
) -> None:
    pairs = publish_rows("pref.parquet")

    def scored(**settings: Any) -> Any:
        stage = PftStage(identity(**settings), base=base_key, data=pairs)
        return run_stage(stage).artifact.metrics["reference_texts_scored"]

    assert scored(max_length=64) == 48
    assert scored(max_length=128) == 0
    assert scored(max_length=16, overlong="truncate") > 0
    assert scored(max_length=16, overlong="truncate", beta=1.0) == 0
    assert scored(max_length=17, overlong="truncate") > 0


def references(store: Store) -> list[Artifact]:
    return [artifact for artifact in store.artifacts() if artifact.stage == "reference"]
