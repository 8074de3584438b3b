"""A store with the small base and the sums as artifacts, and a way to run stages in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from budgetctl.console import SilentReporter
from budgetctl.models.folders import IGNORED_ENTRIES
from budgetctl.stages.base import BaseIdentity, BaseStage, FolderSource
from budgetctl.stages.execute import Outcome, execute
from budgetctl.stages.stage import Execution
from store import Payload, Store


@pytest.fixture
def stage_store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def run_stage(stage_store: Store) -> Callable[..., Outcome]:
    def run(stage: Any, **options: Any) -> Outcome:
        execution = Execution(threads=1, device="cpu", **options.pop("execution", {}))
        return execute(stage, stage_store, execution, SilentReporter(), **options)

    return run


@pytest.fixture
def base_key(stage_store: Store, run_stage: Callable[..., Outcome], small_base: Path) -> str:
    content = stage_store.hash_path(small_base, IGNORED_ENTRIES)
    stage = BaseStage(BaseIdentity(source=FolderSource(content=content)))
    return run_stage(stage, execution={"sources": {content: small_base}}).artifact.key


@pytest.fixture
def publish_rows(stage_store: Store, sum_data: Path) -> Callable[..., str]:
    """Publish files of the sums as a data artifact."""

    def publish(*names: str) -> str:
        payload = Payload(stage="data", revision=1, identity={"files": list(names)}, parents={})
        if not stage_store.has(payload.key):
            draft = stage_store.draft(payload)
            for name in names:
                shutil.copyfile(sum_data / name, draft.files / name)
            draft.publish({}, {})
        return payload.key

    return publish
