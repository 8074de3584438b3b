"""The command line as a user meets it: files in, table, JSON and verdicts out, clear refusals."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ifeval.accuracy import summarise
from ifeval.instruction import Instruction
from ifeval.prompts import Prompt
from ifeval.scoring import Scorer, Verdict

PROMPTS = [
    {
        "key": 1,
        "prompt": "Write without commas, in quotes.",
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
        "kwargs": [{}, {}],
    },
    {
        "key": "two",
        "prompt": "Three words.",
        "instruction_id_list": ["length_constraints:number_words"],
        "kwargs": [{"relation": "at least", "num_words": 3}],
    },
]


def write_lines(path: Path, lines: list[Any]) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "prompts.jsonl", PROMPTS)


def ifeval(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ifeval", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120, check=False
    )


def test_table_json_and_verdicts(prompts: Path, tmp_path: Path) -> None:
    responses = write_lines(
        tmp_path / "responses.jsonl",
        [
            {"key": 1, "response": '"no comma"'},
            {"prompt": "Three words.", "responses": ["one two three", "one"]},
            {"key": "1", "response": 'Sure:\n"no comma"'},
            "",
            {"key": "two", "prompt": "an edited prompt", "response": "a\u2028b c"},
        ],
    )
    verdicts = tmp_path / "verdicts.jsonl"
    result = ifeval("--prompts", prompts, "--responses", responses, "--json", "--verdicts", verdicts)
    assert (result.returncode, result.stderr) == (0, "")
    assert [json.loads(line) for line in verdicts.read_text().splitlines()] == [
        {"key": 1, "sample": 0, "strict": [True, True], "loose": [True, True]},
        {"key": "two", "sample": 0, "strict": [True], "loose": [True]},
        {"key": "two", "sample": 1, "strict": [False], "loose": [False]},
        {"key": 1, "sample": 1, "strict": [True, False], "loose": [True, True]},
        {"key": "two", "sample": 2, "strict": [True], "loose": [True]},
    ]
    summary = json.loads(result.stdout)
    assert (summary["prompts"], summary["answers"], summary["instructions"]) == (2, 5, 7)
    assert summary["prompt_level_strict_acc"] == summary["strict"]["prompt"]["value"] == 3 / 5
    assert summary["inst_level_strict_acc"] == 5 / 7
    assert summary["prompt_level_loose_acc"] == 4 / 5
    assert summary["inst_level_loose_acc"] == 6 / 7
    assert summary["strict"]["kinds"]["startend:quotation"]["value"] == 0.5
    assert summary["strict"]["prompt"]["low"] < 0.6 < summary["strict"]["prompt"]["high"]
    table = ifeval("--prompts", prompts, "--responses", responses).stdout
    assert "prompt-level accuracy" in table
    assert "60.0" in table
    streamed = ifeval("--prompts", prompts, "--responses", responses, "--verdicts", "-").stdout
    assert streamed == verdicts.read_text()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"key": 1,'], "responses.jsonl:1: not JSON"),
        ([[1]], "a line must be a JSON object, got list"),
        ([{"key": 9, "response": "x"}], "no prompt has the key 9"),
        ([{"prompt": "unknown", "response": "x"}], "no prompt has the text 'unknown'"),
        ([{"response": "x"}], "needs `key`"),
        ([{"key": 1}], "either `response`"),
        ([{"key": 1, "response": "x", "responses": ["x"]}], "either `response`"),
        ([{"key": 1, "response": None}], "a response must be a text, got None"),
        ([{"key": 1, "responses": []}], "at least one text"),
        ([], "holds no answers"),
        ([{"key": 1, "response": "x"}], "1 of 2 prompts have no answer (keys two)"),
    ],
)
def test_malformed_or_missing_answers_are_refused_in_a_sentence(
    prompts: Path, tmp_path: Path, lines: list[Any], message: str
) -> None:
    responses = write_lines(tmp_path / "responses.jsonl", lines)
    result = ifeval("--prompts", prompts, "--responses", responses)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(("choice", "accuracy"), [("wrong", 0.5), ("skip", 1.0)])
def test_missing_answers_can_count_as_wrong_or_be_left_out(
    prompts: Path, tmp_path: Path, choice: str, accuracy: float
) -> None:
    responses = write_lines(tmp_path / "responses.jsonl", [{"key": 1, "response": '"fine"'}])
    result = ifeval("--prompts", prompts, "--responses", responses, "--json", "--missing", choice)
    assert json.loads(result.stdout)["prompt_level_strict_acc"] == accuracy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": None}, "`key` must be a whole number or a text"),
        ({"prompt": 3}, "`prompt` must be a text"),
        (
            {"instruction_id_list": ["keywords:rhyme", "startend:quotation"]},
            "`instruction_id_list` must list kinds",
        ),
        ({"kwargs": [{}]}, "one object for each of 2 instructions"),
        ({"kwargs": [{}, 3]}, "`kwargs` must hold objects"),
        ({"kwargs": [{"keyword": "x"}, {}]}, "does not know the argument 'keyword'"),
        ({"key": "two"}, "two prompts have the key 'two'"),
    ],
)
def test_malformed_prompts_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write_lines(tmp_path / "prompts.jsonl", [PROMPTS[0] | change, PROMPTS[1]])
    responses = write_lines(
        tmp_path / "responses.jsonl", [{"prompt": line["prompt"], "response": "x"} for line in PROMPTS]
    )
    result = ifeval("--prompts", path, "--responses", responses)
    assert result.returncode == 1
    assert message in result.stderr


def test_missing_files_and_wrong_usage(prompts: Path, tmp_path: Path) -> None:
    missing = ifeval("--prompts", prompts, "--responses", tmp_path / "none.jsonl")
    assert missing.returncode == 1
    assert "none.jsonl" in missing.stderr
    assert ifeval("--prompts", prompts).returncode == 2
    unwritable = write_lines(
        tmp_path / "r.jsonl", [{"key": 1, "response": "x"}, {"key": "two", "response": "x"}]
    )
    result = ifeval(
        "--prompts", prompts, "--responses", unwritable, "--verdicts", tmp_path / "no" / "v.jsonl"
    )
    assert "cannot write the verdicts" in result.stderr


def test_without_nltks_model_the_message_says_what_to_do(tmp_path: Path) -> None:
    prompt = {
        "key": 1,
        "prompt": "p",
        "instruction_id_list": ["length_constraints:number_sentences"],
        "kwargs": [{"relation": "at least", "num_sentences": 2}],
    }
    prompts = write_lines(tmp_path / "p.jsonl", [prompt])
    responses = write_lines(tmp_path / "r.jsonl", [{"key": 1, "response": "One here. Two there."}])
    proxy = "http://127.0.0.1:9"  # nothing listens there: the download fails at once
    nowhere = {"NLTK_DATA": str(tmp_path), "HOME": str(tmp_path), "https_proxy": proxy, "http_proxy": proxy}
    result = ifeval("--prompts", prompts, "--responses", responses, **nowhere)
    assert result.returncode == 3
    assert "fetching it once" in result.stderr
    assert "name it in the environment variable NLTK_DATA" in result.stderr
    assert "Traceback" not in result.stderr


def test_official_prompts_are_read_and_their_counts_are_known(
    prompt_file: Path, documents: list[dict[str, Any]]
) -> None:
    assert len(documents) == 541
    assert sum(len(Prompt.of(document).instructions) for document in documents) == 834


def test_help_answers_fast() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert ifeval("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 1.5


def test_intervals_treat_several_answers_to_a_prompt_as_going_together() -> None:
    instruction = Instruction.of("punctuation:no_comma", {})
    prompts = [Prompt(number, str(number), (instruction,)) for number in range(50)]
    apart = [(prompt, Verdict((prompt.key % 2 == 0,), (True,))) for prompt in prompts]  # type: ignore[operator]
    single, repeated = summarise(apart).strict.prompt, summarise(apart * 8).strict.prompt
    assert (single.n, repeated.n, repeated.value) == (50, 400, 0.5)
    assert math.isclose(single.high - single.low, repeated.high - repeated.low, rel_tol=0.02)
    assert summarise(apart).loose.prompt.low < 0.95
    with pytest.raises(ValueError, match="no verdicts"):
        summarise([])


def test_scores_do_not_depend_on_the_order_of_the_answers(documents: list[dict[str, Any]]) -> None:
    prompts = [Prompt.of(document) for document in documents[:60]]
    answers = [f"{prompt.text} Déjà vu, mon ami.\n* I AM HERE." for prompt in prompts]
    forward, backward = Scorer(), Scorer()
    ahead = [forward.score(prompt.instructions, text) for prompt, text in zip(prompts, answers, strict=True)]
    back = [
        backward.score(prompt.instructions, text)
        for prompt, text in zip(reversed(prompts), reversed(answers), strict=True)
    ]
    assert ahead == list(reversed(back))
