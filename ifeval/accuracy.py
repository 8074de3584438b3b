"""Accuracies over verdicts, each with its interval."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ifeval.prompts import Prompt
from ifeval.scoring import Verdict

_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval.

    Attributes:
        value: Followed / n.
        low: Lower end.
        high: Upper end.
        n: How many verdicts.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Accuracy:
    """The benchmark's numbers for one reading, strict or loose.

    Attributes:
        prompt: Answers that follow all instructions of their prompt.
        instruction: Instructions that are followed.
        kinds: The same for each kind that occurs, by name.
    """

    prompt: Share
    instruction: Share
    kinds: dict[str, Share]


@dataclass(frozen=True)
class Summary:
    """Strict and loose accuracy, and over what.

    Attributes:
        prompts: Distinct prompts.
        answers: Answers scored.
        instructions: Verdicts per reading.
        strict: See `Verdict.strict`.
        loose: See `Verdict.loose`.
    """

    prompts: int
    answers: int
    instructions: int
    strict: Accuracy
    loose: Accuracy


def summarise(scored: Sequence[tuple[Prompt, Verdict]]) -> Summary:
    """Accuracies over all answers, each answer (or instruction) weighing the same.

    Raises:
        ValueError: there is nothing to summarise.
    """
    if not scored:
        raise ValueError("no verdicts: there is nothing to summarise")
    return Summary(
        prompts=len({prompt.key for prompt, _ in scored}),
        answers=len(scored),
        instructions=sum(len(prompt.instructions) for prompt, _ in scored),
        strict=_accuracy([(prompt, verdict.strict) for prompt, verdict in scored]),
        loose=_accuracy([(prompt, verdict.loose) for prompt, verdict in scored]),
    )


def _accuracy(scored: Sequence[tuple[Prompt, tuple[bool, ...]]]) -> Accuracy:
    kinds: dict[str, list[tuple[Prompt, bool]]] = defaultdict(list)
    for prompt, followed in scored:
        for instruction, flag in zip(prompt.instructions, followed, strict=True):
            kinds[instruction.kind].append((prompt, flag))
    return Accuracy(
        prompt=_share((prompt, all(followed)) for prompt, followed in scored),
        instruction=_share((prompt, flag) for prompt, followed in scored for flag in followed),
        kinds={kind: _share(kinds[kind]) for kind in sorted(kinds)},
    )


def _share(flags: Iterable[tuple[Prompt, bool]]) -> Share:
    by_prompt: dict[str, list[bool]] = defaultdict(list)
    for prompt, flag in flags:
        by_prompt[str(prompt.key)].append(flag)
    totals = [(sum(group), len(group)) for group in by_prompt.values()]
    n = sum(size for _, size in totals)
    value = sum(followed for followed, _ in totals) / n
    low, high = _wilson(value, _effective_number(value, totals))
    return Share(value, low, high, n)


def _effective_number(value: float, totals: Sequence[tuple[int, int]]) -> float:
    """How many independent verdicts would vary as much as these, which go together within a prompt.

    p(1−p)/V, with V the variance of a ratio of sums over prompts (Cochran, "Sampling Techniques", 1977, section 6.4).
    Few prompts can be alike by chance, so V is mixed with the largest variance that p allows, that of prompts whose
    verdicts all agree (Kish, "Survey Sampling", 1965, section 8.2), which weighs as much as one of the prompts. Never
    more than there are verdicts; the number of prompts where each has one.
    """
    prompts, n = len(totals), sum(size for _, size in totals)
    alike = sum(size * size for _, size in totals) / n**2
    spread = value * (1.0 - value)
    if spread == 0.0:
        return 1.0 / alike
    seen = sum((followed - value * size) ** 2 for followed, size in totals) / n**2
    return min(float(n), spread * prompts / ((prompts - 1) * seen + spread * alike))


def _wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's score interval (1927, JASA 22)."""
    weight = _NORMAL_95**2 / n
    centre = (value + weight / 2) / (1 + weight)
    half = _NORMAL_95 / (1 + weight) * math.sqrt(value * (1 - value) / n + weight / (4 * n))
    return (
        0.0 if value == 0.0 else max(0.0, centre - half),
        1.0 if value == 1.0 else min(1.0, centre + half),
    )
