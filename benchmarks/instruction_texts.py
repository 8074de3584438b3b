"""What the instruction set's answers are made of: sentences from templates and word lists, and GSM8K's solutions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from budgetctl.tasks.gsm8k import without_calculator_marks

TOPICS = (
    "baking bread", "learning chess", "growing tomatoes", "night photography", "walking in the rain",
    "repairing clocks", "keeping bees", "reading maps", "painting fences", "sailing at dawn", "writing letters",
    "cooking for strangers", "playing the cello", "watching birds", "building kites", "collecting stamps",
    "cycling to work", "fishing in winter", "folding paper", "singing in a choir", "planting trees",
    "brewing coffee", "telling ghost stories", "training a puppy", "climbing hills", "sewing curtains",
    "swimming before breakfast", "visiting museums", "running a market stall", "drawing portraits",
    "learning a language", "restoring furniture", "camping by a lake", "juggling", "making soap",
    "studying the stars", "riding night trains", "skating on ponds", "picking mushrooms", "carving wood",
    "sharing a flat", "teaching grandparents", "printing posters", "winning at cards", "mending socks",
    "dancing the tango", "tasting cheese", "hosting a quiz",
)  # fmt: skip
REQUESTS = (
    "Write a short note about {topic} for {reader}.",
    "Tell {reader} a few things about {topic}.",
    "Describe {topic} to {reader}.",
    "Give {reader} some advice about {topic}.",
    "Write an advertisement for a class on {topic}, aimed at {reader}.",
    "Explain to {reader} why people enjoy {topic}.",
    "Write a letter about {topic} to {reader}.",
    "Prepare a short talk on {topic} for {reader}.",
)
PROBLEM_REQUESTS = (
    "Solve this problem: {}",
    "Work out the answer and show each step. {}",
    "Here is a question: {} Explain how you solve it.",
)
READERS = (
    "a neighbour", "an old friend", "a curious child", "a busy nurse", "the school paper", "a new colleague",
    "a retired sailor", "my cousin", "a group of tourists", "the town council", "a shy student", "a young farmer",
    "the local radio", "a bored teenager", "my landlord", "a travelling cook",
)  # fmt: skip
WORDS = {
    "adj": (
        "calm", "cheerful", "costly", "curious", "delightful", "demanding", "generous", "gentle", "honest", "lively",
        "modest", "noisy", "peaceful", "playful", "rewarding", "rough", "simple", "slow", "splendid", "surprising",
    ),
    "person": (
        "a patient teacher", "an uncle from Norway", "the baker", "two students", "a retired pilot", "my sister",
        "an old gardener", "the librarian", "a loud drummer", "some travellers", "a clever plumber", "the postman",
    ),
    "place": (
        "the harbour", "a mountain village", "the old library", "the north coast", "a crowded station", "the city park",
        "a quiet valley", "the town hall", "a small island", "the covered market",
    ),
    "thing": (
        "warm gloves", "a sharp pencil", "a good lamp", "fresh water", "a spare key", "a wooden box", "some string",
        "a notebook", "clean cloths", "a heavy coat", "a cheap radio", "dry matches",
    ),
    "when": (
        "early in the morning", "after lunch", "on Sundays", "late in autumn", "every second week",
        "before the first frost", "around noon", "once the shops have closed",
    ),
    "number": ("three", "five", "seven", "nine", "twelve", "twenty", "thirty", "forty"),
}  # fmt: skip
SENTENCES = (
    "{Topic} is {adj} in more ways than one.",
    "Most people first hear about it from {person}.",
    "It helps to begin {when} and to go slowly.",
    "A visit to {place} shows how {adj} it can be.",
    "My family began {number} years ago and never stopped.",
    "You need patience, {thing}, and a bit of luck.",
    "At first it feels {adj}, but later it becomes {adj2}.",
    "Keep {thing} close at hand.",
    "Some say that {topic} makes a week feel shorter.",
    "In {place}, people talk about little else.",
    "A small club meets {when} near {place}.",
    "The hardest part is finding {thing} for {number} dollars.",
    "{Person}, of all people, wrote a book about it.",
    "Few things are as {adj} as {topic} with {person}.",
    "With {thing}, even a beginner gets a {adj} result.",
    "Once a month, {person} will bring {thing} along.",
    "Mistakes are part of it, so laugh about them.",
    "There is a {adj} story that {person} told me in {place}.",
    "If you have {number} minutes, you have enough time.",
    "What begins as a {adj} hobby often ends as a {adj2} habit.",
    "Do it {when}, when {place} is almost empty.",
    "I was taught by {person}, and I am still grateful.",
    "It costs less than {number} coins, apart from {thing}.",
    "Nobody in {place} would call it {adj}.",
)
MORE_STEPS = (
    "Each step follows from the one before.",
    "It is worth checking the sums once more.",
    "Reading the question twice, we find nothing that was missed.",
    "The units fit together, which is a good sign.",
    "A rough estimate gives about the same result.",
    "So the result can be trusted.",
)
_MOST_STEPS, _LONGEST_QUESTION = 6, 400


@dataclass(frozen=True)
class Draft:
    """A request and what an answer to it may say, before any instruction."""

    request: str
    title: str
    sentences: tuple[str, ...]
    more: tuple[str, ...]
    """Sentences that make an answer longer."""


@dataclass(frozen=True)
class Problem:
    """A GSM8K question with its solution, a sentence a step."""

    question: str
    steps: tuple[str, ...]


def about_a_topic(random: Random) -> Draft:
    """A request to write something, and sentences about its topic."""
    topic = random.choice(TOPICS)
    request = random.choice(REQUESTS).format(topic=topic, reader=random.choice(READERS))
    said = [_filled(template, topic, random) for template in random.sample(SENTENCES, 12)]
    count = random.randint(3, 5)
    return Draft(request, topic.title(), tuple(said[:count]), tuple(said[count:]))


def about_a_problem(problem: Problem, random: Random) -> Draft:
    """A request to solve a problem, and the steps of its solution."""
    return Draft(
        random.choice(PROBLEM_REQUESTS).format(problem.question), "Solution", problem.steps, MORE_STEPS
    )


def problems(file: Path) -> Iterator[Problem]:
    """The shorter problems of a GSM8K file."""
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        solution, _, number = without_calculator_marks(row["answer"]).partition("\n#### ")
        steps = [_sentence(step) for step in solution.split("\n") if step.strip()]
        question = " ".join(row["question"].split())
        if len(steps) <= _MOST_STEPS and len(question) <= _LONGEST_QUESTION:
            yield Problem(question, (*steps, f"The answer is {number.strip()}."))


def _filled(template: str, topic: str, random: Random) -> str:
    chosen = {name: random.choice(words) for name, words in WORDS.items()}
    chosen["adj2"] = random.choice([word for word in WORDS["adj"] if word != chosen["adj"]])
    capitals = {name.title(): text[0].upper() + text[1:] for name, text in {**chosen, "topic": topic}.items()}
    said = template.format(topic=topic, **chosen, **capitals)
    return re.sub(r"\ba (?=[aeiou])", "an ", said)


def _sentence(step: str) -> str:
    step = " ".join(step.split())
    return step if step[-1] in ".!?" else f"{step}."
