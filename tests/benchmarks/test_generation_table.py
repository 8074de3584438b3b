"""The table of the GPU's generation benchmark has a row for every process that was measured."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_plain_processes_alone(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    from generation_table import table  # noqa: PLC0415

    one = {"wall_s": 74.6, "import_s": 10.0, "start_s": 43.2, "generate_s": 14.8, "tokens": 164865}
    plain = {"gsm8k": [one, one], "ifeval": [], "phase_s": 391.0}
    _, _, *rows = table({"plain": plain})
    assert [row.split(" | ")[1] for row in rows] == ["74.6 s, 53.2 s, 14.8 s |"] * 2
