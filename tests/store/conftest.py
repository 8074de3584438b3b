"""A store in a temporary folder, and the shortest way to fill it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from storekit import QUICK, Publish

from store import Artifact, Payload, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True, pace=QUICK)


@pytest.fixture
def publish(store: Store) -> Publish:
    """Publish files given as name to bytes, under a payload told apart by `number`."""

    def make(
        number: int = 0,
        files: Mapping[str, bytes] | None = None,
        parents: Mapping[str, str] | None = None,
        stage: str = "sft",
        metrics: Mapping[str, Any] | None = None,
        into: Store = store,
    ) -> Artifact:
        draft = into.draft(Payload(stage, 1, {"number": number}, parents or {}))
        for name, content in ({"weights.bin": b"%d" % number} if files is None else files).items():
            target = draft.files / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return draft.publish(metrics or {"loss": number / 2}, {"made": "by a test"})

    return make
