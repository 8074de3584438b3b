"""The text models compared with the libraries whose counts they reproduce."""

import random
from pathlib import Path

import langdetect
import nltk
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ifeval_texts import IN_LANGUAGE, model_like, prose, soup

from ifeval.text.capitals import count_capital_words
from ifeval.text.draws import Draws, WordStream
from ifeval.text.languages import LanguageDetector
from ifeval.text.occurrences import Occurrences
from ifeval.text.sentences import SentenceSplitter
from ifeval.text.words import count_words

SOUPS = 400


@pytest.fixture(scope="module", autouse=True)
def nltk_finds_its_model(nltk_data: Path) -> None:
    """NLTK reads NLTK_DATA when it is imported, which is before any fixture."""
    nltk.data.path.insert(0, str(nltk_data))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    source = random.Random(7)
    soups = [soup(source, source.randint(1, 30)) for _ in range(SOUPS)]
    return soups + [model_like(source) for _ in range(20)] + [prose(source, 9) for _ in range(20)]


def test_sentences_are_those_of_nltk(texts: list[str]) -> None:
    splitter = SentenceSplitter()
    for text in texts:
        spans = [text[start:stop] for start, stop in splitter.spans(text)]
        assert spans == nltk.sent_tokenize(text), repr(text)


def test_words_are_those_of_nltk(texts: list[str]) -> None:
    tokenizer = nltk.tokenize.RegexpTokenizer(r"\w+")
    for text in [*texts, *IN_LANGUAGE.values()]:
        assert count_words(text) == len(tokenizer.tokenize(text)), repr(text)


def test_capital_words_are_the_upper_case_tokens_of_nltk(texts: list[str]) -> None:
    splitter = SentenceSplitter()
    for text in texts:
        for form in (text, text.upper()):
            tokens = [token for token in nltk.word_tokenize(form) if token.isupper()]
            assert count_capital_words(form, splitter) == len(tokens), (form, tokens)


def test_languages_are_those_of_langdetect(texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(langdetect.DetectorFactory, "seed", 0)
    detector = LanguageDetector(seed=0)
    mixed = [
        f"{first} {second}" for first in IN_LANGUAGE.values() for second in ("Yes, indeed.", "да 123", "漢字")
    ]
    for text in [*texts[::4], *IN_LANGUAGE.values(), *mixed]:
        try:
            expected = langdetect.detect(text)
        except langdetect.LangDetectException:
            expected = None
        assert detector.detect(text) == expected, repr(text)
        for code in ("en", "kn", "ru", "vi", "zh-cn", expected or "de"):
            assert detector.is_language(text, code) == (None if expected is None else code == expected), repr(
                text
            )
    assert detector.is_language("This is English text.", "xx") is False


@given(st.integers(0, 2**32), st.lists(st.integers(1, 20_000), min_size=1, max_size=8), st.data())
def test_draws_are_those_of_pythons_random(seed: int, sizes: list[int], data: st.DataObject) -> None:
    expected, draws = random.Random(seed), Draws(WordStream(seed))
    for below in sizes:
        assert draws.gauss() == expected.gauss(0.0, 1.0)
        wanted = data.draw(st.integers(1, 60))
        used = data.draw(st.integers(1, wanted))
        values, ends = draws.look_ahead(wanted, below)
        assert values.tolist()[:used] == [expected.choice(range(below)) for _ in range(used)]
        draws.move_to(int(ends[used - 1]))


@given(st.text(alphabet="aAbBſKkı. éÉ", max_size=40), st.text(alphabet="aAbBkK.é", min_size=1, max_size=3))
def test_the_fast_search_finds_what_the_pattern_finds(text: str, word: str) -> None:
    occurrences = Occurrences.of(word)
    assert occurrences.count(text) == len(occurrences.pattern.findall(text))
    assert occurrences.occurs(text) == bool(occurrences.pattern.search(text))


def test_text_of_one_long_run_takes_linear_time() -> None:
    splitter = SentenceSplitter()
    for unit in ("a", ".", "!\n", "*", "A", "'", "“", "[", "<<", "-\n", "\n"):
        text = unit * 50_000
        splitter.count(text)
        count_words(text)
        count_capital_words(text, splitter)
