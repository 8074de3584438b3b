"""Every task by its name, light to import and ready to score."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from budgetctl.errors import UsageError
from budgetctl.scoring.gsm8k import GSM8K_SCORER_VERSION
from budgetctl.tasks import TASK_NAMES, Part, task_in_version, task_named
from ifeval.version import SCORER_VERSION

IFEVAL_REFERENCE = json.dumps(
    {
        "key": 1,
        "prompt": "Say hello without commas, in at least two words.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"relation": "at least", "num_words": 2}],
    }
)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_task_describes_itself(name):
    task = task_named(name)
    assert task.name == name
    assert task.max_new_tokens > 0
    assert task.scorer_version >= 1
    assert task.system_prompt is None or task.system_prompt.endswith(".")


def test_tasks_load_nothing_heavy():
    program = (
        "import sys\n"
        "from budgetctl.tasks import TASK_NAMES, task_named\n"
        "[task_named(name).scorer_version for name in TASK_NAMES]\n"
        "heavy = ('torch', 'transformers', 'numpy', 'pyarrow', 'nltk', 'langdetect', 'ifeval.scoring')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_an_unknown_task_names_those_there_are():
    with pytest.raises(UsageError, match="there is no task 'maths'; the tasks are arith, gsm8k, tuluif"):
        task_named("maths")


def test_gsm8k_follows_the_scoring_packages_version():
    assert task_named("gsm8k").scorer_version == GSM8K_SCORER_VERSION


@pytest.mark.parametrize(
    ("text", "reference", "strict", "flexible"),
    [
        ("so 3 eggs\n#### 3", "3", 1, 1),
        ("so 3 eggs\n#### 3", "1+2=<<1+2=3>>3\n#### 3", 1, 1),
        ("#### 1,000", "1000", 1, 1),
        ("the answer is 3", "3", 0, 1),
        ("#### 4", "3", 0, 0),
        ("", "3", 0, 0),
    ],
)
def test_gsm8k_reads_strictly_and_flexibly(text, reference, strict, flexible):
    assert task_named("gsm8k").score(text, reference, False) == {"strict": strict, "flexible": flexible}


def test_tuluif_asks_the_instruction_checkers():
    task = task_named("tuluif")
    assert task.score("Hello there", IFEVAL_REFERENCE, False) == {"prompt_strict": 1, "prompt_loose": 1}
    assert task.score("Hello, there", IFEVAL_REFERENCE, False) == {"prompt_strict": 0, "prompt_loose": 0}
    assert task.parts("Well\nHello, there\nyou", IFEVAL_REFERENCE) == [
        Part("punctuation:no_comma", {"instruction_strict": 0, "instruction_loose": 0}),
        Part("length_constraints:number_words", {"instruction_strict": 1, "instruction_loose": 1}),
    ]


UNKNOWN_ARGUMENT = json.dumps(
    {"key": 1, "prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"num_words": 2}]}
)


@pytest.mark.parametrize(
    ("task", "reference", "message"),
    [
        ("gsm8k", "nothing", "a GSM8K reference must hold a number, got 'nothing'"),
        ("gsm8k", "", "must hold a number"),
        ("arith", "two", "an arith reference must be a number, got 'two'"),
        ("tuluif", "not json", "not an IFEval prompt"),
        ("tuluif", "18", "not an IFEval prompt: it must be a JSON object, got '18'"),
        ("tuluif", "9" * 5000, "not an IFEval prompt"),
        ("tuluif", "{}", "not an IFEval prompt"),
        ("tuluif", '{"key": 1, "prompt": "p"}', "not an IFEval prompt"),
        ("tuluif", UNKNOWN_ARGUMENT, "does not know the argument 'num_words'"),
    ],
)
def test_a_reference_that_cannot_be_scored_is_refused_in_a_sentence(task, reference, message):
    with pytest.raises(UsageError, match=message):
        task_named(task).check_reference(reference)
    if task != "arith":
        with pytest.raises(UsageError, match=message):
            task_named(task).score("x", reference, False)


@pytest.mark.parametrize(
    ("task", "reference"), [("gsm8k", "so\n#### 1,000"), ("arith", "-12"), ("tuluif", IFEVAL_REFERENCE)]
)
def test_a_reference_that_can_be_scored_passes(task, reference):
    task_named(task).check_reference(reference)


def test_answers_of_other_tasks_have_no_parts():
    assert [list(task_named(name).parts("#### 3", "3")) for name in ("arith", "gsm8k")] == [[], []]


def test_tuluif_has_the_version_of_the_instruction_checkers():
    assert task_named("tuluif").scorer_version == SCORER_VERSION


def test_a_task_in_another_version_than_planned_is_refused():
    assert task_in_version("arith", 1).name == "arith"
    with pytest.raises(
        UsageError, match="planned with version 7 of the arith scorer, and this program has version 1"
    ):
        task_in_version("arith", 7)


def test_a_reference_without_a_number_is_refused():
    with pytest.raises(UsageError, match=r"the reference of a gsm8k row cannot be read: .*'none'"):
        task_named("gsm8k").score("3", "none", False)


WITHOUT_ARGUMENT = json.dumps(json.loads(IFEVAL_REFERENCE) | {"kwargs": [{}, {"relation": "at least"}]})


@pytest.mark.parametrize(
    "reference",
    [
        "not json",
        "{}",
        "[1]",
        '"x"',
        '{"key": 1, "prompt": "p"}',
        "[" * 100_000,
        "1" * 5000,
        WITHOUT_ARGUMENT,
    ],
    ids=range(8),
)
def test_tuluif_refuses_what_is_no_ifeval_prompt(reference):
    with pytest.raises(UsageError, match="not an IFEval prompt"):
        task_named("tuluif").score("x", reference, False)
    with pytest.raises(UsageError, match="not an IFEval prompt"):
        task_named("tuluif").parts("x", reference)
