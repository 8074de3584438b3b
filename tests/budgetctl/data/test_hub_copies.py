"""Copies in a hub's place: frozen split by split, and what is said when one has changed."""

from __future__ import annotations

import json

import pytest

from budgetctl.console import SilentReporter
from budgetctl.data.hub_fetch import FrozenRevisions
from budgetctl.data.requests import preference_data, sft_data, supply_of
from budgetctl.data.sources import HubDataset
from budgetctl.errors import UsageError
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution
from store import Store

COMMIT = "a" * 40


def dataset(**changes):
    return HubDataset.model_validate(
        {"repository": "o/n", "columns": {"prompt": "q", "answer": "a"}, **changes}
    )


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "n" / "train.jsonl", {"q": "x", "a": "y"})
    return tmp_path / "n"


@pytest.fixture
def revisions(tmp_path):
    return FrozenRevisions(tmp_path / "store")


def test_a_copy_that_changed_under_the_same_name_is_refused(folder, revisions, tmp_path):
    first = revisions.freeze_copy(dataset(), folder)
    assert set(first) == {"o/n train"}
    (folder / "train.jsonl").rename(folder / "train-00000-of-00001.jsonl")
    (folder / "README.md").write_text("A card is no row.")
    assert FrozenRevisions(tmp_path / "store").freeze_copy(dataset(), folder) == first
    write(folder / "train-00000-of-00001.jsonl", {"q": "x", "a": "z"})
    with pytest.raises(
        UsageError,
        match=r"n has changed: the content of its split 'train' is .* as o/n at main.*refresh TASK.*refresh --grid",
    ):
        revisions.freeze_copy(dataset(), folder)
    moved = dataset(epoch=revisions.refresh("o/n", "main"))
    assert revisions.freeze_copy(moved, folder) != first


def test_a_changed_copy_of_a_commit_is_not_told_to_refresh(folder, revisions):
    pinned = dataset(revision=COMMIT)
    revisions.freeze_copy(pinned, folder)
    write(folder / "train.jsonl", {"q": "x", "a": "z"})
    with pytest.raises(UsageError, match=r"Bring the old files back; a commit never changes") as caught:
        revisions.freeze_copy(pinned, folder)
    assert "refresh" not in str(caught.value)


def test_configurations_and_splits_are_frozen_one_by_one(folder, revisions):
    write(folder / "c" / "test.jsonl", {"q": "t", "a": "y"})
    both = {"train": "train", "test": "test"}
    assert set(revisions.freeze_copy(dataset(splits={"train": "train"}), folder)) == {"o/n train"}
    assert set(revisions.freeze_copy(dataset(splits=both), folder)) == {"o/n train", "o/n test"}
    assert set(revisions.freeze_copy(dataset(splits={"test": "test"}, folder="c"), folder)) == {"o/n c/test"}
    write(folder / "train.jsonl", {"q": "x", "a": "z"})
    with pytest.raises(UsageError, match="split 'train'"):
        revisions.freeze_copy(dataset(splits=both), folder)


def test_two_sides_may_read_different_splits_of_one_dataset(tmp_path):
    hub = tmp_path / "hub"
    texts = [f"question {n}" for n in range(8)]
    write(hub / "feedback" / "train_sft.jsonl", *({"q": text, "a": "yes"} for text in texts))
    write(hub / "feedback" / "train_prefs.jsonl", *({"q": text, "c": "yes", "r": "no"} for text in texts))
    write(hub / "feedback" / "test_sft.jsonl", {"q": "another", "a": "1"})
    own = {"hub": "o/feedback"}
    options = {
        "sft": {**own, "splits": {"train": "train_sft"}, "columns": {"prompt": "q", "answer": "a"}},
        "pref": {
            **own,
            "splits": {"train": "train_prefs"},
            "columns": {"prompt": "q", "chosen": "c", "rejected": "r"},
        },
        "eval": {**own, "splits": {"test": "test_sft"}, "columns": {"prompt": "q", "reference": "a"}},
    }
    supply = supply_of("gsm8k", hub, options)
    store = Store.open(tmp_path / "store", create=True)
    execution = Execution(sources=supply.located)
    pairs = preference_data(supply, 4, 0, n_sft=4)
    for stage, split in ((sft_data(supply, 4, 0), "train_sft"), (pairs, "train_prefs")):
        made = execute(stage, store, execution, SilentReporter()).artifact
        card = json.loads(made.path("card.json").read_text())
        assert {f"o/feedback {split}", "o/feedback test_sft"} <= set(card["contents"])
