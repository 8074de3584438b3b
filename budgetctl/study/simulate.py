"""A simulated cluster for the real worker: its clock, its store and its stages are simulated, its code is not.

Every worker runs in a thread of its own, but only one thread runs at a time: sleeping hands the turn to whoever
wakes next, and the clock jumps there. Nodes can be preempted with a warning, killed without one, or lose sight of
the store for a while, so that others take their leases for dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from budgetctl.console import SilentReporter
from budgetctl.errors import InterruptedRunError
from budgetctl.study.plan import Plan
from budgetctl.study.simulated_site import NEVER, Outcome, SimulatedLease, Site, Weather
from budgetctl.study.worker import Worker
from store import AttemptRecord, Payload
from store.errors import LeasedElsewhere, LeaseLost
from store.process import Holder


class Killed(BaseException):
    """The simulated node is gone; not an `Exception`, since no code survives that."""


class Node:
    """One worker's machine: the clock, store and runner that its worker is given."""

    def __init__(self, site: Site, number: int) -> None:
        self.site, self.number = site, number
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._next = {kind: self._draw(kind) for kind in ("preempted", "killed", "cut_off")}
        self.warned = False

    def _draw(self, kind: str) -> float:
        rate = getattr(self.site.weather, kind)
        return self.site.turns.now + self.site.rng.expovariate(rate) * 3600 if rate else NEVER

    def live(self) -> None:
        """Be a job that is requeued until its worker ends by itself."""
        site, weather = self.site, self.site.weather
        while True:
            site.turns.sleep_until(self.number, site.turns.now + weather.start_s)
            self.warned = False
            try:
                worker = Worker(
                    site.plan, self, self, SilentReporter(), lambda: self.warned, clock=self, rng=site.rng
                )
                if not worker.run().interrupted:
                    site.outcome.makespan = max(site.outcome.makespan, site.turns.now)
                    return
            except Killed:
                self._seen.clear()
            site.turns.sleep_until(self.number, site.turns.now + weather.requeue_s)

    # The worker's clock

    def monotonic(self) -> float:
        return self.site.turns.now

    def time(self) -> float:
        return self.site.turns.now

    def sleep(self, seconds: float) -> None:
        self._pass_until(self.site.turns.now + seconds)

    def _pass_until(self, at: float) -> None:
        """Let time pass until `at`, a warning, or a wake-up by somebody who took this node's lease.

        Raises:
            Killed: The node dies before.
        """
        turns = self.site.turns
        turns.sleep_until(self.number, min(at, self._next["preempted"], self._next["killed"]))
        if turns.now >= self._next["killed"]:
            self._next["killed"] = self._draw("killed")
            self.site.outcome.interruptions["killed"] += 1
            raise Killed
        if turns.now >= self._next["preempted"]:
            self._next["preempted"] = self._draw("preempted")
            self.site.outcome.interruptions["preempted"] += 1
            self.warned = True

    # The worker's view of the store

    def present(self, keys: Iterable[str]) -> set[str]:
        wanted = set(keys)
        self.site.count("look at an artifact", len(wanted))
        return wanted & self.site.published

    def leased(self) -> set[str]:
        self.site.count("list leases")
        return set(self.site.leases)

    def version(self) -> int:
        self.site.count("look at the leases' folder")
        return self.site.version

    def attempts(self, key: str) -> Sequence[AttemptRecord]:
        records = self.site.records.get(key, [])
        self.site.count("read attempts", 1 + len(records))
        return records

    def tidy(self, keys: set[str]) -> None:
        self.site.count("list leases")

    # The worker's runner

    def beside(self, payload: Payload, others: Iterable[Payload]) -> Sequence[Payload]:
        return ()

    def run_side_by_side(self, payloads: Sequence[Payload], plan: Plan) -> Sequence[Future[str | None]]:
        raise AssertionError("a node runs one stage at a time")

    def run(self, payload: Payload, plan: Plan) -> str | None:
        """Claim, work and publish as the real runner does.

        Raises:
            LeasedElsewhere, LeaseLost, InterruptedRunError: As the real one.
            Killed: The node died.
        """
        site, key = self.site, payload.key
        if self.present([key]):
            return None
        lease = self._claim(key)
        site.count("write an attempt")
        started = site.turns.now
        try:
            self._work(key, lease)
        except Killed:
            lease.silent_since, lease.dead = site.turns.now, True
            self._record(key, started, "")
            raise
        except InterruptedRunError:
            self._record(key, started, "interrupted")
            site.release(key, lease)
            raise
        except LeaseLost:
            site.outcome.duplicated += site.turns.now - lease.taken_over
            self._record(key, started, "lost")
            raise
        finally:
            site.count("beat", 2 * int((site.turns.now - started) // site.weather.beat_s))
        if key in site.published:
            site.outcome.duplicated += site.turns.now - started
        elif (
            lease.lost
        ):  # it was cut off, and done before it could notice: what followed it is the second copy
            site.outcome.lost -= lease.lost
        site.outcome.published[key] += 1
        site.published.add(key)
        self._record(key, started, "published")
        site.count("publish", 12)
        site.release(key, lease)
        return "done"

    def forget(self) -> None:
        """Nothing is loaded here."""

    def set_aside_corrupt(self, payload: Payload) -> None:
        """Nothing is ever corrupt here."""

    def metrics(self, key: str) -> Mapping[str, Any]:
        """Simulated stages measure nothing."""
        return {}

    def keep_plan(self, plan: Plan) -> None:
        """Nothing is collected here."""

    def abandoned(self, key: str) -> bool:
        self.site.count("read a lease")
        return self._is_stale(key)

    def _is_stale(self, key: str) -> bool:
        """Whether this node has seen the lease not advance for long enough; the same as `LeaseWatch`."""
        held = self.site.leases.get(key)
        if held is None:
            return True
        now = self.site.turns.now
        counter = held.counter(now, self.site.weather.beat_s)
        seen = self._seen.get(key)
        if seen is None or seen[:2] != (held.token, counter):
            self._seen[key] = (held.token, counter, now)
            return False
        return now - seen[2] >= self.site.weather.patience_s

    def _claim(self, key: str) -> SimulatedLease:
        self.site.count("try a lease", 2)
        if not self._is_stale(key):
            raise LeasedElsewhere(key)
        return self.site.take(key, self.number)

    def _work(self, key: str, lease: SimulatedLease) -> None:
        """Spend the stage's remaining time."""
        site, weather, turns = self.site, self.site.weather, self.site.turns
        started, before = turns.now, site.done[key]
        ends = started + max(0.0, site.durations[key] - before)
        while turns.now < ends:
            if turns.now >= self._next["cut_off"]:
                lease.silent_since = turns.now
                self._next["cut_off"] = self._draw("cut_off")
                site.outcome.interruptions["cut off"] += 1
            back = lease.silent_since + weather.cut_off_s
            at = turns.now
            try:
                self._pass_until(min(ends, self._next["cut_off"], back))
            except Killed:
                kept = (turns.now - started) // weather.checkpoint_s * weather.checkpoint_s
                site.done[key] = max(site.done[key], before + kept)
                site.outcome.lost += turns.now - started - kept
                raise
            finally:
                site.outcome.worked += turns.now - at
            if turns.now >= back:
                lease.silent_since = NEVER
            if site.leases.get(key) is not lease and lease.silent_since == NEVER:
                raise LeaseLost(key)
            if self.warned and turns.now < ends:
                site.done[key] = max(site.done[key], before + turns.now - started)
                raise InterruptedRunError("preempted")

    def _record(self, key: str, started: float, outcome: str) -> None:
        holder = Holder(f"node{self.number}", "", self.number, 0, 0, "")
        began, ended = (
            datetime.fromtimestamp(t, UTC).isoformat(timespec="milliseconds")
            for t in (started, self.site.turns.now)
        )
        record = AttemptRecord(key, f"{len(self.site.records)}", "", began, ended if outcome else "",
                               outcome, "", holder, {})  # fmt: skip
        self.site.records.setdefault(key, []).append(record)
        self.site.count("write an attempt", 2 if outcome else 0)


def simulate(
    plan: Plan, durations: Mapping[str, float], workers: int, weather: Weather | None = None, seed: int = 0
) -> Outcome:
    """Run a plan with `workers` real workers on a simulated cluster.

    Args:
        plan: What to run; nothing of it is published yet.
        durations: Key → seconds the stage takes when nothing disturbs it.
        workers: How many jobs.
        weather: What happens to them.
        seed: Of all chance.
    """
    site = Site(plan, durations, weather or Weather(), seed)
    for number in range(workers):
        site.turns.spawn(number, Node(site, number).live)
    site.turns.run()
    return site.outcome
