"""What the store's tests share besides fixtures."""

from __future__ import annotations

from collections.abc import Callable

from store import Artifact, LeasePace

QUICK = LeasePace(beat=0.05, patience=1.5)
"""Leases that go stale within a test."""

Publish = Callable[..., Artifact]
"""What the fixture `publish` gives."""
