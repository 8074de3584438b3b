"""Which files of a hub dataset's folder hold a split, and what is said where that is unclear."""

from __future__ import annotations

import pytest

from budgetctl.data.sources.hub_layout import split_files
from budgetctl.errors import UsageError


@pytest.fixture
def files(tmp_path):
    """Find a split among files of the given names and contents."""

    def find(stem="train", **contents):
        for name, content in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return [path.relative_to(tmp_path).as_posix() for path in split_files(tmp_path, stem, "o/n")]

    return find


PARTS = {f"data/train-0000{n}-of-00002.parquet": str(n) for n in (1, 0)}


def test_parts_come_in_order_and_nothing_else(files):
    found = files(
        **PARTS, **{"test.jsonl": "t", "train.md": "no rows", "data/train_sft.parquet": "another split"}
    )
    assert found == ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert files("test") == ["test.jsonl"]
    assert files("train_sft") == ["data/train_sft.parquet"]
    assert files("dev") == []


def test_a_missing_part_is_named(files):
    with pytest.raises(
        UsageError, match=r"has train-00000-of-00003\.jsonl but no train-00001-of-00003\.jsonl"
    ):
        files(**{"train-00000-of-00003.jsonl": "0", "train-00002-of-00003.jsonl": "2"})


def test_configurations_that_differ_must_be_told_apart(files):
    with pytest.raises(
        UsageError,
        match=r"o/n has several configurations with a split 'train', in main, socratic; .*`folder: NAME`",
    ):
        files(**{"main/train.jsonl": "1", "socratic/train.jsonl": "2"})


def test_configurations_with_the_same_files_of_a_split_are_one(files):
    assert files(**{"main/train.jsonl": "1", "other/train.jsonl": "1"}) == ["main/train.jsonl"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        split_files(tmp_path / "nowhere", "train", "o/n")
