"""What a result depends on, and the key that follows from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from blake3 import blake3

from store.canonical import encode
from store.errors import UsageError

KEY_SCHEMA = 1
"""Version of the key recipe. A change here needs a golden line of its own and `store.migrate`."""

KEY_PATTERN = re.compile(r"[0-9a-f]{64}")
_NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DOMAIN = b"budgetctl artifact key\x00"


@dataclass(frozen=True)
class Payload:
    """The whole identity of one stage's result.

    Attributes:
        stage: Kind of work, for instance `sft`; lower case letters, digits and `_`.
        revision: The stage's own revision; bumped when its code gives other results for the same identity.
        identity: Everything else that the result depends on, as plain JSON values.
        parents: Role to key of the artifact that plays it, for instance `{"base": "…", "data": "…"}`.
        schema: Version of the key recipe.
    """

    stage: str
    revision: int
    identity: Mapping[str, Any] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    schema: int = KEY_SCHEMA

    def __post_init__(self) -> None:
        if type(self.stage) is not str or not _NAME_PATTERN.fullmatch(self.stage):
            raise UsageError(f"stage is {self.stage!r}: use lower case letters, digits and _")
        for name in ("revision", "schema"):
            number = getattr(self, name)
            if type(number) is not int or number < 0:
                raise UsageError(f"{name} of stage {self.stage} is {number!r}: use a whole number from 0 on")
        for role, key in self.parents.items():
            if type(key) is not str or not KEY_PATTERN.fullmatch(key):
                raise UsageError(f"parent {role!r} of stage {self.stage} is {key!r}: pass its 64-digit key")

    @cached_property
    def key(self) -> str:
        """64 hex digits: BLAKE3 of a domain tag and the canonical JSON."""
        return blake3(_DOMAIN + self.canonical_json()).hexdigest()

    def canonical_json(self) -> bytes:
        """The exact bytes that are hashed (after a domain tag).

        Raises:
            UnencodableValue: An identity field has no canonical form; the message names it.
        """
        return encode(self.document(), root=self.stage)

    def document(self) -> dict[str, Any]:
        """The payload as a plain object, as manifests store it."""
        return {
            "schema": self.schema,
            "stage": self.stage,
            "revision": self.revision,
            "identity": self.identity,
            "parents": self.parents,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Payload:
        """Read back what `document` wrote.

        Raises:
            UsageError: Fields are missing, unknown or of the wrong kind.
        """
        expected = {"schema", "stage", "revision", "identity", "parents"}
        if not isinstance(document, dict) or set(document) != expected:
            raise UsageError(f"a payload has exactly the fields {', '.join(sorted(expected))}")
        if not isinstance(document["identity"], dict) or not isinstance(document["parents"], dict):
            raise UsageError("identity and parents of a payload are objects")
        return cls(**document)

    @classmethod
    def from_json(cls, text: bytes | str) -> Payload:
        """Read back `canonical_json`."""
        return cls.from_document(json.loads(text))
