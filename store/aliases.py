"""Other names for published keys, so that a new key recipe does not orphan old artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from store.artifact import Artifact
from store.errors import StoreError
from store.files import write_atomic
from store.layout import Layout
from store.payload import KEY_PATTERN, Payload


def read_alias(layout: Layout, key: str) -> str:
    """The key that `key` is another name for, or empty."""
    try:
        old = layout.alias(key).read_text()
    except FileNotFoundError:
        return ""
    return old if KEY_PATTERN.fullmatch(old) else ""


def write_alias(layout: Layout, new: str, old: str) -> None:
    """Let the key `new` find what was published as `old`.

    Raises:
        StoreError: `new` is already another name for something else.
    """
    known = read_alias(layout, new)
    if known not in {"", old}:
        raise StoreError(f"{new[:12]} is already an alias of {known[:12]}, not of {old[:12]}")
    if not known:
        write_atomic(layout.alias(new), old.encode())


def migrate(
    layout: Layout, artifacts: Iterable[Artifact], rekey: Callable[[Payload], Payload]
) -> dict[str, str]:
    """Give every artifact the key that a new recipe would give it, as an alias; nothing is moved or rewritten.

    Args:
        layout: The store.
        artifacts: All artifacts.
        rekey: Turns an old payload into what the new recipe writes for it. Parents are translated before.

    Returns:
        New key of each old key that changed.
    """
    waiting = {artifact.key: artifact.manifest.payload for artifact in artifacts}
    renamed: dict[str, str] = {}

    def translate(key: str) -> str:
        if key in waiting and key not in renamed:
            old = waiting[key]
            parents = {role: translate(parent) for role, parent in old.parents.items()}
            renamed[key] = rekey(Payload(old.stage, old.revision, old.identity, parents, old.schema)).key
        return renamed.get(key, key)

    changed = {key: translate(key) for key in waiting if translate(key) != key}
    for old_key, new_key in changed.items():
        write_alias(layout, new_key, old_key)
    return changed
