"""What one picture of forks shows: the tables of one base, task and budget, and where their forks stand."""

from __future__ import annotations

from dataclasses import dataclass

from budgetctl.analysis.fork_means import ForkMean
from budgetctl.analysis.fork_table import ForkTable
from budgetctl.analysis.forks import ForkRow, TrunkCurve


@dataclass(frozen=True, slots=True)
class ForkGroup:
    """Tables of one base, task and budget, one a method; all have the same trunks and forks."""

    tables: tuple[ForkTable, ...]

    @property
    def trunks(self) -> tuple[TrunkCurve, ...]:
        """The curves of every seed."""
        return self.tables[0].trunks

    @property
    def several(self) -> bool:
        """Whether there are several seeds."""
        return len(self.tables[0].seeds) > 1

    @property
    def metrics(self) -> list[str]:
        """What the trunks measured."""
        return list(dict.fromkeys(point.metric for curve in self.trunks for point in curve.points))

    @property
    def states(self) -> tuple[ForkRow, ...]:
        """Every saved state of every seed once."""
        return self.tables[0].states

    @property
    def has_scores(self) -> bool:
        """Whether any fork has its final score."""
        return any(row.score is not None for table in self.tables for row in table.states)

    @property
    def places(self) -> list[float]:
        """Where the forks are, in examples: over seeds, in the middle of a trigger's."""
        return sorted({_place(mean) for mean in self.tables[0].means if mean.fired and not mean.same_as})

    @property
    def numbers(self) -> dict[str, int]:
        """Number of each trigger that fired on a metric; a count of examples can be read off the axis."""
        fired = [mean for mean in self.tables[0].means if mean.fired and not mean.forks[0].counts_examples]
        return {mean.trigger: number for number, mean in enumerate(fired, start=1)}

    @property
    def labels(self) -> list[tuple[float, str]]:
        """At each place the numbers of the triggers that fired there."""
        numbers = self.numbers
        found: dict[float, list[int]] = {}
        for mean in self.tables[0].means:
            if mean.trigger in numbers:
                found.setdefault(_place(mean), []).append(numbers[mean.trigger])
        return [(place, ",".join(map(str, sorted(there)))) for place, there in sorted(found.items())]

    @property
    def end(self) -> float:
        """Where the longest trunk ends, in examples."""
        seen = [point.examples for curve in self.trunks for point in curve.points]
        return float(max([1, *seen, *(row.examples or 0 for row in self.states)]))


def _place(mean: ForkMean) -> float:
    return mean.examples.mean if mean.examples else 0.0
