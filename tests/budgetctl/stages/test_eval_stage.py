"""Scoring stored answers: intervals for every score, pass@k, and refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.engines.parts import SCHEMA
from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.scoring.intervals import wilson
from budgetctl.scoring.passk import pass_at_k
from budgetctl.stages.eval import EvalIdentity, EvalStage
from budgetctl.study.requests import scorer_of
from budgetctl.tasks.gsm8k import Gsm8kTask
from store import Payload, Store

GSM8K = EvalIdentity(task="gsm8k", scorer_version=1)


@pytest.fixture
def publish_answers(stage_store: Store, publish_rows: Callable[..., str]) -> Callable[..., EvalStage]:
    """Publish made-up generations to the sums: per prompt a list of whether each answer is right."""

    def publish(right: Sequence[Sequence[bool]], identity: EvalIdentity = GSM8K, rows: int = 24) -> EvalStage:
        data = stage_store.artifact(publish_rows("eval.parquet"))
        table = pq.read_table(data.path("eval.parquet"))[:rows]
        if rows < 24:
            draft = stage_store.draft(Payload(stage="data", revision=1, identity={"rows": rows}, parents={}))
            pq.write_table(table, draft.files / "eval.parquet")
            data = draft.publish({}, {})
        records = [
            {"prompt_id": row["prompt_id"], "sample": sample, "token_ids": [1], "logprob": -1.0,
             "text": f"#### {row['reference'].split()[-1]}" if good else "#### 1000",
             "finish_reason": "stop" if good else "length"}
            for row, flags in zip(table.to_pylist(), right, strict=False) for sample, good in enumerate(flags)
        ]  # fmt: skip
        payload = Payload(
            stage="gen", revision=1, identity={"right": [list(flags) for flags in right]}, parents={}
        )
        if not stage_store.has(payload.key):
            draft = stage_store.draft(payload)
            pq.write_table(pa.Table.from_pylist(records, schema=SCHEMA), draft.files / "generations.parquet")
            draft.publish({}, {})
        return EvalStage(identity, payload.key, data.key)

    return publish


def test_one_answer_a_prompt_gets_wilsons_interval(
    run_stage: Callable[..., Any], publish_answers: Callable[..., EvalStage]
) -> None:
    metrics = run_stage(publish_answers([[n < 9] for n in range(24)])).artifact.metrics
    assert metrics["strict"] == 9 / 24
    assert (metrics["strict_low"], metrics["strict_high"]) == pytest.approx(
        (wilson(9, 24).low, wilson(9, 24).high)
    )
    assert metrics["truncated"] == 15


def test_several_answers_a_prompt_are_resampled_by_prompt(
    run_stage: Callable[..., Any], publish_answers: Callable[..., EvalStage]
) -> None:
    """Sixteen copies of one verdict a prompt say no more than one of them."""
    once = run_stage(publish_answers([[n < 9] for n in range(24)])).artifact.metrics
    often = run_stage(publish_answers([[n < 9] * 16 for n in range(24)])).artifact.metrics
    assert often["strict"] == once["strict"]
    width = {name: m["strict_high"] - m["strict_low"] for name, m in (("once", once), ("often", often))}
    assert width["often"] == pytest.approx(width["once"], rel=0.2)
    none = run_stage(publish_answers([[False] * 16 for _ in range(24)])).artifact.metrics
    assert none["strict_low"] == 0.0
    assert none["strict_high"] == pytest.approx(wilson(0, 24).high)


@pytest.mark.parametrize(
    "right", [[[True, False] * 4], [[True, False]] * 5, [[True], [False]], [[True] * 7 + [False]] * 2]
)
def test_few_or_equal_prompts_keep_an_interval(
    run_stage: Callable[..., Any], publish_answers: Callable[..., EvalStage], right: list[list[bool]]
) -> None:
    identity = GSM8K.model_copy(update={"pass_at": (1,)})
    metrics = run_stage(publish_answers(right, identity, rows=len(right))).artifact.metrics
    for name in ("strict", "strict_pass@1"):
        low, value, high = (metrics[f"{name}{end}"] for end in ("_low", "", "_high"))
        assert 0 <= low < value < high <= 1
        assert high - low > 0.3


def test_a_new_version_of_the_scorer_scores_stored_answers_anew(
    run_stage: Callable[..., Any], publish_answers: Callable[..., EvalStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was planned with the old one is refused, instead of publishing new verdicts under its key."""
    planned = publish_answers([[n < 9] for n in range(24)])
    old = run_stage(planned).artifact
    later = publish_answers([[n < 6] for n in range(24)])
    monkeypatch.setattr(Gsm8kTask, "scorer_version", 2)
    monkeypatch.setattr(Gsm8kTask, "score", lambda *_, truncated: {"strict": 1.0, "flexible": 1.0})
    assert run_stage(planned).artifact.key == old.key
    with pytest.raises(UsageError, match=r"planned with version 1 of the gsm8k scorer.*plan again"):
        run_stage(later)
    new = run_stage(replace(planned, identity=scorer_of("gsm8k"))).artifact
    assert new.key != old.key
    assert (old.metrics["strict"], new.metrics["strict"]) == (9 / 24, 1.0)


def test_pass_at_k_of_both_readings(
    run_stage: Callable[..., Any], publish_answers: Callable[..., EvalStage]
) -> None:
    right = [[sample < n % 5 for sample in range(4)] for n in range(24)]
    identity = GSM8K.model_copy(update={"pass_at": (1, 2, 4)})
    metrics = run_stage(publish_answers(right, identity)).artifact.metrics
    for k in identity.pass_at:
        direct = sum(pass_at_k(4, sum(flags), k) for flags in right) / 24
        for reading in ("strict", "flexible"):
            assert metrics[f"{reading}_pass@{k}"] == pytest.approx(direct)
            assert metrics[f"{reading}_pass@{k}_low"] < direct < metrics[f"{reading}_pass@{k}_high"]
    assert metrics["strict_pass@1"] == pytest.approx(metrics["strict"])


def test_k_beyond_the_answers_is_refused(
    run_stage: Callable[..., Any], publish_answers: Callable[..., EvalStage]
) -> None:
    identity = GSM8K.model_copy(update={"pass_at": (1, 4)})
    with pytest.raises(UsageError, match=r"pass@4 needs .* 24 prompts have fewer, such as 'sum-0' with 2"):
        run_stage(publish_answers([[True, False]] * 24, identity))


def test_prompts_without_an_answer(
    run_stage: Callable[..., Any], publish_answers: Callable[..., EvalStage]
) -> None:
    with pytest.raises(BudgetctlError, match="4 prompts have no answer, 0 answers have no prompt"):
        run_stage(publish_answers([[True]] * 20))
