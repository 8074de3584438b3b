"""Procedural word problems with step-by-step solutions and a last line `#### n`.

Two kinds of question, half of each. `own`: somebody has things, gets or loses some, twice; how many are
left? Two steps. `together`: the same, and somebody else has some too; how many do both have? A third step.

Two annotators answer. The careful one always carries out all steps. The cheap one has one habit: on
`together` questions he stops, at a stated rate, after the second step and gives the first person's count.
His arithmetic is right, he merely answers the wrong question. So demonstrations bought from him teach the
format and the arithmetic but only part of the job, and pairs (careful over habitual) point at the rest.

Train, dev and test are disjoint by construction: a problem's *core* (start, operation, number, operation,
number) is hashed, and its hash alone decides the split it may appear in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from budgetctl.data.dice import Dice
from budgetctl.errors import UsageError
from budgetctl.tasks.final_number import final_number, same_number
from budgetctl.tasks.task import Part

Split = Literal["train", "dev", "test"]
Operation = Literal["+", "-"]

START = (3, 20)
CHANGE = (2, 9)
NAMES = ("Ana", "Ben", "Cara", "Dan", "Eva", "Finn", "Gina", "Hugo", "Ida", "Jon", "Kim", "Leo")
THINGS = ("pens", "cards", "shells", "coins", "apples", "stamps", "beads", "books", "eggs", "keys")
GAINS = ("finds", "buys", "gets", "picks")
LOSSES = ("loses", "sells", "gives away", "drops")

_SPLIT_OF_TENTH: tuple[Split, ...] = ("dev", "test", *("train",) * 8)


@dataclass(frozen=True, order=True)
class Core:
    """The arithmetic of a problem's first two steps: `start first a second b`."""

    start: int
    first: Operation
    a: int
    second: Operation
    b: int

    @property
    def middle(self) -> int:
        """The count after the first step."""
        return self.start + self.a if self.first == "+" else self.start - self.a

    @property
    def count(self) -> int:
        """The count after the second step."""
        return self.middle + self.b if self.second == "+" else self.middle - self.b

    @property
    def split(self) -> Split:
        """The only split whose problems may use this core."""
        from blake3 import blake3  # noqa: PLC0415

        text = f"{self.start}{self.first}{self.a}{self.second}{self.b}"
        digest = blake3(text.encode(), derive_key_context="budgetctl arith split 1").digest(length=8)
        return _SPLIT_OF_TENTH[int.from_bytes(digest, "big") % len(_SPLIT_OF_TENTH)]


@dataclass(frozen=True)
class Problem:
    """One word problem; `other_count` is None for an `own` question."""

    core: Core
    text: str
    other_count: int | None

    @property
    def together(self) -> bool:
        """Whether the question asks for both people's things."""
        return self.other_count is not None

    @property
    def steps(self) -> tuple[str, ...]:
        """The equations of the full solution."""
        core = self.core
        steps = [
            f"{core.start}{core.first}{core.a}={core.middle}",
            f"{core.middle}{core.second}{core.b}={core.count}",
        ]
        if self.other_count is not None:
            steps.append(f"{core.count}+{self.other_count}={self.answer}")
        return tuple(steps)

    @property
    def answer(self) -> int:
        """What the question asks for."""
        return self.core.count + (self.other_count or 0)

    @property
    def careful(self) -> str:
        """The solution with every step."""
        return _written(self.steps, self.answer)

    @property
    def habitual(self) -> str:
        """The cheap annotator's solution when his habit strikes: two steps and the first person's count."""
        return _written(self.steps[:2], self.core.count)

    @property
    def overrun(self) -> str:
        """A solution that does not stop in time: the last change is counted once more."""
        core = self.core
        one_more = core.count + core.b
        return _written((*self.steps[:2], f"{core.count}+{core.b}={one_more}"), one_more)


def _written(steps: tuple[str, ...], answer: int) -> str:
    return "\n".join((*steps, f"#### {answer}"))


def every_core() -> Iterator[Core]:
    """All cores whose counts stay above 0."""
    low, high = CHANGE
    for start in range(START[0], START[1] + 1):
        for first in ("+", "-"):
            for a in range(low, high + 1):
                for second in ("+", "-"):
                    for b in range(low, high + 1):
                        core = Core(start, first, a, second, b)
                        if core.middle > 0 and core.count > 0:
                            yield core


@cache
def cores_of(split: Split) -> tuple[Core, ...]:
    """The cores that problems of a split may use."""
    return tuple(core for core in every_core() if core.split == split)


def problems(split: Split, world: int) -> Iterator[Problem]:
    """An endless, repeatable stream of distinct problems of one split (distinct in their text).

    Args:
        split: Which cores may appear.
        world: Another number gives other problems.
    """
    dice = Dice(f"arith problems {world} {split}")
    cores = cores_of(split)
    seen: set[str] = set()
    while True:
        problem = phrase(dice.pick(cores), dice)
        if problem.text not in seen:
            seen.add(problem.text)
            yield problem


def phrase(core: Core, dice: Dice, together: float = 0.5) -> Problem:
    """Word a core as a problem; a `together` question at that rate."""
    name, thing = dice.pick(NAMES), dice.pick(THINGS)
    first = dice.pick(GAINS if core.first == "+" else LOSSES)
    second = dice.pick(GAINS if core.second == "+" else LOSSES)
    story = f"{name} has {core.start} {thing}. {name} {first} {core.a}. Then {name} {second} {core.b}."
    if not dice.chance(together):
        return Problem(core, f"{story} How many {thing} does {name} have now?", None)
    other = dice.pick([candidate for candidate in NAMES if candidate != name])
    other_count = dice.between(*CHANGE)
    text = f"{story} {other} has {other_count}. How many {thing} do {name} and {other} have together?"
    return Problem(core, text, other_count)


class ArithTask:
    """Scores the number on the last line; no system message."""

    name = "arith"
    system_prompt = None
    max_new_tokens = 48
    primary_metric = "correct"
    loose_metric = None
    scorer_version = 1

    def check_reference(self, reference: str) -> None:
        """Refuse a reference that is no number."""
        if not same_number(reference, reference):
            raise UsageError(f"an arith reference must be a number, got {reference[-80:]!r}")

    def score(self, text: str, reference: str, truncated: bool) -> Mapping[str, float]:
        """`correct`: the last line is `#### n` with the right n. `answered`: it has that form at all."""
        found = None if truncated else final_number(text)
        correct = found is not None and same_number(found, reference)
        return {"correct": float(correct), "answered": float(found is not None)}

    def parts(self, text: str, reference: str) -> Sequence[Part]:
        """None: an answer is right or wrong as a whole."""
        return ()
