"""Triggers as people write them: recipe entries and names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from budgetctl.errors import UsageError
from budgetctl.forking.triggers import (
    ExamplesTrigger,
    PassTrigger,
    PerplexityTrigger,
    PlateauTrigger,
    Trigger,
)
from budgetctl.schema import describe_problems

VALID_ENTRIES = (
    "{perplexity: 3.0}, {pass@4: 0.3}, {plateau: {metric: perplexity, patience: 3, min_gain: 0.01}}, "
    "{every: 64} and {at: [100, 200]}"
)
VALID_NAMES = "perplexity<=3, pass@1>=0.3, plateau(perplexity,patience=3,gain=0.01) and examples=128"

_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?)"
_NAMES: tuple[tuple[str, type[Trigger], tuple[str, ...]], ...] = (
    (rf"perplexity<={_NUMBER}", PerplexityTrigger, ("at_most",)),
    (rf"pass@([0-9]+)>={_NUMBER}", PassTrigger, ("k", "at_least")),
    (
        rf"plateau\(([a-z@0-9]+),patience=([0-9]+),gain={_NUMBER}\)",
        PlateauTrigger,
        ("metric", "patience", "min_gain"),
    ),
    (r"examples=([0-9]+)", ExamplesTrigger, ("at",)),
)
_PASS = re.compile(r"pass@([1-9][0-9]*)")


def trigger_named(name: str) -> Trigger:
    """Read a trigger's name; `trigger_named(trigger.name) == trigger`.

    Raises:
        UsageError: It is no trigger's name, or holds a value that is out of range.
    """
    text = "".join(name.split())
    for pattern, model, fields in _NAMES:
        found = re.fullmatch(pattern, text)
        if found:
            return _validated(model, dict(zip(fields, found.groups(), strict=True)), f"trigger {text}")
    raise UsageError(f"{name!r} is no trigger; valid are, for example, {VALID_NAMES}")


def parse_triggers(entries: Sequence[Any], total_examples: int) -> tuple[Trigger, ...]:
    """Read a recipe's list of triggers; `every` is written out, and what is listed twice counts once.

    Args:
        entries: Each a mapping with one key (`VALID_ENTRIES`; a list of thresholds stands for several), or a name.
        total_examples: Rows that the whole run processes.

    Raises:
        UsageError: An entry is none of these, or names a count of examples that the run never reaches.
    """
    if isinstance(entries, str | Mapping) or not isinstance(entries, Sequence):
        raise UsageError(f"triggers must be a list such as [{{perplexity: 3.0}}], not {entries!r}")
    found = [
        trigger
        for number, entry in enumerate(entries)
        for trigger in _parse_entry(entry, total_examples, f"triggers.{number}")
    ]
    return tuple(dict.fromkeys(found))


def _parse_entry(entry: Any, total_examples: int, where: str) -> Iterator[Trigger]:
    if isinstance(entry, str):
        yield trigger_named(entry)
        return
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise UsageError(f"{where}: {entry!r} is no trigger; valid are {VALID_ENTRIES}")
    ((kind, value),) = entry.items()
    named_pass = _PASS.fullmatch(str(kind))
    if kind == "perplexity":
        for threshold in _numbers(value, f"{where}.{kind}"):
            yield _validated(PerplexityTrigger, {"at_most": threshold}, f"{where}.{kind}")
    elif named_pass:
        for threshold in _numbers(value, f"{where}.{kind}"):
            given = {"k": int(named_pass[1]), "at_least": threshold}
            yield _validated(PassTrigger, given, f"{where}.{kind}")
    elif kind == "plateau":
        if not isinstance(value, Mapping):
            raise UsageError(
                f"{where}.plateau must be a mapping such as {{metric: perplexity, patience: 3, min_gain: 0.01}}, "
                f"not {value!r}"
            )
        yield _validated(PlateauTrigger, value, f"{where}.plateau")
    elif kind == "every":
        for step in _counts(value, total_examples, f"{where}.every"):
            yield from (ExamplesTrigger(at=at) for at in range(step, total_examples + 1, step))
    elif kind == "at":
        yield from (ExamplesTrigger(at=at) for at in _counts(value, total_examples, f"{where}.at"))
    else:
        raise UsageError(f"{where}: there is no trigger {kind!r}; valid are {VALID_ENTRIES}")


def _validated(model: type[Trigger], given: Mapping[str, Any], where: str) -> Trigger:
    try:
        trigger: Trigger = model.model_validate(dict(given))
    except ValidationError as error:
        raise UsageError(describe_problems(error, model, where)) from error
    return trigger


def _numbers(value: Any, where: str) -> list[float]:
    """One number or several.

    Raises:
        UsageError: There is none, or something else among them.
    """
    listed = list(value) if isinstance(value, list | tuple) else [value]
    if not listed or any(isinstance(one, bool) or not isinstance(one, int | float) for one in listed):
        raise UsageError(f"{where} takes a number or a list of numbers, not {value!r}")
    return listed


def _counts(value: Any, total_examples: int, where: str) -> list[int]:
    """Counts of examples within the run.

    Raises:
        UsageError: One is no whole number, is not above 0, or lies beyond the end of the run.
    """
    counts = _numbers(value, where)
    for count in counts:
        if count < 1 or not float(count).is_integer():
            raise UsageError(f"{where} is {count!r}; a count of examples is a whole number above 0")
        if count > total_examples:
            raise UsageError(
                f"{where} is {count:g}, but the run processes only {total_examples} examples; name fewer"
            )
    return [int(count) for count in counts]
