"""A simulated clock: threads of which one runs at a time, and sleeping hands the turn to whoever wakes next."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable


class Turns:
    """The simulated clock: threads that sleep, and wake one at a time in the order of their time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, int]] = []
        self._wake_at: dict[int, tuple[float, int]] = {}
        self._gates: dict[int, threading.Semaphore] = {}
        self._back = threading.Semaphore(0)
        self._count = 0
        self._errors: list[BaseException] = []

    def spawn(self, number: int, body: Callable[[], None]) -> None:
        """Add a thread that begins now."""

        def run() -> None:
            self._gates[number].acquire()
            try:
                body()
            except BaseException as error:  # handed to `run`, which raises it
                self._errors.append(error)
            del self._wake_at[number]
            self._back.release()

        self._gates[number] = threading.Semaphore(0)
        self._schedule(number, self.now)
        threading.Thread(target=run, daemon=True).start()

    def _schedule(self, number: int, at: float) -> None:
        self._count += 1
        self._wake_at[number] = (at, self._count)
        heapq.heappush(self._queue, (at, self._count, number))

    def sleep_until(self, number: int, at: float) -> None:
        """Called by thread `number`: give up the turn until `at`."""
        self._schedule(number, max(at, self.now))
        self._back.release()
        self._gates[number].acquire()

    def wake(self, number: int, at: float) -> None:
        """Let a sleeping thread wake earlier than it meant to."""
        if number in self._wake_at and at < self._wake_at[number][0]:
            self._schedule(number, at)

    def run(self) -> None:
        """Give turns until no thread is left."""
        while self._queue:
            at, count, number = heapq.heappop(self._queue)
            if self._wake_at.get(number) != (at, count):
                continue
            self.now = at
            self._gates[number].release()
            self._back.acquire()
            if self._errors:
                raise self._errors[0]
