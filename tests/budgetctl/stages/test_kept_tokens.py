"""Training rows are tokenised once per rows, tokenizer and template, and never read when any of them changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from budgetctl.models.encoding import Encoder
from budgetctl.models.templates import Template
from budgetctl.stages.pft import PftIdentity, PftStage
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.training import tokens
from budgetctl.training.config import LoraSettings, PftSettings, SftSettings
from store import Payload, Store

TINY = Template.named("tiny")
SMALL = LoraSettings(rank=4)


@pytest.fixture(autouse=True)
def keep_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "WORTH_KEEPING", 1)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the rows that are tokenised from now on."""
    seen: list[str] = []
    for name in ("conversation", "prompt"):
        original = getattr(Encoder, name)

        def counted(self: Encoder, messages: Any, origin: str = "row", original: Any = original) -> Any:
            seen.append(origin)
            return original(self, messages, origin)

        monkeypatch.setattr(Encoder, name, counted)
    return seen


def sft(base: str, data: str, seed: int = 0, template: Template = TINY, **settings: Any) -> SftStage:
    chosen = SftSettings(lora=SMALL, epochs=1, **settings)
    return SftStage(SftIdentity(template=template, settings=chosen, seed=seed), base, data)


def kept(store: Store) -> list[Any]:
    return [artifact for artifact in store.artifacts() if artifact.stage == "tokens"]


def test_a_sweep_tokenises_its_rows_once(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store,
    rendered: list[str],
) -> None:  # fmt: skip
    data = publish_rows("sft.parquet")
    first = run_stage(sft(base_key, data)).artifact
    assert len(rendered) == 24
    again = run_stage(sft(base_key, data, seed=1)).artifact
    run_stage(sft(base_key, data, loss="full"))
    run_stage(sft(base_key, data, max_length=100))
    assert len(rendered) == 24
    assert again.metrics["first_loss"] != first.metrics["first_loss"]
    (one,) = kept(stage_store)
    assert one.parents == {"base": base_key}


def test_what_is_read_is_what_would_be_made(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store
) -> None:
    data = publish_rows("sft.parquet")
    made = run_stage(sft(base_key, data)).artifact
    run_stage(sft(base_key, data, seed=5))
    stage_store.quarantine(made.key, "to train it again, from kept tokens")
    again = run_stage(sft(base_key, data)).artifact
    assert again.files["adapter_model.safetensors"].hash == made.files["adapter_model.safetensors"].hash


def test_equal_rows_of_two_artifacts_share_their_tokens(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store,
    sum_data: Path, rendered: list[str],
) -> None:  # fmt: skip
    run_stage(sft(base_key, publish_rows("sft.parquet")))
    draft = stage_store.draft(other := Payload("data", 1, {"made": "otherwise"}, {}))
    shutil.copyfile(sum_data / "sft.parquet", draft.files / "sft.parquet")
    draft.publish({}, {})
    run_stage(sft(base_key, other.key))
    assert len(rendered) == 24


def test_other_rows_and_another_template_are_tokenised(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store,
    sum_data: Path, rendered: list[str],
) -> None:  # fmt: skip
    run_stage(sft(base_key, publish_rows("sft.parquet")))
    draft = stage_store.draft(fewer := Payload("data", 1, {"made": "shorter"}, {}))
    pq.write_table(pq.read_table(sum_data / "sft.parquet").slice(1), draft.files / "sft.parquet")
    draft.publish({}, {})
    run_stage(sft(base_key, fewer.key))
    assert len(rendered) == 24 + 23
    renamed = TINY.model_copy(update={"name": "tiny-2"})
    run_stage(sft(base_key, fewer.key, template=renamed))
    assert len(rendered) == 24 + 23 + 23
    assert len(kept(stage_store)) == 3


def test_another_version_of_the_tokenizers_tokenises_anew(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
    rendered: list[str],
) -> None:  # fmt: skip
    data = publish_rows("sft.parquet")
    run_stage(sft(base_key, data))
    monkeypatch.setattr("budgetctl.stages.kept_tokens.libraries", lambda: {"tokenizers": "99"})
    run_stage(sft(base_key, data, seed=1))
    assert len(rendered) == 48


def test_damaged_tokens_are_set_aside_and_made_again(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store,
    rendered: list[str],
) -> None:  # fmt: skip
    data = publish_rows("sft.parquet")
    first = run_stage(sft(base_key, data)).artifact
    (one,) = kept(stage_store)
    file = one.path(tokens.FILE_NAME)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(bytes(content))
    run_stage(sft(base_key, data, seed=1))
    assert len(rendered) == 48
    assert Store.open(stage_store.root).artifact(kept(stage_store)[0].key, deep=True).key == one.key
    assert first.metrics["rows"] == 24


@pytest.mark.parametrize(("method", "file", "rows"), [
    ("dpo", "pref.parquet", 24), ("kto", "unpaired.parquet", 24), ("kto", "pref.parquet", 24),
])  # fmt: skip
def test_pairs_and_single_answers_are_kept_too(
    method: str, file: str, rows: int, run_stage: Callable[..., Any], base_key: str,
    publish_rows: Callable[..., str], stage_store: Store, rendered: list[str],
) -> None:  # fmt: skip
    data = publish_rows(file)
    losses = []
    for seed in (0, 0, 1):
        settings = PftSettings(method=method, lora=SMALL, epochs=1)
        stage = PftStage(PftIdentity(template=TINY, settings=settings, seed=seed), base=base_key, data=data)
        artifact = run_stage(stage).artifact
        losses.append(artifact.metrics["last_loss"])
        if len(losses) == 1:
            stage_store.quarantine(artifact.key, "to train it again, from kept tokens")
    assert len(rendered) == rows
    assert losses[0] == losses[1]
    assert len(kept(stage_store)) == 1


def test_few_rows_are_not_worth_an_artifact(
    run_stage: Callable[..., Any], base_key: str, publish_rows: Callable[..., str], stage_store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(tokens, "WORTH_KEEPING", 25)
    run_stage(sft(base_key, publish_rows("sft.parquet")))
    assert kept(stage_store) == []
