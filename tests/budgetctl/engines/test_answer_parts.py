"""Finished answers on disk: whole or not at all, and a damaged part counts as never written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from budgetctl.engines.parts import AnswerParts
from budgetctl.engines.protocol import Answer


def add(parts: AnswerParts, *names: str) -> None:
    parts.add(
        [Answer(name, 0, (5, 2), "stop", -1.0) for name in names], [f"text of {name}" for name in names]
    )


def test_parts_are_read_back_and_written_in_order(tmp_path: Path) -> None:
    add(AnswerParts(tmp_path), "b", "a")
    parts = AnswerParts(tmp_path)
    add(parts, "c")
    assert parts.done() == {("a", 0), ("b", 0), ("c", 0)}
    assert parts.damaged == ()
    records = parts.write(tmp_path / "all.parquet", ["a", "b", "c"])
    assert [record["text"] for record in records] == ["text of a", "text of b", "text of c"]


@pytest.mark.parametrize("left", [0, 20, -9], ids=["emptied", "head", "without its end"])
def test_a_damaged_part_is_removed_and_its_answers_are_missing(tmp_path: Path, left: int) -> None:
    parts = AnswerParts(tmp_path)
    for name in "abc":
        add(parts, name)
    part = tmp_path / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:left])
    again = AnswerParts(tmp_path)
    assert again.damaged == ("part-000001.parquet",)
    assert again.done() == {("a", 0), ("c", 0)}
    add(again, "b")  # beside the last part, not over it
    assert AnswerParts(tmp_path).done() == {("a", 0), ("b", 0), ("c", 0)}


def test_a_part_reaches_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        steps.append(f"rename to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    add(AnswerParts(tmp_path), "a")
    name = "part-000000"
    assert steps == [f"sync {name}.unfinished", f"rename to {name}.parquet", f"sync {tmp_path.name}"]
