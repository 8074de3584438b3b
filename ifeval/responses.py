"""Answers to score, one or several a prompt."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ifeval.errors import ResponseError
from ifeval.jsonlines import read_json_lines
from ifeval.prompts import Prompt, PromptSet


@dataclass(frozen=True)
class Answer:
    """One answer: to which prompt, which of its samples (from 0), and the text."""

    prompt: Prompt
    sample: int
    text: str


def read_answers(path: Path, prompts: PromptSet) -> list[Answer]:
    """Read JSON lines with `response` or `responses`, and `key` or `prompt`; the key decides where both stand.

    A prompt may have several lines; samples are numbered in the order of the file.

    Raises:
        ResponseError: naming the line that is malformed or fits no prompt.
    """
    samples: Counter[str] = Counter()
    answers = []
    for where, fields in read_json_lines(path, ResponseError):
        prompt = _prompt_of(where, fields, prompts)
        for text in _texts(where, fields):
            answers.append(Answer(prompt, samples[str(prompt.key)], text))
            samples[str(prompt.key)] += 1
    if not answers:
        raise ResponseError(f"{path} holds no answers")
    return answers


def unanswered(prompts: PromptSet, answers: list[Answer]) -> list[Prompt]:
    """Prompts without any answer."""
    answered = {answer.prompt.key for answer in answers}
    return [prompt for prompt in prompts.prompts if prompt.key not in answered]


def _prompt_of(where: str, fields: Mapping[str, Any], prompts: PromptSet) -> Prompt:
    key, text = fields.get("key"), fields.get("prompt")
    if isinstance(key, (int, str)) and not isinstance(key, bool):
        prompt = prompts.by_key(key)
        if prompt is None:
            raise ResponseError(f"{where}: no prompt has the key {key!r}")
        return prompt
    if not isinstance(text, str):
        raise ResponseError(f"{where}: an answer needs `key` (a number or a text) or `prompt` (a text)")
    found = prompts.by_text(text)
    if len(found) != 1:
        many = "no prompt has" if not found else f"{len(found)} prompts have"
        raise ResponseError(f"{where}: {many} the text {_start(text)!r}; name the prompt by `key`")
    return found[0]


def _texts(where: str, fields: Mapping[str, Any]) -> Iterator[str]:
    if ("response" in fields) == ("responses" in fields):
        raise ResponseError(
            f"{where}: an answer needs either `response` (a text) or `responses` (a list of texts)"
        )
    texts = [fields["response"]] if "response" in fields else fields["responses"]
    if not isinstance(texts, list) or not texts:
        raise ResponseError(f"{where}: `responses` must be a list with at least one text, got {texts!r}")
    for text in texts:
        if not isinstance(text, str):
            raise ResponseError(f"{where}: a response must be a text, got {text!r}")
        yield text


def _start(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
