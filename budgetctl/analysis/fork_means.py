"""Forks and their baselines over the seeds of a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from budgetctl.analysis.cells import CellResult, CellStatus, worst_status
from budgetctl.analysis.forks import BaselineKind, BaselineRow, ForkRow
from budgetctl.analysis.uncertainty import (
    Difference,
    Estimate,
    SeedNoise,
    difference,
    estimate,
    seed_noise,
)


@dataclass(frozen=True, slots=True)
class ForkLine:
    """A fork beside the run that was trained from scratch on the same split.

    Attributes:
        gap: Final score of the fork minus that of the same split, with its interval over test items.
    """

    fork: ForkRow
    same_split: BaselineRow | None
    gap: Difference | None


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over seeds."""

    mean: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class ForkMean:
    """One trigger over all seeds; of a study with one seed, that seed's fork.

    Attributes:
        members: By seed.
        same_as: The trigger above whose states these are, in every seed; empty for that one itself.
        examples, distinct, n_pft, remaining: Over the seeds in which it fired; None if it fired in none.
        metric: What it was decided on.
        value: At the forks; if it fired in no seed, the best values seen.
        score: Mean final score of the forks that have one.
        same_split: Likewise of the same splits trained from scratch.
        gap: Fork minus same split, over the seeds that have both.
    """

    trigger: str
    members: tuple[ForkLine, ...]
    same_as: str
    examples: Spread | None
    distinct: Spread | None
    n_pft: Spread | None
    remaining: Spread | None
    metric: str | None
    value: Spread | None
    score: Estimate | None
    same_split: Estimate | None
    gap: Difference | None

    @property
    def forks(self) -> tuple[ForkRow, ...]:
        """The fork of each seed."""
        return tuple(line.fork for line in self.members)

    @property
    def fired(self) -> int:
        """In how many seeds it did."""
        return sum(fork.fired for fork in self.forks)

    @property
    def decided(self) -> int:
        """In how many seeds the trunk has run."""
        return sum(fork.decided for fork in self.forks)

    @property
    def did_not_fire(self) -> bool:
        """Whether every trunk has run without it."""
        return all(fork.did_not_fire for fork in self.forks)

    @property
    def status(self) -> CellStatus:
        """Of its score."""
        return CellStatus.DONE if self.score else worst_of(self.forks)

    @property
    def same_split_status(self) -> CellStatus | None:
        """Of the score of the same splits; None where there are none."""
        splits = [line.same_split for line in self.members if line.same_split is not None]
        if not splits:
            return None
        return CellStatus.DONE if self.same_split else worst_of(splits)


@dataclass(frozen=True, slots=True)
class BaselineMean:
    """One static run over all seeds."""

    kind: BaselineKind
    method: str | None
    n_sft: int | None
    n_pft: int | None
    members: tuple[BaselineRow, ...]
    score: Estimate | None

    @property
    def status(self) -> CellStatus:
        """Of its score."""
        return CellStatus.DONE if self.score else worst_of(self.members)


def cell_of(row: ForkRow | BaselineRow) -> CellResult:
    """A finished row as a cell that is nowhere in a grid."""
    return CellResult(
        "", "", "", 1.0, 0.0, row.seed, score=row.score, n_items=row.n_items, verdicts=row.verdicts
    )


def noise_of(lines: Sequence[ForkLine], baselines: Sequence[BaselineRow]) -> SeedNoise:
    """How much a score varies between seeds, pooled over triggers and baselines; no run counts twice."""
    places: dict[object, list[CellResult]] = {}
    seen: set[str] = set()

    def count(place: object, row: ForkRow | BaselineRow | None) -> None:
        if row is None or row.score is None or row.key in seen:
            return
        seen.update([row.key] if row.key else [])
        places.setdefault(place, []).append(cell_of(row))

    for line in lines:
        if not line.fork.same_as:
            count(line.fork.trigger, line.fork)
            count((line.fork.trigger, "same-split"), line.same_split)
    for one in baselines:
        count(_kind_of(one), one)
    return seed_noise(list(places.values()))


def fork_means(lines: Sequence[ForkLine], noise: SeedNoise) -> tuple[ForkMean, ...]:
    """One per trigger: as they fired on average, those that share states together, those that never fired last.

    Args:
        lines: Forks of one study's base, task, method and budget; triggers in the recipe's order.
        noise: Between seeds.
    """
    members: dict[str, list[ForkLine]] = {}
    for line in lines:
        members.setdefault(line.fork.trigger, []).append(line)
    several = any(len(found) > 1 for found in members.values())
    order = {trigger: place for place, trigger in enumerate(members)}
    means = [_mean(trigger, found, noise, several) for trigger, found in members.items()]
    means.sort(key=lambda mean: (*_when(mean), order[mean.trigger]))
    named: dict[object, str] = {}
    marked = []
    for mean in means:
        states = tuple((fork.seed, fork.same_as or fork.trigger) for fork in mean.forks if fork.fired)
        first = named.setdefault(states, mean.trigger) if states else mean.trigger
        marked.append(mean if first == mean.trigger else replace(mean, same_as=first))
    return tuple(marked)


def baseline_means(baselines: Sequence[BaselineRow], noise: SeedNoise) -> tuple[BaselineMean, ...]:
    """One per kind and numbers of rows, in order of first appearance."""
    members: dict[tuple[BaselineKind, str | None, int | None, int | None], list[BaselineRow]] = {}
    for one in baselines:
        members.setdefault(_kind_of(one), []).append(one)
    several = any(len(found) > 1 for found in members.values())
    return tuple(
        BaselineMean(*kind, tuple(found), _score(found, noise, several)) for kind, found in members.items()
    )


def worst_of(rows: Iterable[ForkRow | BaselineRow]) -> CellStatus:
    """What to say of rows without a score; that a trigger did not fire in one seed says nothing of the others."""
    waiting = [row for row in rows if not (isinstance(row, ForkRow) and row.did_not_fire)]
    return worst_status(
        CellResult("", "", "", 1.0, 0.0, status=row.status) for row in waiting if row.score is None
    )


def _kind_of(one: BaselineRow) -> tuple[BaselineKind, str | None, int | None, int | None]:
    return one.kind, one.method, one.n_sft, one.n_pft


def _mean(trigger: str, members: Sequence[ForkLine], noise: SeedNoise, several: bool) -> ForkMean:
    forks = [line.fork for line in members]
    fired = [fork for fork in forks if fork.fired]
    metric = next((fork.metric for fork in fired or forks if fork.metric is not None), None)
    both = [line for line in members if line.gap is not None and line.same_split is not None]
    pairs = [(line.fork, line.same_split) for line in both if line.same_split is not None]
    left, right = [cell_of(fork) for fork, _ in pairs], [cell_of(split) for _, split in pairs]
    return ForkMean(
        trigger=trigger,
        members=tuple(members),
        same_as="",
        examples=_spread(fork.examples for fork in fired),
        distinct=_spread(fork.distinct for fork in fired),
        n_pft=_spread(fork.n_pft for fork in fired),
        remaining=_spread(fork.remaining for fork in fired),
        metric=metric,
        value=_spread(fork.value for fork in fired or forks if fork.metric == metric),
        score=_score(forks, noise, several),
        same_split=_score(
            [line.same_split for line in members if line.same_split is not None], noise, several
        ),
        gap=difference(left, right, noise) if pairs else None,
    )


def _when(mean: ForkMean) -> tuple[object, ...]:
    steps = [fork.step or 0 for fork in mean.forks if fork.fired]
    return not steps, sum(steps) / len(steps) if steps else 0, any(fork.same_as for fork in mean.forks)


def _spread(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return Spread(sum(known) / len(known), min(known), max(known)) if known else None


def _score(rows: Sequence[ForkRow | BaselineRow], noise: SeedNoise, several: bool) -> Estimate | None:
    """Mean score over seeds; of a study with one seed, the run's own score and interval."""
    done = [row for row in rows if row.score is not None]
    if not done:
        return None
    if several:
        return estimate([cell_of(row) for row in done], noise)
    return Estimate(done[0].score or 0.0, done[0].score_low, done[0].score_high, 1, done[0].n_items)
