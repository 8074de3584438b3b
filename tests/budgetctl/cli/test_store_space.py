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
