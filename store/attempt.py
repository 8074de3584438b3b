"""One small record when work on a key begins and one when it ends; neither is ever changed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from store.files import disk_errors, make_directory, to_json, token, write_atomic
from store.layout import Layout
from store.process import Holder

_LOG = logging.getLogger("store")


@dataclass(frozen=True)
class AttemptRecord:
    """What is known of one attempt.

    Attributes:
        key: What was worked on.
        identifier: Tells attempts at one key apart.
        stage: Kind of work.
        started: ISO time, UTC.
        ended: ISO time, or empty: it runs, or was killed (see `holder`).
        outcome: `published`, `failed`, `interrupted`, `lost`, or empty.
        reason: Why it ended, as a sentence.
        holder: Process that made it.
        details: What the caller added.
    """

    key: str
    identifier: str
    stage: str
    started: str
    ended: str
    outcome: str
    reason: str
    holder: Holder
    details: Mapping[str, Any]


class Attempt:
    """A running attempt; a context manager that records how it ends. Use `Store.attempt`."""

    def __init__(self, layout: Layout, key: str, stage: str, details: Mapping[str, Any]) -> None:
        self._root = layout.root
        self._folder = layout.attempts(key)
        self._name = f"{key}.{token()}"
        self._outcome = ""
        self._reason = ""
        self._body: dict[str, Any] = {
            "key": key,
            "identifier": self._name.rpartition(".")[2],
            "stage": stage,
            "started": _now(),
            "holder": Holder.current().to_document(),
            "details": dict(details),
        }

    def finish(self, outcome: str, reason: str = "") -> None:
        """Say how it ended; without this an exception decides, and its absence means `published`."""
        self._outcome, self._reason = outcome, reason

    def __enter__(self) -> Attempt:
        with disk_errors(self._root):
            make_directory(self._folder)
            self._record("start", {})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._outcome:
            self._outcome, self._reason = _judge(error)
        try:
            self._record("end", {"ended": _now(), "outcome": self._outcome, "reason": self._reason})
            (self._folder / f"{self._name}.start.json").unlink(missing_ok=True)
        except (
            OSError
        ) as problem:  # the work itself is done or has failed already; its record must not decide
            _LOG.warning("the end of the attempt %s could not be recorded: %s", self._name[:12], problem)

    def _record(self, moment: str, more: Mapping[str, Any]) -> None:
        write_atomic(self._folder / f"{self._name}.{moment}.json", to_json({**self._body, **more}))


def read_attempt(path: Path) -> AttemptRecord | None:
    """Read an attempt's record; None if it is gone or was cut short by a full disk."""
    try:
        document = json.loads(path.read_bytes())
        return AttemptRecord(
            holder=Holder.from_document(document.pop("holder")),
            **{"ended": "", "outcome": "", "reason": "", **document},
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _judge(error: BaseException | None) -> tuple[str, str]:
    if error is None:
        return "published", ""
    code = getattr(error, "exit_code", None)
    if code == 75 or isinstance(error, KeyboardInterrupt):
        return "interrupted", str(error) or type(error).__name__
    return ("lost" if code == 4 else "failed"), f"{type(error).__name__}: {error}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
