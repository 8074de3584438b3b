# ruff: noqa: N818  (these names are read in sentences: "raise MissingArtifact")
"""Everything the store refuses to do, each with the exit code a command should end with."""

from __future__ import annotations

from typing import ClassVar


class StoreError(Exception):
    """Base of the store's errors: a sentence saying what, which value, and what to do."""

    exit_code: ClassVar[int] = 1


class UsageError(StoreError):
    """The caller asked for something that cannot be meant."""

    exit_code: ClassVar[int] = 2


class UnencodableValue(UsageError):
    """An identity field holds a value that has no canonical form."""


class AmbiguousKey(UsageError):
    """A key prefix fits more than one artifact."""


class KeyNotFound(StoreError):
    """No artifact, or no plan, has a key that starts so."""

    exit_code: ClassVar[int] = 3


class MissingArtifact(StoreError):
    """An artifact, or a file that was dropped from it, is needed and not here."""

    exit_code: ClassVar[int] = 3


class LeasedElsewhere(StoreError):
    """Somebody else works on this key."""

    exit_code: ClassVar[int] = 4


class LeaseLost(StoreError):
    """This process held a lease and another one took it over."""

    exit_code: ClassVar[int] = 4


class CorruptArtifact(StoreError):
    """The bytes on disk are not those the manifest promises, or the manifest itself is broken."""

    exit_code: ClassVar[int] = 5


class NewerStore(StoreError):
    """A later version of the program wrote this store."""


class NoSpace(StoreError):
    """The disk or the quota is full."""


class ReadOnlyStore(StoreError):
    """The store cannot be written by this process."""


class IndexBusy(StoreError):
    """Another process holds the index for longer than we were willing to wait."""


class RemoteError(StoreError):
    """A remote could not be reached, read or written."""
