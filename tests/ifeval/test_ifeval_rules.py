"""Each rule by hand-made examples, and arguments that do not fit."""

import time
from typing import Any

import pytest

from ifeval.errors import PromptError
from ifeval.instruction import Instruction
from ifeval.scoring import Scorer
from ifeval.text.language_profiles import load_profiles, profile_codes

EXAMPLES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "at least", "capital_frequency": 2},
        "I AM here.",
        "I am.",
    ),
    ("change_case:english_capital", {}, "THIS IS AN ENGLISH SENTENCE.", "This is an English sentence."),
    ("change_case:english_lowercase", {}, "this is an english sentence.", "DAS IST DEUTSCH."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "say hi. Hi!", "Hi! Say hi."),
    ("combination:two_responses", {}, "One.\n******\nTwo.", "One.\n******\nOne."),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        "[name] of [city]",
        "[name of\ncity]",
    ),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. More.", "Bye. PS more."),
    ("detectable_content:postscript", {"postscript_marker": "N.B."}, "n.b. this", "nxbx this"),
    ("detectable_format:constrained_response", {}, "My answer is no.", "No."),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{'a': 1}"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Day", "num_sections": 2},
        "Day 1\nx\nDay 2\ny",
        "Day 1",
    ),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n- b\n- c"),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        "*a* and **b**",
        "*a* and ** **",
    ),
    ("detectable_format:title", {}, "<<Title>>", "<<\n>>"),
    ("keywords:existence", {"keywords": ["sun", "moon"]}, "Sunny MOONS", "sun"),
    ("keywords:forbidden_words", {"forbidden_words": ["C++", "rain"]}, "C and rainy", "I like c++."),
    ("keywords:frequency", {"keyword": "a.b", "frequency": 2, "relation": "at least"}, "a.b A.B", "a.b axb"),
    (
        "keywords:letter_frequency",
        {"letter": "#", "let_frequency": 2, "let_relation": "at least"},
        "#a #b",
        "#a b",
    ),
    ("language:response_language", {"language": "de"}, "Das ist ein deutscher Satz.", "12345"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        'First.\n\n"Then," he said.',
        "Then.\n\nFirst.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n***\n***\nb"),
    (
        "length_constraints:number_sentences",
        {"relation": "less than", "num_sentences": 3},
        "Dr. X left. Bye.",
        "Cats run. Dogs bark. Birds sing.",
    ),
    (
        "length_constraints:number_words",
        {"relation": "at least", "num_words": 3},
        "well-known fact",
        "two words",
    ),
    ("punctuation:no_comma", {}, "no comma", "a, b"),
    ("startend:end_checker", {"end_phrase": "The end."}, 'So. "The END."', "The end. Really."),
    ("startend:quotation", {}, '"quoted"', "'quoted'"),
]


@pytest.mark.parametrize(("kind", "arguments", "followed", "broken"), EXAMPLES)
def test_rule(kind: str, arguments: dict[str, Any], followed: str, broken: str) -> None:
    scorer = Scorer()
    instruction = Instruction.of(kind, arguments)
    assert scorer.score([instruction], followed).strict == (True,)
    assert scorer.score([instruction], broken).strict == (False,)
    assert scorer.score([instruction], " \n").loose == (False,)


def test_loose_forgives_a_first_line_a_last_line_and_stars() -> None:
    scorer, quotation = Scorer(), [Instruction.of("startend:quotation", {})]
    for answer in ('Sure:\n"yes"', '"yes"\nBye', 'Sure:\n"yes"\nBye', '*"yes"*', 'Sure:\n**"yes"**\nBye'):
        verdict = scorer.score(quotation, answer)
        assert (verdict.strict, verdict.loose) == ((False,), (True,))
    assert scorer.score(quotation, 'Sure:\nhere:\n"yes"').loose == (False,)


def test_compat_reads_words_as_patterns_and_takes_undetectable_text_as_followed() -> None:
    keyword = [Instruction.of("keywords:existence", {"keywords": ["a.b"]})]
    language = [Instruction.of("language:response_language", {"language": "de"})]
    assert Scorer().score(keyword, "axb").strict == (False,)
    assert Scorer(compat=True).score(keyword, "axb").strict == (True,)
    broken = [Instruction.of("keywords:existence", {"keywords": ["(:"]})]
    assert Scorer().score(broken, "a smiley (: here").strict == (True,)
    with pytest.raises(PromptError, match="is no regular expression"):
        Scorer(compat=True).score(broken, "a smiley (: here")
    assert Scorer().score(language, "12345").strict == (False,)
    assert Scorer(compat=True).score(language, "12345").strict == (True,)


def test_an_end_phrase_that_ends_in_a_quote_can_be_followed() -> None:
    said = [Instruction.of("startend:end_checker", {"end_phrase": 'He said "no."'})]
    for answer in ('Well. He said "no."', 'well. he said "NO."  '):
        assert Scorer().score(said, answer).strict == (True,)
        assert Scorer(compat=True).score(said, answer).strict == (False,)
    for answer in ("Well. He said no.", 'He said "no." Really.'):
        assert Scorer().score(said, answer).strict == (False,)


def test_every_language_of_langdetect_is_taken_and_no_other() -> None:
    assert len(profile_codes()) == 55
    assert set(profile_codes()) == {profile.code for profile in load_profiles()}
    for code in (*profile_codes(), "EN", "zh", ""):
        try:
            Scorer().checker(Instruction.of("language:response_language", {"language": code}))
        except PromptError:
            assert code in ("EN", "zh", "")


def test_json_nested_beyond_the_interpreters_limit_is_not_json_and_no_crash() -> None:
    assert Scorer().score([Instruction.of("detectable_format:json_format", {})], "[" * 200_000).strict == (
        False,
    )


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("keywords:rhyme", {}, "no instruction kind is called 'keywords:rhyme'"),
        ("keywords:existence", {}, "needs the argument 'keywords'"),
        ("keywords:existence", {"keywords": []}, "list of texts, none blank"),
        ("keywords:existence", {"keywords": "sun"}, "must be a list of texts"),
        (
            "punctuation:no_comma",
            {"num_words": 3},
            "does not know the argument 'num_words'; it takes no arguments",
        ),
        (
            "length_constraints:number_words",
            {"relation": "around", "num_words": 3},
            "'at least' or 'less than'",
        ),
        ("length_constraints:number_words", {"relation": "at least", "num_words": "3"}, "whole number"),
        ("length_constraints:number_words", {"relation": "at least", "num_words": 2.5}, "got 2.5"),
        ("length_constraints:number_words", {"relation": "at least", "num_words": -1}, "at least 0"),
        (
            "keywords:letter_frequency",
            {"letter": "ab", "let_frequency": 1, "let_relation": "at least"},
            "one character",
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "x"},
            "nth_paragraph is 3, beyond num_paragraphs 2",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(kind: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        Scorer().score([Instruction.of(kind, arguments)], "text")


def test_null_arguments_and_whole_floats_are_those_of_published_tables() -> None:
    arguments = {"relation": "at least", "num_words": 3.0, "keywords": None, "letter": None}
    instruction = Instruction.of("length_constraints:number_words", arguments)
    assert instruction == Instruction.of(
        "length_constraints:number_words", {"relation": "at least", "num_words": 3}
    )
    assert Scorer().score([instruction], "one two three").strict == (True,)


def test_no_rule_takes_more_than_linear_time() -> None:
    scorer = Scorer()
    instructions = [Instruction.of(kind, arguments) for kind, arguments, *_ in EXAMPLES]
    for unit in ("[", "<<a", "*", "\n", " ", "- ", "a\n\n", "******", "P.", "!", "'", "1"):
        start = time.process_time()
        scorer.score(instructions, unit * (40_000 // len(unit)))
        assert time.process_time() - start < 5.0, repr(unit)
