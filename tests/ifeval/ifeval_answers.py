"""Answers that sit on the edges of IFEval's rules, generated for every prompt from its own arguments."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from ifeval_texts import IN_LANGUAGE, WORDS, model_like, prose, sentence, soup

Arguments = dict[str, Any]


def _capital_words(arguments: Arguments, source: random.Random) -> Iterator[str]:
    wanted = arguments["capital_frequency"]
    for count in (wanted - 1, wanted, wanted + 1):
        words = [
            *(word.upper() for word in source.choices(WORDS, k=max(count, 0))),
            *source.choices(WORDS, k=9),
        ]
        source.shuffle(words)
        yield " ".join(words) + "."
    yield "IT'S TRUE; I CANNOT (OR WON'T) GO TO THE U.S.A. 'TIS SO, D'YE HEAR? GIMME 5B:C,D -- OK." * (
        wanted // 9 + 1
    )
    yield " ".join(f"Don't {word}, I'm {word.upper()}." for word in source.choices(WORDS, k=wanted))


def _cased(change: Callable[[str], str]) -> Callable[[Arguments, random.Random], Iterator[str]]:
    def answers(_: Arguments, source: random.Random) -> Iterator[str]:
        text = prose(source)
        yield change(text)
        yield change(text) + " Oh"
        yield change(text) + " oh"
        yield change(IN_LANGUAGE["de"])
        yield change(IN_LANGUAGE["en"]) + "\n" + text
        yield change("OK. 123!")
        yield change("№ ⅷ ª")

    return answers


def _repeat(arguments: Arguments, source: random.Random) -> Iterator[str]:
    request = arguments["prompt_to_repeat"]
    yield f"{request}\n\n{prose(source)}"
    yield f"  {request.upper()} {prose(source)}"
    yield f"Sure:\n{request}\n{prose(source)}"
    yield f'"{request}" {prose(source)}'
    yield request[:-1]
    yield request.replace(" ", "  ", 1) + prose(source)


def _two(_: Arguments, source: random.Random) -> Iterator[str]:
    first, second = prose(source, 2), prose(source, 2)
    yield f"{first}\n******\n{second}"
    yield f"{first}\n******\n{first}"
    yield f"******{first}******{second}******"
    yield f"{first}******\n ******{second}"
    yield f"{first}\n*******\n{second}"
    yield f"{first}******{second}******{first}"
    yield f"{first}\n*****\n{second}"


def _placeholders(arguments: Arguments, source: random.Random) -> Iterator[str]:
    wanted = arguments["num_placeholders"]
    for count in (wanted - 1, wanted):
        yield prose(source, 1) + " ".join(f"[{word}]" for word in source.choices(WORDS, k=count))
    yield "[[a] b] [] [c\n]" * wanted
    yield "[" * wanted + "]" * wanted
    yield "[a](b) ]c[ " * wanted


def _postscript(arguments: Arguments, source: random.Random) -> Iterator[str]:
    marker = arguments["postscript_marker"]
    for mark in (marker, marker.lower(), "P. S.", "p.p. s", "PS", "P.\nS.", "P .S.", "P.P.S.", "chip.s."):
        yield f"{prose(source, 2)}\n\n{mark} {sentence(source)}"


def _fixed(_: Arguments, source: random.Random) -> Iterator[str]:
    for answer in (
        "My answer is yes.",
        "my answer is no.",
        "My answer is maybe",
        "  My answer is no.\n",
        "Yes.",
    ):
        yield answer
        yield f"{sentence(source)} {answer} {sentence(source)}"


def _json(_: Arguments, source: random.Random) -> Iterator[str]:
    body = json.dumps({word: source.random() for word in WORDS[:3]})
    yield from (
        body,
        f"```json\n{body}\n```",
        f"```JSON{body}```",
        f"```\n{body}",
        f"```Json ```{body}",
        body[:-1],
    )
    yield f"Here:\n{body}"
    yield from (
        "NaN",
        "42",
        '"text"',
        "[1, 2,]",
        "{'a': 1}",
        "[" * 50 + "]" * 50,
        "```json```",
        "1" * 5000,
        '{"a": "\t"}',
    )


def _sections(arguments: Arguments, source: random.Random) -> Iterator[str]:
    mark, wanted = arguments["section_spliter"], arguments["num_sections"]
    for count in (wanted - 1, wanted, wanted + 1):
        yield "\n\n".join(f"{mark} {number}\n{prose(source, 1)}" for number in range(1, count + 1))
    yield "\n".join(f"**{mark}{number}:** {sentence(source)}" for number in range(wanted))
    yield "\n".join(f"{mark.lower()} {number}" for number in range(wanted))
    yield "\n".join(f"{mark}  {number}" for number in range(wanted))
    yield f"{mark}\n1{mark} ٣ {mark} 10 " * wanted
    yield "\n".join(f"{mark} {letter}" for letter in "ABCDEFG")


def _bullets(arguments: Arguments, source: random.Random) -> Iterator[str]:
    wanted = arguments["num_bullets"]
    for count in (wanted - 1, wanted, wanted + 1):
        for mark in ("* ", "- ", "  - ", "*"):
            yield prose(source, 1) + "".join(f"\n{mark}{sentence(source)}" for _ in range(count))
    yield "* a\n\n\t* b\n" * (wanted // 2) + ("*\nrest\n" if wanted % 2 else "")
    yield "**Bold**: x\n" * wanted
    yield "---\n" + "* x\n" * (wanted - 1)
    yield "\n*\n" * wanted
    yield "*" + "\n* x" * wanted


def _highlights(arguments: Arguments, source: random.Random) -> Iterator[str]:
    wanted = arguments["num_highlights"]
    for count in (wanted - 1, wanted):
        for mark in ("*", "**", "***"):
            yield (
                " ".join(f"{mark}{word}{mark}" for word in source.choices(WORDS, k=count))
                + " "
                + prose(source, 1)
            )
    yield "* * ** ** *a\nb* " * wanted
    yield "*a*b*c*d " * wanted
    yield "**a* *b** " * wanted
    yield "* item\n" * wanted + "* last *"


def _title(_: Arguments, source: random.Random) -> Iterator[str]:
    for title in (
        "<<A title>>",
        "<A title>",
        "<< >>",
        "<<<x>>>",
        "<<a\nb>>",
        "<<>>",
        "a << b >> c",
        "<<a> >b>>",
        ">><<",
    ):
        yield f"{title}\n\n{prose(source, 2)}"
    yield f"{prose(source, 1)} <<{'<' * 4}>> <<x>"


def _existence(arguments: Arguments, source: random.Random) -> Iterator[str]:
    words = arguments["keywords"]
    yield prose(source, 1) + " " + " ".join(words)
    yield " ".join(word.upper() for word in words)
    yield " ".join(words[1:]) + prose(source, 1)
    yield " ".join(f"x{word}y" for word in words)
    yield "".join(f"{word[0]} {word[1:]} " for word in words)
    yield " ".join(f"*{word[:1]}*{word[1:]}" for word in words)


def _forbidden(arguments: Arguments, source: random.Random) -> Iterator[str]:
    words = arguments["forbidden_words"]
    yield prose(source)
    yield f"{prose(source, 1)} {words[0]}."
    yield f"{prose(source, 1)} {words[-1].upper()}!"
    yield f"{prose(source, 1)} {words[0]}ish un{words[-1]}"
    yield f"{words[0]}\n{prose(source, 2)}"
    yield f"{prose(source, 2)}\n{words[-1]}"
    yield f"{words[0][0]}*{words[0][1:]}* _{words[-1]}_ é{words[0]}"


def _frequency(arguments: Arguments, source: random.Random) -> Iterator[str]:
    word, wanted = arguments["keyword"], arguments["frequency"]
    for count in (wanted - 1, wanted, wanted + 1):
        yield " ".join([prose(source, 1), *[word] * count])
    yield f"{word.upper()} {word.title()}s, un{word}; " * wanted
    yield word * wanted
    yield f"{word}\n" * wanted


def _letters(arguments: Arguments, source: random.Random) -> Iterator[str]:
    letter, wanted = arguments["letter"], arguments["let_frequency"]
    other = "x" if letter != "x" else "y"
    for count in (wanted - 1, wanted, wanted + 1):
        yield f"{letter * count} {other * 3}"
        yield f"{other} {letter.upper() * count}"
    yield prose(source, 6)
    yield f"{letter}\n" * wanted


def _language(arguments: Arguments, source: random.Random) -> Iterator[str]:
    text = IN_LANGUAGE[arguments["language"]]
    yield text
    yield f"{text} {text.upper()}\n{text}"
    yield f"Sure, here it is:\n{text}"
    yield f"{text}\n{IN_LANGUAGE['en']}"
    yield f"**{text[:20]}** {text[20:]} (OpenAI, 2023) https://example.org/{source.choice(WORDS)}"
    yield f"{IN_LANGUAGE['en']} {text}"
    yield text[:12]
    yield f"123 456 {text[:3]}"
    for code in source.sample(sorted(IN_LANGUAGE), k=5):
        yield IN_LANGUAGE[code]


def _first_word(arguments: Arguments, source: random.Random) -> Iterator[str]:
    word, wanted, nth = arguments["first_word"], arguments["num_paragraphs"], arguments["nth_paragraph"]

    def text(count: int, start: str, glue: str = "\n\n") -> str:
        paragraphs = [prose(source, 1) for _ in range(count)]
        if nth <= count:
            paragraphs[nth - 1] = f"{start} {paragraphs[nth - 1]}"
        return glue.join(paragraphs)

    for count in (wanted - 1, wanted, wanted + 1):
        yield text(count, word)
    for start in (
        word.upper(),
        f'"{word}"',
        f"'{word}'s",
        f"{word},",
        f"{word}-like",
        f"**{word}**",
        f"'\"{word}",
        "x",
    ):
        yield text(wanted, start)
    yield text(wanted, word, "\n\n\n")
    yield text(wanted, word, "\n\n\n\n")
    yield text(wanted, word, "\n \n")
    yield f"\n\n{text(wanted, word)}\n\n"


def _paragraphs(arguments: Arguments, source: random.Random) -> Iterator[str]:
    wanted = arguments["num_paragraphs"]
    for count in (wanted - 1, wanted, wanted + 1):
        yield "\n\n***\n\n".join(prose(source, 1) for _ in range(count))
    texts = [prose(source, 1) for _ in range(wanted)]
    yield "***" + "***".join(texts) + "\n***\n"
    yield "\n*** ***\n".join(texts)
    yield "\n****\n".join(texts)
    yield "\n******\n".join(texts)
    yield "\n* * *\n".join(texts)
    yield "\n***\n".join(f"**{text}**" for text in texts)


def _sentences(arguments: Arguments, source: random.Random) -> Iterator[str]:
    wanted = arguments["num_sentences"]
    for count in (wanted - 1, wanted, wanted + 1):
        yield prose(source, count)
    yield " ".join(
        f"Dr. {word.title()} met J. Smith at 5 p.m. in the U.S. He paid $3.50." for word in WORDS[:3]
    )
    yield "\n".join(f"{number}. {sentence(source)}" for number in range(1, wanted))
    yield " ".join(f'"{sentence(source)}" (He said: {sentence(source)})' for _ in range(wanted // 2))
    yield "Wait... what?! No... I. See! e.g. this, i.e. that. " * (wanted // 4 + 1)
    yield "\n\n".join(sentence(source).rstrip(".!?") for _ in range(wanted))


def _words(arguments: Arguments, source: random.Random) -> Iterator[str]:
    wanted = arguments["num_words"]
    for count in (wanted - 1, wanted, wanted + 1):
        yield " ".join(source.choices(WORDS, k=count))
    yield "well-known isn't " * (wanted // 4)
    yield " ".join(["naïve", "हिन्दी", "𝔘nicode", "a_b", "3.14"] * (wanted // 6))
    yield "Title\n" + "word " * (wanted - 1) + "\nend"


def _comma(_: Arguments, source: random.Random) -> Iterator[str]:
    yield prose(source)
    yield f"Well, {prose(source)}"
    yield f"{prose(source)}\nSo, yes."
    yield f"Sure, here:\n{prose(source)}"
    yield "一，二、三 1,000"
    yield "一，二、三 ؛،"


def _ending(arguments: Arguments, source: random.Random) -> Iterator[str]:
    phrase = arguments["end_phrase"]
    for end in (
        phrase,
        phrase.upper(),
        f'"{phrase}"',
        f"{phrase} ",
        f"{phrase}.",
        phrase[:-1],
        f"{phrase}\nBye",
        f"*{phrase}*",
    ):
        yield f"{prose(source, 2)} {end}"


def _quotation(_: Arguments, source: random.Random) -> Iterator[str]:
    text = prose(source, 2)
    yield from (
        f'"{text}"',
        f' "{text}"\n',
        f"“{text}”",
        f"'{text}'",
        f'"{text}',
        '"',
        '""',
        f'*"{text}"*',
        f'Sure:\n"{text}"',
    )


EDGES: dict[str, Callable[[Arguments, random.Random], Iterator[str]]] = {
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _cased(str.upper),
    "change_case:english_lowercase": _cased(str.lower),
    "combination:repeat_prompt": _repeat,
    "combination:two_responses": _two,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:constrained_response": _fixed,
    "detectable_format:json_format": _json,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:title": _title,
    "keywords:existence": _existence,
    "keywords:forbidden_words": _forbidden,
    "keywords:frequency": _frequency,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_words": _words,
    "punctuation:no_comma": _comma,
    "startend:end_checker": _ending,
    "startend:quotation": _quotation,
}


def answers_for(document: dict[str, Any], least: int = 40) -> list[str]:
    """At least `least` answers to a prompt, the same on every call."""
    source = random.Random(document["key"])
    answers = ["", " \n\t\n ", "42", "!!! ... ???", model_like(source), model_like(source).upper(), "🙂 " * 3]
    edges = []
    for kind, arguments in zip(document["instruction_id_list"], document["kwargs"], strict=True):
        edges += EDGES[kind](arguments, source)
    answers += edges
    for _ in range(4):
        answers.append("\n\n".join(source.sample(edges, k=min(2, len(edges)))))
        whole = source.choice(edges)
        answers.append(f"Sure, here it is:\n\n{whole}\n\nHope this helps.")
        answers.append(f"**{whole}**")
    while len(answers) < least:
        answers.append(soup(source, source.randint(1, 40)))
        answers.append(prose(source, source.randint(1, 6)))
        answers.append(IN_LANGUAGE[source.choice(sorted(IN_LANGUAGE))])
    return answers
