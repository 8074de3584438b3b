"""Trunks and forks as artifacts: what they publish, what they refuse, and how a fork is annealed."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from safetensors.torch import load_file
from watched_runs import BATCH, ROWS, SFT, WATCH, write_rows

from budgetctl.errors import InterruptedRunError, UsageError
from budgetctl.forking.entries import trigger_named
from budgetctl.forking.records import read_forks
from budgetctl.forking.triggers import WatchSettings
from budgetctl.models.adapters import Adapter
from budgetctl.models.encoding import Encoder
from budgetctl.models.loading import load_base
from budgetctl.models.policy import continued_adapter
from budgetctl.models.templates import Template
from budgetctl.stages.catalog import stage_from
from budgetctl.stages.fork import Anneal, ForkIdentity, ForkStage
from budgetctl.stages.pft import PftIdentity, PftStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import payload_of
from budgetctl.stages.trunk import TrunkIdentity, TrunkStage
from budgetctl.training.config import LoraSettings, PftSettings, SftSettings
from budgetctl.training.order import RowOrder
from store import Payload, Store

TINY = Template.named("tiny")


def identity(watch: WatchSettings = WATCH, **changes: Any) -> TrunkIdentity:
    fields: dict[str, Any] = {
        "template": TINY,
        "settings": SFT,
        "task": "arith",
        "scorer_version": 1,
        "watch": watch,
    }
    return TrunkIdentity(**{**fields, **changes})


@pytest.fixture
def publish(stage_store: Store, tmp_path: Path) -> Callable[..., str]:
    """Publish one of the files of `watched_runs` as a data artifact of some split and task."""
    write_rows(tmp_path)

    def make(name: str, split: str = "dev", task: str = "arith", kind: str = "eval") -> str:
        fields = {"task": task, "split": split, "kind": kind}
        payload = Payload(stage="data", revision=1, identity=fields, parents={})
        if not stage_store.has(payload.key):
            draft = stage_store.draft(payload)
            (draft.files / name).write_bytes((tmp_path / name).read_bytes())
            draft.publish({}, {})
        return payload.key

    return make


@pytest.fixture
def trunk(run_stage: Callable[..., Any], base_key: str, publish: Callable[..., str]) -> Any:
    stage = TrunkStage(
        identity(), base_key, publish("sft.parquet", "train", kind="sft"), publish("eval.parquet")
    )
    return run_stage(stage).artifact


def test_a_trunk_planned_for_another_scorer_is_refused(
    run_stage: Callable[..., Any], base_key: str, publish: Callable[..., str]
) -> None:
    rows, dev = publish("sft.parquet", "train", kind="sft"), publish("eval.parquet")
    with pytest.raises(UsageError, match="planned with version 9 of the arith scorer"):
        run_stage(TrunkStage(identity(scorer_version=9), base_key, rows, dev))


def curve(artifact: Any, name: str) -> list[float]:
    rows = pyarrow.parquet.read_table(artifact.path("curves.parquet")).to_pylist()
    return [row["value"] for row in rows if row["name"] == name]


def test_a_trunk_ends_as_the_sft_stage_does(trunk: Any, run_stage: Callable[..., Any]) -> None:
    plain = SftStage(SftIdentity(template=TINY, settings=SFT), trunk.parents["base"], trunk.parents["data"])
    made = run_stage(plain).artifact
    for name in ("adapter_model.safetensors", "adapter_config.json", "curves.parquet"):
        assert trunk.files[name] == made.files[name]
    assert trunk.metrics["steps"] == made.metrics["steps"]


def test_forks_share_the_trunks_bytes(trunk: Any, run_stage: Callable[..., Any], stage_store: Store) -> None:
    blobs = {path.name for path in (stage_store.root / "blobs").rglob("*") if path.is_file()}
    for record in read_forks(trunk.path("forks.json")):
        made = run_stage(ForkStage(ForkIdentity(trigger=trigger_named(record.trigger)), trunk.key)).artifact
        assert made.parents == {"trunk": trunk.key}
        for name in (
            "trigger",
            "fired",
            "same_as",
            "step",
            "examples",
            "distinct",
            "metric",
            "value",
            "low",
            "high",
        ):
            assert made.metrics[name] == getattr(record, name)
        assert made.metrics["annealed_examples"] == 0
        if record.fired:
            assert set(made.files) == {"adapter_config.json", "adapter_model.safetensors", "fork.json"}
            kept = trunk.files[f"{record.folder}/adapter_model.safetensors"]
            assert made.files["adapter_model.safetensors"] == kept
        else:
            assert set(made.files) == {"fork.json"}
            assert json.loads(made.path("fork.json").read_text())["value"] == record.value
    after = {path.name for path in (stage_store.root / "blobs").rglob("*") if path.is_file()}
    assert len(after - blobs) == len(WATCH.triggers)  # one fork.json each, and no adapter


def test_preferences_start_from_a_fork(
    trunk: Any, run_stage: Callable[..., Any], publish_rows: Callable[..., str]
) -> None:
    fork = run_stage(ForkStage(ForkIdentity(trigger=trigger_named("examples=50")), trunk.key)).artifact
    settings = PftSettings(lora=LoraSettings(rank=4), epochs=1)
    stage = PftStage(PftIdentity(template=TINY, settings=settings), trunk.parents["base"], publish_rows("pref.parquet"),
                     policy=fork.key)  # fmt: skip
    made = run_stage(stage).artifact
    assert made.metrics["adapter_rank"] == 12
    assert made.metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-4)


def annealed(trunk: Any, trigger: str, share: float = 0.4) -> ForkStage:
    wanted = ForkIdentity(trigger=trigger_named(trigger), anneal=Anneal(share=share))
    return ForkStage(wanted, trunk.key, trunk.parents["base"], trunk.parents["data"])


def test_annealing_goes_on_with_the_next_rows_while_the_rate_falls_to_zero(
    trunk: Any, run_stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from budgetctl.training import datasets  # noqa: PLC0415

    streams = []
    real = datasets.demonstrations
    monkeypatch.setattr(
        datasets, "demonstrations", lambda rows, stream: (streams.append(list(stream)), real(rows, stream))[1]
    )
    record = next(
        record for record in read_forks(trunk.path("forks.json")) if record.trigger == "examples=50"
    )
    made = run_stage(annealed(trunk, "examples=50")).artifact
    order = RowOrder(ROWS, SFT.epochs, BATCH, seed=0)
    assert streams == [order.stream()[56:80]]  # 0.4 · 56 = 22.4, so 23 rows, so 3 steps of 8
    assert made.metrics["annealed_examples"] == 24
    assert made.metrics["examples"] == 56
    assert made.metrics["distinct"] == order.distinct(80) == ROWS
    rates = curve(made, "learning_rate")
    assert record.learning_rate is not None
    assert rates == pytest.approx([record.learning_rate * left / 3 for left in (3, 2, 1)])
    assert set(made.files) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "curves.parquet",
        "fork.json",
    }
    before = Adapter.load(trunk.path("at/7")).weights
    after = Adapter.load(made.path()).weights
    assert max(float((after[name] - before[name]).abs().max()) for name in before) > 1e-4


def test_annealing_takes_up_the_optimizers_moments(
    run_stage: Callable[..., Any], base_key: str, publish: Callable[..., str], stage_store: Store
) -> None:
    """One annealed step against the same step by hand: torch's AdamW on the saved moments."""
    settings = SFT.model_copy(update={"lora": LoraSettings(rank=8)})
    rows = publish("sft.parquet", "train", kind="sft")
    trunk = run_stage(
        TrunkStage(identity(settings=settings), base_key, rows, publish("eval.parquet"))
    ).artifact
    made = run_stage(annealed(trunk, "examples=50", share=0.01)).artifact
    assert made.metrics["annealed_examples"] == BATCH

    base = load_base(stage_store.artifact(base_key).path(), torch.device("cpu"), "float32")
    policy = continued_adapter(base, trunk.path("at/7"))
    encoder = Encoder(base.tokenizer, TINY)
    table = pyarrow.parquet.read_table(stage_store.artifact(rows).path("sft.parquet")).to_pylist()
    loss, tokens = torch.zeros(()), 0
    for place in RowOrder(ROWS, SFT.epochs, BATCH, seed=0).first(56 + BATCH)[56:]:
        text = encoder.conversation(table[place]["messages"])
        ids, learn = torch.tensor(text.ids), torch.tensor(text.learn[1:])
        scores = base.model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
        loss = loss - scores.gather(-1, ids[1:, None])[:, 0][learn].sum()
        tokens += int(learn.sum())
    (loss / tokens).backward()
    moments = load_file(trunk.path("at/7/state/optimizer.safetensors"))
    optimizer = torch.optim.AdamW(
        policy.weights.values(), lr=float(made.metrics["learning_rate"]), weight_decay=0.0
    )
    for name, weight in policy.weights.items():
        optimizer.state[weight] = {
            part: moments[f"{name}|{part}"] for part in ("step", "exp_avg", "exp_avg_sq")
        }
        assert float(moments[f"{name}|step"]) == 7
    torch.nn.utils.clip_grad_norm_(policy.weights.values(), 1.0)
    optimizer.step()
    published, start = Adapter.load(made.path()).weights, Adapter.load(trunk.path("at/7")).weights
    for name, weight in policy.weights.items():
        assert float((published[name] - weight.detach()).abs().max()) < 1e-5
        assert float((published[name] - start[name]).abs().max()) > 1e-4


def test_an_interrupted_annealing_goes_on(
    trunk: Any, run_stage: Callable[..., Any], stage_store: Store
) -> None:
    whole = run_stage(annealed(trunk, "examples=50", share=1.0)).artifact
    expected = Adapter.load(whole.path()).weights
    calls = itertools.count()
    # the same annealing under another key, so that it runs again
    other = replace(annealed(trunk, "examples=50"), identity=ForkIdentity(
        trigger=trigger_named("examples=50"), anneal=Anneal(share=0.999)))  # fmt: skip
    with pytest.raises(InterruptedRunError):
        run_stage(other, should_stop=lambda: next(calls) >= 2)
    made = run_stage(other).artifact
    assert made.metrics["resumed_at_step"] == 3
    assert made.metrics["annealed_examples"] == whole.metrics["annealed_examples"] == 56
    found = Adapter.load(made.path()).weights
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-6


def test_triggers_of_one_state_anneal_it_once(
    run_stage: Callable[..., Any], base_key: str, publish: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = WATCH.model_copy(
        update={"triggers": (trigger_named("perplexity<=30"), trigger_named("perplexity<=29"))}
    )
    stage = TrunkStage(
        identity(both), base_key, publish("sft.parquet", "train", kind="sft"), publish("eval.parquet")
    )
    made = run_stage(stage).artifact
    easy, hard = read_forks(made.path("forks.json"))
    assert (easy.same_as, hard.same_as) == ("perplexity<=29", "")
    first = run_stage(annealed(made, "perplexity<=29")).artifact
    monkeypatch.setattr("budgetctl.stages.training_job.train", lambda *_: pytest.fail("trained again"))
    second = run_stage(annealed(made, "perplexity<=30")).artifact
    assert second.files["adapter_model.safetensors"] == first.files["adapter_model.safetensors"]
    assert second.metrics["annealed_examples"] == first.metrics["annealed_examples"] > 0
    assert second.metrics["distinct"] == first.metrics["distinct"]
    assert second.metrics["same_as"] == "perplexity<=29"


def test_a_stopped_trunk_goes_on_in_its_draft(
    run_stage: Callable[..., Any], base_key: str, publish: Callable[..., str], trunk: Any
) -> None:
    seeded = TrunkStage(
        identity(seed=5), base_key, publish("sft.parquet", "train", kind="sft"), publish("eval.parquet")
    )
    calls = itertools.count()
    with pytest.raises(InterruptedRunError):
        run_stage(seeded, should_stop=lambda: next(calls) >= 20)
    made = run_stage(seeded).artifact
    assert int(str(made.metrics["resumed_at_step"])) > 0
    assert made.metrics["evaluations"] == 11


@pytest.mark.parametrize(
    ("name", "split", "task", "sentence"),
    [
        ("eval.parquet", "test", "arith", "test rows report, they never decide"),
        ("eval.parquet", "train", "arith", "holds rows of split 'train'"),
        ("eval.parquet", "dev", "gsm8k", "task 'gsm8k', but the trunk's task is 'arith'"),
        ("sft.parquet", "dev", "arith", r"holds sft.parquet, no eval.parquet"),
    ],
)
def test_rows_that_may_not_decide(
    name: str, split: str, task: str, sentence: str,
    run_stage: Callable[..., Any], base_key: str, publish: Callable[..., str],
) -> None:  # fmt: skip
    rows = publish("sft.parquet", "train", kind="sft")
    dev = publish(name, split, task, kind=f"{name} as dev")
    with pytest.raises(UsageError, match=sentence):
        run_stage(TrunkStage(identity(), base_key, rows, dev))


def test_forks_that_cannot_be(
    trunk: Any, run_stage: Callable[..., Any], base_key: str, publish: Callable[..., str]
) -> None:
    with pytest.raises(UsageError, match=r"watched for .*perplexity<=3.*, not for perplexity<=2"):
        run_stage(ForkStage(ForkIdentity(trigger=trigger_named("perplexity<=2")), trunk.key))
    with pytest.raises(UsageError, match="a fork starts from a trunk"):
        run_stage(ForkStage(ForkIdentity(trigger=trigger_named("perplexity<=2")), publish("eval.parquet")))
    with pytest.raises(UsageError, match="needs its trunk's base and rows"):
        ForkStage(ForkIdentity(trigger=trigger_named("perplexity<=3"), anneal=Anneal(share=0.1)), trunk.key)
    other = publish("sft.parquet", "train", kind="sft of somebody else")
    with pytest.raises(UsageError, match="on other rows, than named here"):
        run_stage(replace(annealed(trunk, "examples=50"), data=other))
    with pytest.raises(UsageError, match="weights: full would keep a whole model"):
        TrunkStage(identity(settings=SftSettings(weights="full")), base_key, "d" * 64, "e" * 64)
    unsloth = SftSettings(backend="unsloth", precision="bfloat16")
    with pytest.raises(UsageError, match="backend: unsloth cannot be"):
        TrunkStage(identity(settings=unsloth), base_key, "d" * 64, "e" * 64)
    stateless = TrunkStage(
        identity(WATCH.model_copy(update={"keep_state": False})),
        base_key,
        trunk.parents["data"],
        trunk.parents["dev"],
    )
    bare = run_stage(stateless).artifact
    assert not any("state" in name for name in bare.files)
    with pytest.raises(UsageError, match="kept no optimizer states"):
        run_stage(annealed(bare, "examples=50"))


def test_a_trigger_that_never_fired_ends_well_when_annealed(
    trunk: Any, run_stage: Callable[..., Any]
) -> None:
    made = run_stage(annealed(trunk, "perplexity<=1.0001")).artifact
    assert made.metrics["fired"] is False
    assert set(made.files) == {"fork.json"}


def test_stages_survive_the_way_through_a_plan(trunk: Any) -> None:
    for stage in (
        annealed(trunk, "examples=50"),
        ForkStage(ForkIdentity(trigger=trigger_named("pass@2>=0.5")), trunk.key),
    ):
        assert stage_from(Payload.from_json(payload_of(stage).canonical_json())) == stage


def test_the_key_of_a_fork_never_changes() -> None:
    file = Path(__file__).parents[2] / "store" / "golden_keys.json"
    golden = {row["what"]: row for row in json.loads(file.read_text("utf-8"))["keys"]}["an annealed fork"]
    parents = golden["payload"]["parents"]
    wanted = ForkIdentity(trigger=trigger_named("perplexity<=3.5"), anneal=Anneal(share=0.1))
    stage = ForkStage(wanted, parents["trunk"], parents["base"], parents["data"])
    assert payload_of(stage).key == golden["key"]
