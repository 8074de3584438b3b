"""Why a key is not the one you had."""

from __future__ import annotations

import pytest
from storekit import Publish

from store import Payload, Store
from store.errors import MissingArtifact
from store.explain import Difference, Explainer


def made(store: Store, payload: Payload) -> str:
    return store.draft(payload).publish({}, {}).key


def test_differences_are_named_up_to_the_first_cause(store: Store) -> None:
    keys = {}
    for seed in (1, 2):
        data = made(store, Payload("data", 1, {"seed": seed, "split": {"name": "train", "size": 5}}))
        sft = made(store, Payload("sft", 1, {"lr": 1e-4}, {"data": data}))
        keys[seed] = made(store, Payload("gen", 1, {"temperature": 0.0}, {"policy": sft, "data": data}))
    differences = Explainer(store).diff(keys[1], keys[2])
    assert differences == (Difference("data.identity.seed", 1, 2),), (
        "named once, though it is reached on two ways"
    )
    assert Explainer(store).diff(keys[1], keys[1]) == ()


def test_added_removed_and_changed_fields_and_parents(store: Store) -> None:
    base, data = made(store, Payload("base", 1, {})), made(store, Payload("data", 1, {}))
    left = made(store, Payload("sft", 1, {"lr": 1, "old": None, "list": [1, 2]}, {"base": base}))
    right = made(
        store,
        Payload("sft", 2, {"lr": 1.0, "list": [1, 3], "new": {"deep": True}}, {"base": data, "more": data}),
    )
    found = {
        difference.place: (difference.left, difference.right)
        for difference in Explainer(store).diff(left, right)
    }
    assert found == {
        "revision": (1, 2),
        "identity.list": ([1, 2], [1, 3]),
        "identity.new.deep": ("(absent)", True),
        "identity.old": (None, "(absent)"),
        "parents.base": (f"base {base[:12]}", f"data {data[:12]}"),
        "parents.more": ("(absent)", f"data {data[:12]}"),
    }


def test_why_finds_the_nearest_and_looks_through_planned_parents(store: Store) -> None:
    published = []
    for size in (100, 200):
        data = made(store, Payload("data", 1, {"size": size, "seed": 0}))
        published.append(made(store, Payload("sft", 1, {"lr": 1e-4, "epochs": 1}, {"data": data})))
    planned_data = Payload("data", 1, {"size": 200, "seed": 7})
    wanted = Payload("sft", 1, {"lr": 1e-4, "epochs": 1}, {"data": planned_data.key})
    explanation = Explainer(store, {planned_data.key: planned_data}).why(wanted)
    assert explanation.nearest == published[1]
    assert explanation.differences == (Difference("data.identity.seed", 7, 0),)


def test_why_without_any_artifact_of_the_stage(store: Store, publish: Publish) -> None:
    publish(1)
    assert Explainer(store).why(Payload("eval", 1, {})).nearest is None


def test_diff_of_what_is_not_there_is_an_error(store: Store, publish: Publish) -> None:
    with pytest.raises(MissingArtifact):
        Explainer(store).diff(publish(1).key, "f" * 64)
