"""Why a key is not the one you had: the fields that differ, followed up through the parents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from store.core import Store
from store.errors import StoreError
from store.payload import Payload

Lookup = Callable[[str], Payload | None]
"""Gives the payload of a key, or None if nobody knows it."""

_ABSENT = "(absent)"
_CANDIDATES = 20
"""Artifacts that look nearest by their own fields and are then compared with all their ancestors."""


@dataclass(frozen=True)
class Difference:
    """One field in which two artifacts, or two of their ancestors, differ.

    Attributes:
        place: Where: the way up by roles and then the field, such as `data.identity.seed`.
        left, right: The two values; `(absent)` where there is none.
    """

    place: str
    left: Any
    right: Any


@dataclass(frozen=True)
class Explanation:
    """The nearest artifact (None if the store has none of that stage) and what is different about it."""

    nearest: str | None
    differences: tuple[Difference, ...]


def diff(left: Payload, right: Payload, lookup: Lookup) -> tuple[Difference, ...]:
    """All fields that differ. A parent whose payload is unknown is compared by its key only."""
    seen: set[tuple[str, str]] = set()
    return tuple(_diff(left, right, lookup, "", seen))


def why(payload: Payload, candidates: Iterable[Payload], lookup: Lookup) -> Explanation:
    """Find the artifact that is nearest to `payload` and say how it differs (left is `payload`).

    Args:
        payload: What is missing from the store.
        candidates: Payloads of published artifacts.
        lookup: Payloads of ancestors, planned ones included.
    """
    own = flatten(payload.document())
    ranked = sorted(
        (candidate for candidate in candidates if candidate.stage == payload.stage),
        key=lambda candidate: (_count(own, flatten(candidate.document())), candidate.key),
    )
    compared = [(candidate, diff(payload, candidate, lookup)) for candidate in ranked[:_CANDIDATES]]
    if not compared:
        return Explanation(None, ())
    nearest, differences = min(compared, key=lambda pair: (len(pair[1]), pair[0].key))
    return Explanation(nearest.key, differences)


class Explainer:
    """Answers both questions for one store; keeps what it read.

    Args:
        store: Where the artifacts are.
        planned: Payloads by key of what is planned and not published, so that their differences can be named too.
    """

    def __init__(self, store: Store, planned: Mapping[str, Payload] | None = None) -> None:
        self._store = store
        self._known: dict[str, Payload | None] = dict(planned or {})
        self._by_stage: dict[str, list[Payload]] | None = None

    def lookup(self, key: str) -> Payload | None:
        """The payload of a published or planned key, or None."""
        if key not in self._known:
            try:
                self._known[key] = self._store.artifact(key).manifest.payload
            except StoreError:
                self._known[key] = None
        return self._known[key]

    def diff(self, left: str, right: str) -> tuple[Difference, ...]:
        """How two published artifacts came to be different.

        Raises:
            MissingArtifact, CorruptArtifact: One of them cannot be opened.
        """
        ours, theirs = (self._store.artifact(key).manifest.payload for key in (left, right))
        return diff(ours, theirs, self.lookup)

    def why(self, payload: Payload) -> Explanation:
        """Why `payload` is not in the store: the nearest artifact of its stage, and the fields that differ."""
        if self._by_stage is None:
            self._by_stage = _payloads_by_stage(self._store)
        return why(payload, self._by_stage.get(payload.stage, []), self.lookup)


def _payloads_by_stage(store: Store) -> dict[str, list[Payload]]:
    with store.index().reading() as ask:
        links = ask("SELECT key, role, parent FROM parents").rows
        rows = ask("SELECT key, stage, revision, schema, identity FROM artifacts").rows
    parents: dict[str, dict[str, str]] = {}
    for key, role, parent in links:
        parents.setdefault(key, {})[role] = parent
    found: dict[str, list[Payload]] = {}
    for key, stage, revision, schema, identity in rows:
        payload = Payload(stage, revision, json.loads(identity), parents.get(key, {}), schema)
        found.setdefault(stage, []).append(payload)
    return found


def flatten(value: Any, place: str = "") -> dict[str, Any]:
    """Leaves of nested objects by dotted path; lists are leaves."""
    if isinstance(value, Mapping) and value:
        return {
            path: leaf
            for name, item in value.items()
            for path, leaf in flatten(item, f"{place}.{name}" if place else str(name)).items()
        }
    return {place: value}


def _diff(
    left: Payload, right: Payload, lookup: Lookup, way: str, seen: set[tuple[str, str]]
) -> Iterator[Difference]:
    if left.key == right.key or (left.key, right.key) in seen:
        return
    seen.add((left.key, right.key))
    ours = flatten({**left.document(), "parents": {}})
    theirs = flatten({**right.document(), "parents": {}})
    for place in sorted(ours.keys() | theirs.keys()):
        if ours.get(place, _ABSENT) != theirs.get(place, _ABSENT):
            yield Difference(way + place, ours.get(place, _ABSENT), theirs.get(place, _ABSENT))
    for role in sorted(left.parents.keys() | right.parents.keys()):
        mine, other = left.parents.get(role, _ABSENT), right.parents.get(role, _ABSENT)
        if mine == other:
            continue
        mine_known, other_known = lookup(mine), lookup(other)
        if mine_known and other_known and mine_known.stage == other_known.stage:
            yield from _diff(mine_known, other_known, lookup, f"{way}{role}.", seen)
        else:
            yield Difference(f"{way}parents.{role}", _name(mine, mine_known), _name(other, other_known))


def _name(key: str, payload: Payload | None) -> str:
    return f"{payload.stage} {key[:12]}" if payload else key[:12]


def _count(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> int:
    return sum(
        ours.get(place, _ABSENT) != theirs.get(place, _ABSENT) for place in ours.keys() | theirs.keys()
    )
