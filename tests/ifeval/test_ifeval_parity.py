"""Every verdict on the official prompts compared with lm-eval's."""

import multiprocessing
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from ifeval_answers import answers_for
from ifeval_oracle import load_oracle

from ifeval.prompts import Prompt
from ifeval.registry import KINDS
from ifeval.scoring import Scorer
from ifeval.text.languages import LanguageDetector

PROCESSES = 2
ANSWERS_A_PROMPT = 40

UNDETECTABLE = {
    "language:response_language",
    "change_case:english_capital",
    "change_case:english_lowercase",
}
"""Kinds that lm-eval takes to be followed where langdetect finds no letters at all."""

Flags = tuple[tuple[bool, ...], tuple[bool, ...]]


def oracle_verdicts(numbered: tuple[int, list[dict[str, Any]]]) -> list[list[Flags]]:
    """lm-eval's strict and loose flags, its random letters seeded by the number of the part."""
    number, documents = numbered
    oracle = load_oracle()
    random.seed(number)
    return [[_flags(oracle, document, answer) for answer in answers_for(document)] for document in documents]


def _flags(oracle: Any, document: dict[str, Any], answer: str) -> Flags:
    result = oracle.process_results(document, [answer])
    return tuple(result["inst_level_strict_acc"]), tuple(result["inst_level_loose_acc"])


def own_verdicts(number: int, documents: list[dict[str, Any]], compat: bool) -> list[list[Flags]]:
    draws_alike = Scorer(compat=compat, seed=number)
    detects_alike = Scorer(compat=compat)
    verdicts = []
    for document in documents:
        prompt = Prompt.of(document)
        drawn = any(draws_alike.checker(instruction).draws for instruction in prompt.instructions)
        scorer = draws_alike if drawn else detects_alike
        scored = [scorer.score(prompt.instructions, answer) for answer in answers_for(document)]
        verdicts.append([(verdict.strict, verdict.loose) for verdict in scored])
    return verdicts


@pytest.fixture(scope="module")
def parts(documents: list[dict[str, Any]]) -> list[tuple[int, list[dict[str, Any]]]]:
    return [(number, documents[number::PROCESSES]) for number in range(PROCESSES)]


@pytest.fixture(scope="module")
def oracle(parts: list[tuple[int, list[dict[str, Any]]]]) -> list[list[list[Flags]]]:
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(oracle_verdicts, parts))


def _differences(
    parts: list[tuple[int, list[dict[str, Any]]]], oracle: list[list[list[Flags]]], compat: bool
) -> tuple[int, list[tuple[str, int | str, str, str]]]:
    """How many verdicts, and kind, prompt, reading and answer of those that differ."""
    compared, differences = 0, []
    for (number, documents), theirs in zip(parts, oracle, strict=True):
        for document, own, other in zip(
            documents, own_verdicts(number, documents, compat), theirs, strict=True
        ):
            for answer, mine, yours in zip(answers_for(document), own, other, strict=True):
                for reading, left, right in zip(("strict", "loose"), mine, yours, strict=True):
                    for kind, flag, expected in zip(
                        document["instruction_id_list"], left, right, strict=True
                    ):
                        compared += 1
                        if flag != expected:
                            differences.append((kind, document["key"], reading, answer))
    return compared, differences


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compat_verdicts_are_lm_evals(
    parts: list[tuple[int, list[dict[str, Any]]]], oracle: list[list[list[Flags]]]
) -> None:
    compared, differences = _differences(parts, oracle, compat=True)
    print(f"{compared} verdicts compared with lm-eval, {len(differences)} differ")
    assert differences == []
    assert compared >= 40_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_compat_only_the_listed_bugs_differ(
    parts: list[tuple[int, list[dict[str, Any]]]], oracle: list[list[list[Flags]]]
) -> None:
    _, differences = _differences(parts, oracle, compat=False)
    detector = LanguageDetector()
    for kind, key, _, answer in differences:
        if kind == "keywords:letter_frequency":
            assert key in (1122, 1129)  # they count "#" and "!"; lm-eval counts a random letter
        else:
            assert kind in UNDETECTABLE
            lines = answer.split("\n")
            forms = ["\n".join(part) for part in (lines, lines[1:], lines[:-1], lines[1:-1])]
            assert any(detector.detect(form) is None for form in forms if form.strip())
    counted = Counter(kind for kind, *_ in differences)
    print(f"differences without --compat: {dict(counted)}")
    assert set(counted) >= {"keywords:letter_frequency", "language:response_language"}


def test_every_kind_gets_both_verdicts_and_every_prompt_enough_answers(
    documents: list[dict[str, Any]],
) -> None:
    followed: Counter[tuple[str, bool]] = Counter()
    scorer = Scorer()
    for document in documents[::3]:
        prompt = Prompt.of(document)
        answers = answers_for(document)
        assert len(answers) >= ANSWERS_A_PROMPT
        assert answers == answers_for(document)
        for answer in answers[::2]:
            verdict = scorer.score(prompt.instructions, answer)
            for instruction, flag in zip(prompt.instructions, verdict.strict, strict=True):
                followed[instruction.kind, flag] += 1
    assert set(followed) == {(kind, flag) for kind in KINDS for flag in (True, False)}
