from __future__ import annotations

from pathlib import Path

import pytest

from budgetctl.console import SilentReporter
from budgetctl.data.requests import sft_data, supply_of
from budgetctl.errors import MissingParentError
from budgetctl.models.templates import Template
from budgetctl.stages.execute import execute, open_parents
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import Execution
from store import Store
from store.errors import CorruptArtifact


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def trained_on(data: str) -> SftStage:
    return SftStage(SftIdentity(template=Template.named("tiny")), base=data, data=data)


def test_a_second_call_finds_what_the_first_made(store: Store) -> None:
    stage = sft_data(supply_of("arith"), 4, 0)
    first = execute(stage, store, Execution(), SilentReporter())
    second = execute(stage, store, Execution(), SilentReporter())
    assert (first.hit, second.hit) == (False, True)
    assert first.artifact.key == second.artifact.key
    assert [attempt.outcome for attempt in store.attempts(first.artifact.key)] == ["published"]


def test_a_missing_parent_is_named(store: Store) -> None:
    with pytest.raises(MissingParentError, match="sft needs its base aaaaaaaaaaaa"):
        execute(trained_on("a" * 64), store, Execution(), SilentReporter())


def test_a_parent_with_a_flipped_bit_is_never_handed_to_a_stage(store: Store) -> None:
    data = execute(sft_data(supply_of("arith"), 4, 0), store, Execution(), SilentReporter()).artifact
    rows = data.path("sft.parquet")
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.chmod(0o644)
    rows.write_bytes(content)
    with pytest.raises(CorruptArtifact, match=r"sft\.parquet"):
        open_parents(Store.open(store.root), trained_on(data.key))
