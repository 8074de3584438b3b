"""A content-addressed store: keys, artifacts, drafts, leases, collection, remotes and an index.

It knows nothing of models. Importing it loads neither DuckDB nor Arrow nor fsspec.
"""

from store.artifact import Artifact
from store.attempt import Attempt, AttemptRecord
from store.core import Store
from store.draft import Draft
from store.hashing import hash_file
from store.lease import Lease, LeasePace, LeaseRecord
from store.manifest import FileEntry
from store.payload import KEY_SCHEMA, Payload

__all__ = [
    "KEY_SCHEMA",
    "Artifact",
    "Attempt",
    "AttemptRecord",
    "Draft",
    "FileEntry",
    "Lease",
    "LeasePace",
    "LeaseRecord",
    "Payload",
    "Store",
    "hash_file",
]
