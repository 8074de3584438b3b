"""At which optimizer steps a watched run pauses."""

from __future__ import annotations

from collections.abc import Iterable

from budgetctl.forking.triggers import ExamplesTrigger, Trigger


def step_after(examples: int, batch: int) -> int:
    """The first step by whose end `examples` rows have been processed."""
    return -(-examples // batch)


def evaluation_steps(every: int, batch: int, steps: int) -> tuple[int, ...]:
    """The steps after which metrics are measured: 0, each that completes another `every` examples, and the last.

    Args:
        every: Examples between two evaluations.
        batch: Rows of one step.
        steps: Steps of the whole run.
    """
    within = range(every, steps * batch + 1, every)
    return tuple(sorted({0, steps, *(step_after(examples, batch) for examples in within)}))


def fork_steps(triggers: Iterable[Trigger], batch: int, steps: int) -> tuple[int, ...]:
    """The steps within the run that an example count names; they may lie between evaluations."""
    counts = [trigger.at for trigger in triggers if isinstance(trigger, ExamplesTrigger)]
    return tuple(sorted({step for at in counts if (step := step_after(at, batch)) <= steps}))
