"""Answers that sit on the edges of IFEval's rules, generated for every prompt from its own arguments."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

# A few sentences in each language that the official prompts ask for, and in some others.
IN_LANGUAGE = {
    "ar": "السلام عليكم ورحمة الله. هذا نص قصير باللغة العربية عن الطقس والسفر والطعام في المدينة القديمة.",
    "bg": "Добър ден, това е кратък текст на български език за времето, храната и пътуването из страната.",
    "bn": "এটি বাংলা ভাষায় লেখা একটি ছোট লেখা। আমরা আজ শহরের আবহাওয়া এবং খাবার নিয়ে কথা বলব।",
    "de": "Das ist ein kurzer Text auf Deutsch über das Wetter, das Essen und die Reise in die alte Stadt.",
    "en": "This is a short text in English about the weather, the food and a journey to the old town.",
    "es": "Este es un texto breve en español sobre el tiempo, la comida y un viaje a la ciudad antigua.",
    "fa": "این یک متن کوتاه به زبان فارسی دربارهٔ هوا، غذا و سفر به شهر قدیمی است که می‌نویسم.",
    "fi": "Tämä on lyhyt suomenkielinen teksti säästä, ruoasta ja matkasta vanhaan kaupunkiin kesällä.",
    "fr": "Ceci est un court texte en français sur le temps, la cuisine et un voyage dans la vieille ville.",
    "gu": "આ ગુજરાતી ભાષામાં લખેલું એક ટૂંકું લખાણ છે. આજે આપણે શહેરના હવામાન અને ખોરાક વિશે વાત કરીશું.",
    "hi": "यह हिन्दी भाषा में लिखा हुआ एक छोटा लेख है। आज हम शहर के मौसम और भोजन के बारे में बात करेंगे।",
    "it": "Questo è un breve testo in italiano sul tempo, sul cibo e su un viaggio nella città vecchia.",
    "ja": "これは日本語で書かれた短い文章です。今日は天気と食べ物と古い町への旅について話します。",
    "kn": "ಇದು ಕನ್ನಡ ಭಾಷೆಯಲ್ಲಿ ಬರೆದ ಒಂದು ಸಣ್ಣ ಬರಹ. ಇಂದು ನಾವು ನಗರದ ಹವಾಮಾನ ಮತ್ತು ಆಹಾರದ ಬಗ್ಗೆ ಮಾತನಾಡೋಣ.",
    "ko": "이것은 한국어로 쓴 짧은 글입니다. 오늘은 날씨와 음식, 그리고 오래된 도시로의 여행에 대해 이야기합니다.",
    "mr": "हा मराठी भाषेत लिहिलेला एक छोटा लेख आहे. आज आपण शहरातील हवामान आणि जेवणाबद्दल बोलणार आहोत.",
    "ne": "यो नेपाली भाषामा लेखिएको एउटा छोटो लेख हो। आज हामी सहरको मौसम र खानाको बारेमा कुरा गर्नेछौं।",
    "pa": "ਇਹ ਪੰਜਾਬੀ ਭਾਸ਼ਾ ਵਿੱਚ ਲਿਖਿਆ ਇੱਕ ਛੋਟਾ ਲੇਖ ਹੈ। ਅੱਜ ਅਸੀਂ ਸ਼ਹਿਰ ਦੇ ਮੌਸਮ ਅਤੇ ਖਾਣੇ ਬਾਰੇ ਗੱਲ ਕਰਾਂਗੇ।",
    "pt": "Este é um texto curto em português sobre o tempo, a comida e uma viagem à cidade velha.",
    "ru": "Это короткий текст на русском языке о погоде, еде и путешествии в старый город летом.",
    "sw": "Hii ni makala fupi kwa lugha ya Kiswahili kuhusu hali ya hewa, chakula na safari ya mji wa kale.",
    "ta": "இது தமிழ் மொழியில் எழுதப்பட்ட ஒரு சிறிய கட்டுரை. இன்று நாம் நகரின் வானிலை மற்றும் உணவு பற்றி பேசுவோம்.",
    "te": "ఇది తెలుగు భాషలో రాసిన ఒక చిన్న వ్యాసం. ఈ రోజు మనం నగర వాతావరణం మరియు ఆహారం గురించి మాట్లాడుదాం.",
    "th": "นี่คือข้อความสั้น ๆ ภาษาไทยเกี่ยวกับสภาพอากาศ อาหาร และการเดินทางไปยังเมืองเก่า",
    "ur": "یہ اردو زبان میں لکھا ہوا ایک مختصر مضمون ہے۔ آج ہم شہر کے موسم اور کھانے کے بارے میں بات کریں گے۔",
    "vi": "Đây là một đoạn văn ngắn bằng tiếng Việt về thời tiết, món ăn và chuyến đi đến thành phố cổ.",
    "zh": "这是一篇用中文写的短文。今天我们谈谈天气、食物和去古城的旅行。",
}

WORDS = [
    "river",
    "mountain",
    "quiet",
    "letter",
    "story",
    "travel",
    "garden",
    "winter",
    "bread",
    "engine",
    "music",
    "teacher",
    "window",
    "simple",
    "yellow",
    "carefully",
    "between",
    "because",
    "however",
    "although",
    "together",
    "morning",
    "science",
    "history",
    "market",
    "doctor",
]

PIECES = [
    *".?!.,;:'\"()[]{}*#@-…“”‘’«»`&%$<>/\\_\t\n  \xa0—–",
    *(
        "\n\n",
        "...",
        ". . .",
        "--",
        "Dr.",
        "Mr.",
        "U.S.",
        "e.g.",
        "i.e.",
        "J.",
        "5.",
        "3.14",
        "1,000",
        "No.",
        "p.m.",
    ),
    *(
        "don't",
        "IT'S",
        "I'LL",
        "CANNOT",
        "gonna",
        "WANNA",
        "D'YE",
        "MORE'N",
        "DON'T",
        "'TIS",
        "I",
        "The",
        "NASA",
    ),
    *(
        "hello",
        "Hello",
        "WORLD",
        "ÉTÉ",
        "हिन्दी",
        "русский",
        "中文",
        "한국어",
        "ไทย",
        "https://x.org/y",
        "a@b.org",
    ),
    *(
        "* ",
        "- ",
        "**bold**",
        "*it*",
        "***",
        "******",
        "<<title>>",
        "[name]",
        "P.S.",
        "P.P.S",
        "My answer is yes.",
    ),
    *(
        "🙂",
        "e\u0301",
        "ﬁ",
        "ſ",
        "İ",
        "ß",
        "\u200b",
        "\u2028",
        "##",
        "```",
        "{}",
        '{"a": 1}',
        "1)",
        "SECTION 1",
    ),
]

Arguments = dict[str, Any]


def sentence(source: random.Random, words: int = 8) -> str:
    return " ".join(source.choices(WORDS, k=words)).capitalize() + source.choice(".....!?")


def prose(source: random.Random, sentences: int = 4) -> str:
    return " ".join(sentence(source, source.randint(4, 9)) for _ in range(sentences))


def model_like(source: random.Random) -> str:
    """Markdown as chat models write it."""
    bullets = "\n".join(f"{source.choice('*-')} **{word.title()}**: {sentence(source)}" for word in WORDS[:3])
    parts = [
        "Sure! Here's what you asked for:",
        f"# {sentence(source, 3)}",
        prose(source, 3),
        bullets,
        f"*{source.choice(WORDS)}* and **{source.choice(WORDS)}** matter. {sentence(source)}",
        "I hope this helps! Is there anything else I can help with?",
    ]
    return "\n\n".join(parts)


def soup(source: random.Random, pieces: int) -> str:
    glue = ("", "", " ", " ", "\n")
    return "".join(source.choice(PIECES) + source.choice(glue) for _ in range(pieces))


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
