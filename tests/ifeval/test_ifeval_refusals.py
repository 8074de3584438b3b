"""What must end in a sentence: odd JSON, arguments that do not fit, an output that takes nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_ifeval_command import PROMPTS, ifeval, write_lines

ANSWERS = [{"key": 1, "response": '"fine"'}, {"key": "two", "response": "one two three"}]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, Path, str, Path]:
    """Options that name good prompts and good answers."""
    prompts = write_lines(tmp_path / "prompts.jsonl", PROMPTS)
    responses = write_lines(tmp_path / "responses.jsonl", ANSWERS)
    return ("--prompts", prompts, "--responses", responses)


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"key": 1, "prompt": "p", "instruction_id_list": [["x"]], "kwargs": [{}]}', "must list kinds of"),
        ('{"key": 1, "prompt": "p", "instruction_id_list": [{}], "kwargs": [{}]}', "must list kinds of"),
        ('{"key": ' + "1" * 5000 + ', "response": "x"}', "a number is too long to be read"),
        ("[" * 100_000, "lists or objects are nested too deeply"),
    ],
    ids=["list as kind", "object as kind", "long number", "deep nesting"],
)
@pytest.mark.parametrize("option", ["--prompts", "--responses"])
def test_odd_lines(
    files: tuple[str, Path, str, Path], tmp_path: Path, option: str, line: str, message: str
) -> None:
    odd = write_lines(tmp_path / "odd.jsonl", [PROMPTS[1] if option == "--prompts" else ANSWERS[0], line])
    if "kinds" in message and option == "--responses":
        message = "either `response`"
    refused(ifeval(*files, option, odd), f"{odd}:2:", message)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("length_constraints:number_words", {"relation": "at least"}, "needs the argument 'num_words'"),
        ("language:response_language", {"language": "zh"}, "af, ar,"),
        (
            "language:response_language",
            {"language": "English"},
            "got 'English', which no answer could follow",
        ),
        ("language:response_language", {"language": "klingon"}, "zh-cn, zh-tw), got 'klingon'"),
    ],
)
def test_arguments_that_do_not_fit_are_named_by_file_line_and_key(
    files: tuple[str, Path, str, Path], tmp_path: Path, kind: str, arguments: dict[str, Any], message: str
) -> None:
    """Also for a prompt whose only answer is blank, which needs no checker."""
    odd = {"key": "odd", "prompt": "p", "instruction_id_list": [kind], "kwargs": [arguments]}
    prompts = write_lines(tmp_path / "odd.jsonl", [*PROMPTS, odd])
    responses = write_lines(tmp_path / "answers.jsonl", [*ANSWERS, {"key": "odd", "response": ""}])
    result = ifeval("--prompts", prompts, "--responses", responses)
    refused(result, f"{prompts}:3: prompt odd: {kind}", message)


def test_what_only_compat_refuses_is_named_the_same_way(
    files: tuple[str, Path, str, Path], tmp_path: Path
) -> None:
    odd = {
        "key": 7,
        "prompt": "p",
        "instruction_id_list": ["keywords:existence"],
        "kwargs": [{"keywords": ["("]}],
    }
    prompts = write_lines(tmp_path / "odd.jsonl", [odd])
    responses = write_lines(tmp_path / "answers.jsonl", [{"key": 7, "response": "x"}])
    assert ifeval("--prompts", prompts, "--responses", responses).returncode == 0
    result = ifeval("--prompts", prompts, "--responses", responses, "--compat")
    refused(result, f"{prompts}:1: prompt 7: keywords:existence", "is no regular expression")


@pytest.mark.parametrize("form", [(), ("--json",), ("--verdicts", "-")], ids=["table", "json", "verdicts"])
def test_an_output_that_takes_nothing(files: tuple[str, Path, str, Path], form: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "ifeval", *map(str, files), *form],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    refused(result, "cannot write to the standard output: No space left on device")
    assert len(result.stderr.splitlines()) == 1


def test_a_terminal_without_dashes_still_shows_the_table(files: tuple[str, Path, str, Path]) -> None:
    plain = ifeval(*files, PYTHONIOENCODING="ascii")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout.replace("-", "–") == ifeval(*files, PYTHONIOENCODING="utf-8").stdout.replace("-", "–")
    summary = json.loads(ifeval(*files, "--json", PYTHONIOENCODING="ascii").stdout)
    assert summary["prompts"] == 2
