"""What simulated workers share: the store, the leases, the weather, and the count of what happened."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from budgetctl.study.plan import Plan
from budgetctl.study.simulated_time import Turns
from store import AttemptRecord

NEVER = float("inf")


@dataclass(frozen=True)
class Weather:
    """What happens to a cluster's nodes. Rates are per worker and hour.

    Attributes:
        preempted: Warned, then requeued.
        killed: Gone without a word, then requeued.
        cut_off: The store cannot be reached for `cut_off_s`, while the work goes on.
        requeue_s: From the end of a job to its next start.
        start_s: From the start of a job to the worker's first look.
        checkpoint_s: Between checkpoints of a stage, which is what a kill can cost.
        beat_s: Between two advances of a lease.
        patience_s: Without an advance, a lease is stale.
    """

    preempted: float = 0.0
    killed: float = 0.0
    cut_off: float = 0.0
    cut_off_s: float = 180.0
    requeue_s: float = 60.0
    start_s: float = 20.0
    checkpoint_s: float = 600.0
    beat_s: float = 10.0
    patience_s: float = 60.0


@dataclass
class Outcome:
    """What a simulated run came to, in simulated seconds."""

    makespan: float = 0.0
    worked: float = 0.0
    """All seconds that workers spent in stages."""
    duplicated: float = 0.0
    """Seconds that went into a stage after another worker had taken it over, or that ended in a second copy."""
    lost: float = 0.0
    """Seconds since the last checkpoint that kills threw away."""
    published: Counter[str] = field(default_factory=Counter)
    """Key → how often it was published (the first counts, others are thrown away)."""
    operations: Counter[str] = field(default_factory=Counter)
    """Kind of store operation → how many; the beats of leases are counted apart, as `beat`."""
    per_minute: Counter[int] = field(default_factory=Counter)
    """Minute → store operations in it."""
    interruptions: Counter[str] = field(default_factory=Counter)


@dataclass
class SimulatedLease:
    """A lease on a key, and what became of its holder."""

    owner: int
    token: int
    began: float
    silent_since: float = NEVER
    taken_over: float = NEVER
    lost: float = 0.0
    """Seconds of work that the take-over threw away."""
    dead: bool = False

    def counter(self, now: float, beat: float) -> int:
        return int((min(now, self.silent_since) - self.began) // beat)


class Site:
    """The store and the cluster that all simulated workers share."""

    def __init__(self, plan: Plan, durations: Mapping[str, float], weather: Weather, seed: int) -> None:
        self.plan, self.durations, self.weather = plan, durations, weather
        self.turns, self.rng, self.outcome = Turns(), random.Random(seed), Outcome()
        self.published: set[str] = set()
        self.leases: dict[str, SimulatedLease] = {}
        self.done: dict[str, float] = defaultdict(float)
        """Key → seconds of work that a checkpoint holds."""
        self.records: dict[str, list[AttemptRecord]] = {}
        self.version = 0
        self._tokens = 0

    def count(self, operation: str, how_many: int = 1) -> None:
        """Note store operations at this moment."""
        self.outcome.operations[operation] += how_many
        self.outcome.per_minute[int(self.turns.now // 60)] += how_many

    def take(self, key: str, owner: int) -> SimulatedLease:
        """Put a new lease on a key; whoever held it is woken to notice."""
        before = self.leases.get(key)
        if before is not None:
            before.taken_over = self.turns.now
            if not before.dead:
                checkpoint = self.weather.checkpoint_s
                kept = (min(before.silent_since, self.turns.now) - before.began) // checkpoint * checkpoint
                self.done[key] += kept
                before.lost = self.turns.now - before.began - kept
                self.outcome.lost += before.lost
            resumes = before.silent_since + self.weather.cut_off_s
            self.turns.wake(before.owner, max(self.turns.now, resumes))
        self._tokens += 1
        self.version += 1
        self.leases[key] = SimulatedLease(owner, self._tokens, self.turns.now)
        return self.leases[key]

    def release(self, key: str, lease: SimulatedLease) -> None:
        """Remove a lease if it is still this one."""
        if self.leases.get(key) is lease:
            del self.leases[key]
            self.version += 1
