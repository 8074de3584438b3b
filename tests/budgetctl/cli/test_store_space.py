"""What stays and what goes, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from budgetctl.__main__ import run
from store import Payload, Store


def test_a_forgotten_plan_gives_its_artifacts_to_collection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    kept, loose = (store.draft(Payload("sft", 1, {"n": n})).publish({}, {}).key for n in range(2))
    plans = {
        key: store.save_plan({"name": f"study-{key[:4]}", "cells": [{"result": key}]})
        for key in (kept, loose)
    }
    where = ["--store", str(store.root)]

    assert run(["store", "plans", *where]) == 0
    listed = capsys.readouterr().out
    assert all(
        f"{identifier[:12]}  plan  study-{key[:4]}  1 cells" in listed for key, identifier in plans.items()
    )
    assert run(["store", "forget", plans[loose][:12], *where]) == 0
    assert run(["store", "gc", "--grace", "0", *where]) == 0
    assert list(store.keys()) == [kept]
    assert run(["store", "forget", plans[loose], *where]) == 3
    assert "no plan has an id" in capsys.readouterr().err


def test_demote_lets_states_and_sampled_answers_go_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    draft = store.draft(Payload("trunk", 1, {"n": 1}))
    for name in (
        "adapter_model.safetensors",
        "at/8/adapter_model.safetensors",
        "at/8/state/moments.safetensors",
    ):
        (draft.files / name).parent.mkdir(parents=True, exist_ok=True)
        (draft.files / name).write_text(name)
    trunk = draft.publish({}, {}).key
    where = ["--store", str(store.root)]
    folder = store.layout.artifact(trunk) / "files"

    assert run(["store", "demote", trunk, "--dry-run", *where]) == 0
    assert (folder / "at/8/state/moments.safetensors").exists()
    assert run(["store", "demote", trunk, *where]) == 0
    assert not (folder / "at/8/state/moments.safetensors").exists()
    assert (folder / "adapter_model.safetensors").exists()
    assert (folder / "at/8/adapter_model.safetensors").exists()
    assert store.artifact(trunk).stage == "trunk", "the record stays"
