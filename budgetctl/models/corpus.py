"""The text that the tiny base model is pretrained on: sums, stories with their sums, and prose.

It has what a base model knows before finetuning (the words, adding and subtracting, how a story's numbers
turn into a chain of sums, headings) and lacks what finetuning is for: questions, the role tokens of a conversation and
the answer line `#### n`. No chain of two sums whose core belongs to dev or test ever appears.
"""

from __future__ import annotations

from collections.abc import Iterator

from budgetctl.data.dice import Dice
from budgetctl.schema import Frozen
from budgetctl.tasks.arith import CHANGE, NAMES, START, THINGS, Core, cores_of, phrase

PAST_GAINS = ("found", "bought", "got", "picked", "was given", "won")
PAST_LOSSES = ("lost", "sold", "gave away", "dropped", "ate", "threw out")
PLACES = ("garden", "market", "school", "river", "kitchen", "park", "shop", "beach")
LARGEST_SUM = START[1] + 3 * CHANGE[1]


class CorpusMix(Frozen):
    """Shares of the kinds of document; the rest is prose."""

    sums: float = 0.1
    """Lists of single sums."""
    stories: float = 0.6
    """Stories with their chain of sums."""
    echoes: float = 0.2
    """Lists that somebody reads out again; they teach a small model to look back, which stories need."""
    together: float = 0.45
    """Share of stories in which a second person's things are added at the end."""
    exercises: float = 0.5
    """Share of stories told as a question with its sums, as in an exercise book."""
    headed: float = 0.1
    """Share of documents under a heading of one to four number signs, so that `#` is a token the model knows."""


def documents(mix: CorpusMix, seed: int) -> Iterator[str]:
    """An endless, repeatable stream of short documents."""
    dice = Dice(f"tiny corpus {seed}")
    cores = cores_of("train")
    while True:
        heading = f"{'#' * dice.between(1, 4)} {dice.pick(PLACES)}\n" if dice.chance(mix.headed) else ""
        at = dice.share()
        if at < mix.stories:
            yield heading + _story(dice.pick(cores), dice, mix)
        elif at < mix.stories + mix.sums:
            yield heading + _sums(dice)
        elif at < mix.stories + mix.sums + mix.echoes:
            yield heading + _echo(dice)
        else:
            yield heading + _prose(dice)


def _sums(dice: Dice) -> str:
    lines = []
    for _ in range(dice.between(3, 6)):
        low, high = CHANGE
        left, right = dice.between(1, LARGEST_SUM), dice.between(low, high)
        if dice.chance(0.5) or left <= right:
            lines.append(f"{left}+{right}={left + right}")
        else:
            lines.append(f"{left}-{right}={left - right}")
    return "\n".join(lines)


def _story(core: Core, dice: Dice, mix: CorpusMix) -> str:
    name, thing = dice.pick(NAMES), dice.pick(THINGS)
    first = dice.pick(PAST_GAINS if core.first == "+" else PAST_LOSSES)
    second = dice.pick(PAST_GAINS if core.second == "+" else PAST_LOSSES)
    if dice.chance(mix.exercises):
        problem = phrase(core, dice, mix.together)
        closing = dice.pick(("So that is it.", "Well done.", "That was easy."))
        return "\n".join((problem.text, *problem.steps, closing))
    text = dice.pick(
        (
            f"{name} had {core.start} {thing}. {name} {first} {core.a}. Then {name} {second} {core.b}.",
            f"At first {name} had {core.start} {thing}, {first} {core.a} and then {second} {core.b}.",
            f"With {core.start} {thing} in a box, {name} {first} {core.a}. Later {name} {second} {core.b}.",
        )
    )
    sums = [
        f"{core.start}{core.first}{core.a}={core.middle}",
        f"{core.middle}{core.second}{core.b}={core.count}",
    ]
    if not dice.chance(mix.together):
        return f"{text}\n" + "\n".join(sums) + f"\nNow {name} has {core.count} {thing}."
    other = dice.pick([candidate for candidate in NAMES if candidate != name])
    count = dice.between(*CHANGE)
    sums.append(f"{core.count}+{count}={core.count + count}")
    return (
        f"{text} {other} had {count}.\n" + "\n".join(sums) + f"\nNow they have {core.count + count} together."
    )


def _echo(dice: Dice) -> str:
    items = ", ".join(f"{dice.between(1, START[1])} {dice.pick(THINGS)}" for _ in range(dice.between(2, 5)))
    return f"{dice.pick(NAMES)} has a list: {items}. {dice.pick(NAMES)} reads it: {items}."


def _prose(dice: Dice) -> str:
    name, other = dice.pick(NAMES), dice.pick(NAMES)
    thing, place = dice.pick(THINGS), dice.pick(PLACES)
    sentences = (
        f"{name} likes the {place}.",
        f"{name} and {other} walk to the {place} together.",
        f"How nice the {thing} are!",
        f"Does {name} know {other}? Yes, they are friends.",
        f"{name} finds {thing} at the {place} and gives them to {other}.",
        f"{other} sells {thing}, and {name} buys many.",
        f"{name} picks {thing} now and drops some.",
        f"{name} gets home and has to look for the {thing}.",
        f"Then {other} gives away what {name} loses.",
        f"Many {thing} do not fit in one box.",
    )
    return " ".join(dice.pick(sentences) for _ in range(dice.between(2, 4)))
