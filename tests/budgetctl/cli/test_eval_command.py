"""`gen` and `eval` as a user calls them, over a small random model and sums."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from budgetctl.__main__ import run as run_command
from budgetctl.console import SilentReporter
from budgetctl.errors import UsageError
from budgetctl.models.templates import Template
from budgetctl.stages.execute import execute
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import Execution
from budgetctl.study.bases import find_base
from budgetctl.study.evaluations import comparable
from budgetctl.training.config import LoraSettings, OptimizerSettings, SftSettings
from store import Payload, Store

SHORT = ("--max-new-tokens", "6", "--device", "cpu")


class Study:
    """A store with a base, two checkpoints of it and the sums as rows of GSM8K."""

    def __init__(self, root: Path, base: Path, sums: Path) -> None:
        self.store = Store.open(root, create=True)
        self.rows = self._rows(sums)
        self.base = find_base(str(base), self.store, Execution()).key
        self.first, self.second = (self._checkpoint(seed) for seed in (0, 1))

    def _rows(self, sums: Path) -> str:
        payload = Payload("data", 2, {"task": "gsm8k", "split": "dev"}, {})
        draft = self.store.draft(payload)
        for name in ("sft.parquet", "eval.parquet"):
            shutil.copyfile(sums / name, draft.files / name)
        return draft.publish({}, {}).key

    def _checkpoint(self, seed: int) -> str:
        settings = SftSettings(
            epochs=1, lora=LoraSettings(rank=4), optimizer=OptimizerSettings(learning_rate=1e-2)
        )
        identity = SftIdentity(template=Template.named("tiny"), settings=settings, seed=seed)
        stage, how = SftStage(identity, self.base, self.rows), Execution(device="cpu", threads=1)
        return execute(stage, self.store, how, SilentReporter()).artifact.key

    def call(self, *arguments: str, check: int = 0) -> list[str]:
        """Run a command; its stdout's lines, or with `check` its message."""
        code, out, err = self.outcome(*arguments)
        assert code == check, f"exit {code}\n{out}\n{err}"
        return [err] if check else out.split("\n")[:-1]

    def outcome(self, *arguments: str) -> tuple[int, str, str]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_base: Path, sum_data: Path) -> Study:
    return Study(tmp_path_factory.mktemp("eval") / "store", small_base, sum_data)


@pytest.fixture
def study(made: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("BUDGETCTL_STORE", str(made.store.root))

    def outcome(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    made.outcome = outcome  # type: ignore[method-assign]
    return made


def metrics(study: Study, key: str) -> dict[str, Any]:
    return dict(study.store.artifact(key).metrics)


def test_a_checkpoint_answers_first_and_pass_at_k_is_reported(study: Study) -> None:
    options = ("--data", study.rows, "--samples", "4", "--pass-at", "1,4,2", *SHORT)
    (key,) = study.call("eval", study.first, *options)
    found = metrics(study, key)
    assert (found["prompts"], found["answers"]) == (24, 96)
    assert found["strict_pass@4_low"] <= found["strict_pass@4"] <= found["strict_pass@4_high"]
    generation = study.store.artifact(study.store.artifact(key).parents["gen"])
    assert generation.identity["decoding"]["temperature"] == 1.0
    assert study.call("eval", study.first, *options) == [key]
    (again,) = study.call("eval", generation.key, "--pass-at", "1,2,4")
    assert again == key
    assert json.loads(study.call("eval", generation.key, "--json")[0])["answers"] == 96


def test_too_few_answers_for_k(study: Study) -> None:
    (generation,) = study.call("gen", study.first, "--data", study.rows, "--decoding", "sample-2", *SHORT)
    (error,) = study.call("eval", generation, "--pass-at", "1,4", check=2)
    assert "pass@4 needs at least 4 answers" in error
    assert "has 2" in error
    (error,) = study.call(
        "eval", study.first, "--data", study.rows, "--pass-at", "8", "--samples", "4", check=2
    )
    assert "--samples 8" in error


@pytest.mark.parametrize("text", ["1,x", "0", "-1", "1.5"])
def test_k_must_be_whole_numbers(study: Study, text: str) -> None:
    (error,) = study.call("eval", study.first, "--pass-at", text, check=2)
    assert "whole numbers above 0" in error


def test_perplexity_of_gold_and_of_greedy_answers(study: Study) -> None:
    (gold,) = study.call("eval", study.first, "--data", study.rows, "--perplexity", "gold", *SHORT)
    assert metrics(study, gold)["answers"] == "gold"
    (greedy,) = study.call("eval", study.first, "--data", study.rows, "--perplexity", "greedy", *SHORT)
    generation = study.store.artifact(greedy).parents["gen"]
    assert metrics(study, greedy)["perplexity"] < metrics(study, gold)["perplexity"]
    assert study.call("eval", generation, "--perplexity", "greedy", *SHORT) == [greedy]
    assert study.call("eval", generation, "--perplexity", "gold", *SHORT) == [gold]
    (sampled,) = study.call("gen", study.first, "--data", study.rows, "--decoding", "sample-2", *SHORT)
    (error,) = study.call("eval", sampled, "--perplexity", "greedy", check=2)
    assert "temperature 1, not greedily" in error
    for option in (("--pass-at", "1"), ("--samples", "2"), ("--decoding", "paper")):
        (error,) = study.call("eval", study.first, "--perplexity", "greedy", *option, check=2)
        assert "leave --pass-at, --samples and --decoding out" in error


def test_several_models_share_one_engine(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    import budgetctl.engines.transformers as engines  # noqa: PLC0415

    loaded = engines.load_base
    monkeypatch.setattr(engines, "load_base", lambda *a: started.append("base") or loaded(*a))
    models = (study.base, study.first, study.second)
    keys = study.call("gen", *models, "--data", study.rows, "--max-new-tokens", "5", "--device", "cpu")
    assert len(set(keys)) == 3
    assert started == ["base"]


def test_several_models_share_one_vllm(study: Study, stand_in: Path) -> None:
    """One start, for the largest rank among them, and a perplexity through the same engine."""
    models = (study.base, study.first, study.second)
    options = ("--data", study.rows, "--engine", "vllm", *SHORT)
    keys = study.call("gen", *models, *options)
    texts = {
        tuple(pq.read_table(study.store.artifact(key).path("generations.parquet"))["text"].to_pylist())
        for key in keys
    }
    assert len(texts) == 3
    (start,) = (json.loads(line) for line in (stand_in / "starts.jsonl").read_text().splitlines())
    assert start["max_lora_rank"] == 8
    assert study.call("gen", *models, *options) == keys
    (scored,) = study.call("eval", study.first, "--perplexity", "gold", *options)
    assert study.store.artifact(scored).identity["engine"] == "vllm"


def compared(study: Study, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(study.call("eval", "diff", *arguments, "--json")[0])
    return found


def test_two_checkpoints_against_each_other(study: Study) -> None:
    for option in (("--max-new-tokens", "6"), ("--max-new-tokens", "4")):
        evaluations = [
            study.call("eval", model, "--data", study.rows, *option, "--device", "cpu")[0]
            for model in (study.first, study.second)
        ]
    found = compared(study, *evaluations)
    assert found["n"] == 24
    assert found["mcnemar_p"] is not None
    assert found["bootstrap_low"] <= found["difference"] <= found["bootstrap_high"]
    assert compared(study, *(study.store.artifact(key).parents["gen"] for key in evaluations)) == found
    assert json.loads(study.call("report", "compare", *evaluations, "--json")[0]) == found
    (error,) = study.call("eval", "diff", study.first, study.second, check=2)
    assert "evaluated alike in 2 ways" in error
    assert evaluations[0][:12] in error
    study.call("eval", study.base, "--data", study.rows, "--max-new-tokens", "3", "--device", "cpu")
    (error,) = study.call("eval", "diff", study.first, study.base, check=2)
    assert "no evaluations of the same kind" in error
    with pytest.raises(UsageError, match="is a data artifact"):
        comparable(study.rows, study.first, study.store)


def test_two_perplexities_against_each_other(study: Study) -> None:
    keys = [
        study.call("eval", model, "--data", study.rows, "--perplexity", "gold", *SHORT)[0]
        for model in (study.first, study.base)
    ]
    found = compared(study, *keys)
    ratio = metrics(study, keys[0])["perplexity"] / metrics(study, keys[1])["perplexity"]
    assert found["ratio"] == pytest.approx(ratio, rel=1e-9)
    assert found["rows"] == 24
    assert found["low"] < ratio < found["high"] < 1
    assert found["real"]
    assert study.call("eval", "diff", *keys)[-1] == "the first is better"


def test_a_key_that_begins_like_no_artifact(study: Study) -> None:
    code, out, _ = study.outcome("eval", "0123456789abcdef" * 4)
    assert (code, out) == (3, "")


@pytest.mark.parametrize("command", ["eval", "gen"])
def test_what_looks_like_a_key_may_be_one_or_a_model(study: Study, command: str) -> None:
    unknown = "deadbeef"
    assert not any(artifact.key.startswith(unknown) for artifact in study.store.artifacts())
    (error,) = study.call(command, unknown, "--data", study.rows, check=3)
    assert f"no key in {study.store.root} begins with '{unknown}'" in error
    assert f"there is no base model '{unknown}': no such folder" in error
    (error,) = study.call(command, "no-model", "--data", study.rows, check=2)
    assert "no key" not in error


def test_rows_of_ones_own_without_a_prompt_that_is_too_long(study: Study, tmp_path: Path) -> None:
    """What the refusal advises."""

    def rows(*questions: str) -> str:
        file = tmp_path / f"{len(questions)}.jsonl"
        file.write_text("".join(json.dumps({"q": question, "a": "2"}) + "\n" for question in questions))
        columns = (
            "--set",
            "eval.columns.prompt=q",
            "--set",
            "eval.columns.reference=a",
            "--system-prompt",
            "",
        )
        made = study.call(
            "data", "gsm8k", "--kind", "eval", "--offline", "--set", f"eval.files.test=[{file}]", *columns
        )
        return made[0]

    (error,) = study.call("eval", study.first, "--data", rows("1+1?", "1+" * 300), *SHORT, check=2)
    assert "no room for an answer, however short" in error
    assert "budgetctl data TASK --kind eval --set eval.files.test=[FILE]" in error
    study.call("eval", study.first, "--data", rows("1+1?"), *SHORT)


def test_help_of_both() -> None:
    from budgetctl.cli.app import app  # noqa: PLC0415

    for arguments in (["eval", "--help"], ["eval", "score", "--help"], ["eval", "diff", "--help"]):
        found = CliRunner().invoke(app, arguments)
        assert found.exit_code == 0
        assert "budgetctl eval" in found.output
