"""How far a running stage is, for `budgetctl status`: one small file per running stage, rewritten now and then."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from budgetctl.console import Bar, Reporter

FOLDER = "progress"
_EVERY_S = 5.0


@dataclass(frozen=True)
class Progress:
    """The last thing a stage said about itself."""

    title: str
    done: int
    total: int
    figures: dict[str, float | str]
    at: float
    """Seconds since 1970, by the worker's clock."""


class ProgressReporter:
    """Passes everything on, and writes what bars say to `<store>/progress/<key>.json`."""

    def __init__(self, inner: Reporter, root: Path, key: str) -> None:
        self._inner = inner
        self._path = root / FOLDER / f"{key}.json"
        self._wrote = False

    def say(self, text: str) -> None:
        self._inner.say(text)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        with self._inner.bar(title, total) as bar:
            yield _RecordedBar(bar, self, title, total)

    def write(self, content: dict[str, object]) -> None:
        """Replace what the file says."""
        self._wrote = True
        self._path.parent.mkdir(exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({**content, "at": time.time()}), encoding="utf-8")
        fresh.replace(self._path)

    def close(self) -> None:
        """Remove the file, if this process wrote it: the stage is over."""
        if self._wrote:
            self._path.unlink(missing_ok=True)


class _RecordedBar:
    def __init__(self, inner: Bar, reporter: ProgressReporter, title: str, total: int) -> None:
        self._inner, self._reporter, self._title, self._total = inner, reporter, title, total
        self._last = float("-inf")

    def update(self, done: int, **fields: float | str) -> None:
        self._inner.update(done, **fields)
        if time.monotonic() - self._last >= _EVERY_S:
            self._last = time.monotonic()
            self._reporter.write(
                {"title": self._title, "done": done, "total": self._total, "figures": fields}
            )


def read_progress(root: Path, key: str) -> Progress | None:
    """What the running stage `key` last said; None if it has said nothing."""
    try:
        return Progress(**json.loads((root / FOLDER / f"{key}.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
