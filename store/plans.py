"""Stored plans and pins: what the user cares about, and so the roots that collection starts from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from blake3 import blake3

from store.canonical import encode
from store.errors import AmbiguousKey, KeyNotFound, UsageError
from store.files import disk_errors, to_json, write_atomic
from store.layout import Layout
from store.payload import KEY_PATTERN

_PIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Plans:
    """The plans and pins of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def save(self, document: Mapping[str, Any]) -> str:
        """Store a plan; equal documents get one id.

        Raises:
            UnencodableValue: The document is not plain JSON.
        """
        identifier = blake3(b"budgetctl plan\x00" + encode(document, root="plan")).hexdigest()
        with disk_errors(self._layout.root):
            if not self._layout.plan(identifier).exists():
                write_atomic(self._layout.plan(identifier), to_json(document, indent=None))
        return identifier

    def load(self, prefix: str) -> dict[str, Any]:
        """Read a plan by its id or the beginning of it.

        Raises:
            KeyNotFound, AmbiguousKey: No plan, or more than one, fits.
        """
        document: dict[str, Any] = json.loads(self._layout.plan(self.resolve(prefix)).read_bytes())
        return document

    def resolve(self, prefix: str) -> str:
        """Complete the beginning of a plan's id."""
        found = [identifier for identifier in self.identifiers() if prefix and identifier.startswith(prefix)]
        if not found:
            raise KeyNotFound(f"no plan has an id that starts with {prefix!r}")
        if len(found) > 1:
            raise AmbiguousKey(f"{prefix!r} fits {len(found)} plans: give more digits")
        return found[0]

    def identifiers(self) -> list[str]:
        """Ids of all stored plans, sorted."""
        folder = self._layout.root / "plans"
        return sorted(path.stem for path in folder.glob("*.json") if KEY_PATTERN.fullmatch(path.stem))

    def forget(self, identifier: str) -> None:
        """Remove a plan; what only it wanted becomes collectable."""
        self._layout.plan(self.resolve(identifier)).unlink(missing_ok=True)

    def pin(self, name: str, keys: Iterable[str]) -> None:
        """Keep artifacts, and all they come from, under a name; an existing pin of that name is replaced.

        Raises:
            UsageError: The name or a key is malformed.
        """
        if not _PIN_NAME.fullmatch(name):
            raise UsageError(f"a pin's name is made of letters, digits, '.', '_' and '-', not {name!r}")
        wanted = sorted(set(keys))
        for key in wanted:
            if not KEY_PATTERN.fullmatch(key):
                raise UsageError(f"pin {name}: {key!r} is not a 64-digit key")
        with disk_errors(self._layout.root):
            write_atomic(self._layout.pin(name), to_json({"keys": wanted}))

    def unpin(self, name: str) -> None:
        """Remove a pin.

        Raises:
            KeyNotFound: There is none of that name.
        """
        if not self._layout.pin(name).exists():
            raise KeyNotFound(f"there is no pin {name!r}; there are: {', '.join(self.pins()) or 'none'}")
        self._layout.pin(name).unlink(missing_ok=True)

    def pins(self) -> dict[str, list[str]]:
        """Keys of every pin by its name."""
        folder = self._layout.root / "pins"
        return {
            path.stem: json.loads(path.read_bytes())["keys"] for path in sorted(folder.glob("[!.]*.json"))
        }

    def roots(self) -> set[str]:
        """Every key that a plan mentions anywhere, and every pinned key."""
        keys = {key for pinned in self.pins().values() for key in pinned}
        for identifier in self.identifiers():
            keys.update(_keys_in(self.load(identifier)))
        return keys


def _keys_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if KEY_PATTERN.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _keys_in(name)
            yield from _keys_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys_in(item)
