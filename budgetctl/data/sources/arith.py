"""Rows of the `arith` task: generated, with two annotators of stated habits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from budgetctl.data.dice import Dice
from budgetctl.data.layouts import Kind, Split
from budgetctl.data.reasons import LeftOut
from budgetctl.data.sources.source import Row, in_batches
from budgetctl.schema import Frozen
from budgetctl.tasks.arith import Problem, problems

if TYPE_CHECKING:
    import pyarrow as pa


class ArithSource(Frozen):
    """How many problems there are in each split, and how the annotators behave."""

    source: Literal["arith"] = "arith"
    world: int = 0
    """Another number gives other problems and other annotations."""
    train: int = Field(default=8192, gt=0)
    """Problems annotators can be asked about, for both kinds of data."""
    dev: int = Field(default=256, gt=0)
    """Problems for decisions."""
    test: int = Field(default=512, gt=0)
    """Problems for reports."""
    habit: float = Field(default=0.7, ge=0, le=1)
    """Share of the cheap annotator's demonstrations of `together` questions that stop one step early.
    0 makes every demonstration careful."""
    overruns: float = Field(default=0.5, ge=0, le=1)
    """Share of `own` questions for which there is a pair too: careful over a solution with a step too many."""

    @property
    def title(self) -> str:
        return "arith"

    @property
    def small(self) -> bool:
        return True

    def batches(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[pa.RecordBatch]:
        return in_batches(self.rows(kind, split, located, left_out), kind)

    def rows(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[Row]:
        """Yield the rows of one split."""
        for problem in islice(problems(split, self.world), getattr(self, split)):
            prompt = [{"role": "user", "content": problem.text}]
            dice = Dice(f"arith annotators {self.world} {problem.text}")
            if kind == "eval":
                yield {"prompt": prompt, "reference": str(problem.answer), "answer": problem.careful}
            elif kind == "sft":
                habitual = problem.together and dice.chance(self.habit)
                answer = problem.habitual if habitual else problem.careful
                yield {"messages": [*prompt, {"role": "assistant", "content": answer}]}
            elif (rejected := self._rejected(problem, dice)) is not None:
                yield {
                    "prompt": prompt,
                    "chosen": [{"role": "assistant", "content": problem.careful}],
                    "rejected": [{"role": "assistant", "content": rejected}],
                }

    def _rejected(self, problem: Problem, dice: Dice) -> str | None:
        """What the careful solution is preferred to; None where the annotators agree and there is no pair."""
        if problem.together:
            return problem.habitual
        return problem.overrun if dice.chance(self.overruns) else None
