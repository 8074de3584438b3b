"""Verifiable instructions of IFEval's kinds: which arguments a prompt fixes, and how an answer is made to obey.

Each kind draws its arguments and gives back what obeying does: to the list of sentences, to how they are laid out, or
to the finished text. Kinds that count sentences or words in capitals are left out: judging them takes NLTK's sentence
model, which a machine without a network may lack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

from instruction_texts import Draft
from instruction_wordings import (
    ENDINGS,
    FIRST_WORDS,
    MENTIONS,
    NOUNS,
    NUMBERS,
    PLACEHOLDERS,
    POSTSCRIPTS,
    WORDINGS,
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """One instruction of a prompt."""

    kind: str
    wording: str
    arguments: dict[str, Any] = field(default_factory=dict)
    say: Callable[[list[str]], list[str]] | None = None
    """What obeying does to the sentences."""
    lay_out: Callable[[list[str]], str] | None = None
    """How obeying puts them together."""
    dress: Callable[[str], str] | None = None
    """What obeying does to the whole text."""


def answer(draft: Draft, asked: Iterable[Asked]) -> str:
    """An answer that is made to obey these instructions; whether it does is for the checkers to say."""
    asked, sentences, lay_out = list(asked), list(draft.sentences), " ".join
    for one in asked:
        sentences = one.say(sentences) if one.say else sentences
        lay_out = one.lay_out or lay_out
    text = lay_out(sentences)
    for one in asked:
        text = one.dress(text) if one.dress else text
    return text


def drawn(draft: Draft, count: int, random: Random) -> list[Asked]:
    """Several instructions for one prompt, in the order in which they are obeyed; every kind is as likely."""
    chosen: dict[int, Kind] = {}
    for number, kind in random.sample(EVERY_KIND, len(EVERY_KIND)):
        if len(chosen) < count:
            chosen.setdefault(number, kind)
    return [chosen[number](draft, random) for number in sorted(chosen)]


def _worded(kind: str, random: Random, **filled: object) -> str:
    return random.choice(WORDINGS[kind]).format(**filled)


def _keywords(draft: Draft, random: Random) -> Asked:
    kind, words = "keywords:existence", random.sample(NOUNS, random.randint(1, 3))
    wording = _worded(kind, random, words=_listed(words))
    return Asked(kind, wording, {"keywords": words}, say=lambda said: _mentioned(said, words))


def _frequency(draft: Draft, random: Random) -> Asked:
    kind, word, times = "keywords:frequency", random.choice(NOUNS), random.randint(2, 4)
    arguments = {"keyword": word, "frequency": times, "relation": "at least"}
    wording = _worded(kind, random, word=word, times=NUMBERS[times])
    return Asked(kind, wording, arguments, say=lambda said: _mentioned(said, [word] * times))


def _forbidden(draft: Draft, random: Random) -> Asked:
    kind = "keywords:forbidden_words"
    own = sorted({word for said in draft.sentences for word in re.findall(r"\b[a-z]{5,}\b", said)})
    words = random.sample(own, min(len(own), random.randint(1, 2)))

    def without(said: list[str]) -> list[str]:
        return [one for one in said if not any(re.search(rf"\b{word}\b", one.lower()) for word in words)]

    return Asked(kind, _worded(kind, random, words=_listed(words)), {"forbidden_words": words}, say=without)


def _at_least(draft: Draft, random: Random) -> Asked:
    least = random.choice((50, 60, 70, 80))

    def longer(said: list[str]) -> list[str]:
        longer, more = list(said), list(draft.more)
        while more and _words(longer) < least + 3:
            longer.append(more.pop(0))
        return longer

    wording = _worded("at least", random, count=least)
    arguments = {"relation": "at least", "num_words": least}
    return Asked("length_constraints:number_words", wording, arguments, say=longer)


def _less_than(draft: Draft, random: Random) -> Asked:
    most = random.choice((15, 20, 25, 30))

    def shorter(said: list[str]) -> list[str]:
        kept = list(said)
        while len(kept) > 1 and _words(kept) >= most:
            kept.pop(0)
        return kept

    wording = _worded("less than", random, count=most)
    arguments = {"relation": "less than", "num_words": most}
    return Asked("length_constraints:number_words", wording, arguments, say=shorter)


def _placeholders(draft: Draft, random: Random) -> Asked:
    kind, names = "detectable_content:number_placeholders", random.sample(PLACEHOLDERS, random.randint(1, 4))
    wording = _worded(kind, random, count=len(names))
    more = f"For more, ask {_listed(names)}."
    return Asked(kind, wording, {"num_placeholders": len(names)}, say=lambda said: [*said, more])


def _bullets(draft: Draft, random: Random) -> Asked:
    kind, count = "detectable_format:number_bullet_lists", random.randint(2, 4)

    def lay_out(said: list[str]) -> str:
        return "\n".join(f"* {part}" for part in _parts(said, count))

    wording = _worded(kind, random, count=NUMBERS[count])
    return Asked(kind, wording, {"num_bullets": count}, lay_out=lay_out)


def _paragraphs(draft: Draft, random: Random) -> Asked:
    kind, count = "length_constraints:number_paragraphs", random.randint(2, 4)

    def lay_out(said: list[str]) -> str:
        return "\n***\n".join(_parts(said, count))

    wording = _worded(kind, random, count=NUMBERS[count])
    return Asked(kind, wording, {"num_paragraphs": count}, lay_out=lay_out)


def _first_word(draft: Draft, random: Random) -> Asked:
    kind, count = "length_constraints:nth_paragraph_first_word", random.randint(2, 3)
    nth, word = random.randint(1, count), random.choice(FIRST_WORDS)

    def lay_out(said: list[str]) -> str:
        parts = _parts(said, count)
        if nth <= len(parts):
            parts[nth - 1] = f"{word.title()} {parts[nth - 1]}"
        return "\n\n".join(parts)

    arguments = {"num_paragraphs": count, "nth_paragraph": nth, "first_word": word}
    wording = _worded(kind, random, count=NUMBERS[count], nth=nth, word=word)
    return Asked(kind, wording, arguments, lay_out=lay_out)


def _sections(draft: Draft, random: Random) -> Asked:
    kind, count = "detectable_format:multiple_sections", random.randint(2, 3)
    name = random.choice(("Section", "Part", "Step"))

    def lay_out(said: list[str]) -> str:
        return "\n".join(
            f"{name} {number}\n{part}" for number, part in enumerate(_parts(said, count), start=1)
        )

    wording = _worded(kind, random, count=NUMBERS[count], name=name)
    return Asked(kind, wording, {"section_spliter": name, "num_sections": count}, lay_out=lay_out)


def _json(draft: Draft, random: Random) -> Asked:
    kind = "detectable_format:json_format"

    def lay_out(said: list[str]) -> str:
        return json.dumps({"title": draft.title, "text": said}, indent=1)

    return Asked(kind, _worded(kind, random), lay_out=lay_out)


def _two(draft: Draft, random: Random) -> Asked:
    kind = "combination:two_responses"
    return Asked(kind, _worded(kind, random), lay_out=lambda said: "\n******\n".join(_parts(said, 2)))


def _highlights(draft: Draft, random: Random) -> Asked:
    kind, count = "detectable_format:number_highlighted_sections", random.randint(1, 3)

    def lay_out(said: list[str]) -> str:
        return " ".join(f"*{one}*" if place < count else one for place, one in enumerate(said))

    return Asked(kind, _worded(kind, random, count=count), {"num_highlights": count}, lay_out=lay_out)


def _no_comma(draft: Draft, random: Random) -> Asked:
    kind = "punctuation:no_comma"
    return Asked(kind, _worded(kind, random), dress=lambda text: text.replace(",", ""))


def _title(draft: Draft, random: Random) -> Asked:
    kind = "detectable_format:title"
    return Asked(kind, _worded(kind, random), dress=lambda text: f"<<{draft.title}>>\n{text}")


def _postscript(draft: Draft, random: Random) -> Asked:
    kind, note = "detectable_content:postscript", random.choice(POSTSCRIPTS)
    wording = _worded(kind, random)
    return Asked(kind, wording, {"postscript_marker": "P.S."}, dress=lambda text: f"{text}\n\nP.S. {note}")


def _ending(draft: Draft, random: Random) -> Asked:
    kind, phrase = "startend:end_checker", random.choice(ENDINGS)
    wording = _worded(kind, random, phrase=phrase)
    return Asked(kind, wording, {"end_phrase": phrase}, dress=lambda text: f"{text} {phrase}")


def _lowercase(draft: Draft, random: Random) -> Asked:
    kind = "change_case:english_lowercase"
    return Asked(kind, _worded(kind, random), dress=str.lower)


def _capitals(draft: Draft, random: Random) -> Asked:
    kind = "change_case:english_capital"
    return Asked(kind, _worded(kind, random), dress=str.upper)


def _quotation(draft: Draft, random: Random) -> Asked:
    kind = "startend:quotation"
    return Asked(kind, _worded(kind, random), dress=lambda text: f'"{text}"')


def _repeat(draft: Draft, random: Random) -> Asked:
    kind = "combination:repeat_prompt"

    def dress(text: str) -> str:
        return f"{draft.request}\n\n{text}"

    return Asked(kind, _worded(kind, random), {"prompt_to_repeat": draft.request}, dress=dress)


Kind = Callable[[Draft, Random], Asked]
GROUPS: Sequence[Sequence[Kind]] = (
    (_forbidden,),
    (_at_least, _less_than),
    (_keywords, _frequency),
    (_placeholders,),
    (_bullets, _paragraphs, _first_word, _sections, _json, _two, _highlights),
    (_no_comma,),
    (_title,),
    (_postscript, _ending),
    (_repeat,),
    (_lowercase, _capitals),
    (_quotation,),
)
"""At most one kind of each group stands in a prompt. The order is that of obeying."""
EVERY_KIND = [(number, kind) for number, group in enumerate(GROUPS) for kind in group]


def _words(said: Sequence[str]) -> int:
    return len(re.findall(r"\w+", " ".join(said)))


def _parts(said: Sequence[str], count: int) -> list[str]:
    """The sentences in so many runs of about the same length; fewer if there are too few."""
    edges = [round(part * len(said) / count) for part in range(count + 1)]
    return [" ".join(said[begin:end]) for begin, end in pairwise(edges) if end > begin]


def _mentioned(said: Sequence[str], words: Sequence[str]) -> list[str]:
    """The sentences with one more for each word, spread over the answer."""
    spread = list(said)
    for number, word in enumerate(words):
        place = round((number + 1) * len(spread) / (len(words) + 1))
        spread.insert(place, MENTIONS[(number + len(word)) % len(MENTIONS)].format(word))
    return spread


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
