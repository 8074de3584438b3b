"""A place for what is broken: out of everybody's way, never deleted by itself."""

from __future__ import annotations

import logging
from pathlib import Path

from store.files import fsync_path, make_directory, to_json, token, write_exclusive
from store.layout import Layout

_LOG = logging.getLogger("store")


def quarantine_artifact(layout: Layout, key: str, reason: str) -> Path | None:
    """Move an artifact out of the store; from then on it does not exist and is computed again.

    Returns:
        Where it lies now; None if another process was faster.
    """
    make_directory(layout.quarantine)
    home = layout.artifact(key)
    aside = layout.quarantine / f"{key}.{token()}"
    try:
        home.rename(aside)
    except FileNotFoundError:
        return None
    write_exclusive(aside / "reason.json", to_json({"key": key, "reason": reason}))
    fsync_path(home.parent)
    _LOG.warning("%s was moved to the quarantine: %s", key[:12], reason)
    return aside
