"""Gold answers of evaluation rows: there where a source has them, and never needed by a scorer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.console import SilentReporter
from budgetctl.data.columns import Columns
from budgetctl.data.gold import gold_rows
from budgetctl.data.plain_columns import plain_rows
from budgetctl.data.reasons import LeftOut
from budgetctl.data.requests import eval_data, supply_of
from budgetctl.errors import UsageError
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution
from budgetctl.tasks import task_named
from store import Store


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Any]:
    def prepare(task: str, path: Path | None = None, options: Any = None, split: str = "dev") -> Any:
        supply = supply_of(task, path, options)
        store = Store.open(tmp_path / "store", create=True)
        stage = eval_data(supply, split, None)  # type: ignore[arg-type]
        return execute(stage, store, Execution(sources=supply.located), SilentReporter()).artifact

    return prepare


def gsm8k(folder: Path) -> Path:
    folder.mkdir()
    answers = ["6 * 7 = <<6*7=42>>42\n#### 42", "1 + 1 = <<1+1=2>>2\n#### 2"]
    for name in ("train", "test"):
        rows = [{"question": f"{name} {i}?", "answer": answer} for i, answer in enumerate(answers * 40)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("task", ["arith", "gsm8k"])
def test_the_scorer_accepts_every_gold_answer(
    task: str, prepared: Callable[..., Any], tmp_path: Path
) -> None:
    data = prepared(task, gsm8k(tmp_path / "gsm8k") if task == "gsm8k" else None)
    rows = gold_rows(data)
    references = dict(zip(*(pq.read_table(data.path("eval.parquet"))[name].to_pylist()
                            for name in ("prompt_id", "reference")), strict=True))  # fmt: skip
    assert len(rows) == len(references) > 0
    scorer = task_named(task)
    for row in rows:
        assert scorer.score(row.answer, references[row.prompt_id], False)[scorer.primary_metric] == 1.0
        assert "<<" not in row.answer
        assert row.prompt[-1]["role"] == "user"


def test_files_name_their_column(prepared: Callable[..., Any], tmp_path: Path) -> None:
    rows = [{"q": "a", "ref": "1", "gold": "it is 1"}, {"q": "b", "ref": "2", "gold": ""}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"prompt": "q", "reference": "ref", "answer": "gold"}
    options = {"eval": {"files": {"dev": [str(tmp_path / "rows.jsonl")]}, "columns": columns}}
    data = prepared("gsm8k", gsm8k(tmp_path / "gsm8k"), options)
    (row,) = gold_rows(data)
    assert row.answer == "it is 1"
    assert data.metrics["rows"] == 2


def test_rows_without_gold_answers_are_no_ground_for_perplexity(
    prepared: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"q": "a", "ref": "1"}\n')
    columns = {"prompt": "q", "reference": "ref"}
    options = {"eval": {"files": {"dev": [str(tmp_path / "rows.jsonl")]}, "columns": columns}}
    with pytest.raises(UsageError, match=r"have no gold answers.*columns\.answer"):
        gold_rows(prepared("gsm8k", gsm8k(tmp_path / "gsm8k"), options))


@pytest.mark.parametrize("answers", [["x", None, ""], [["x", "y"], [], None]])
def test_whole_columns_and_single_rows_agree(answers: list[Any]) -> None:
    columns = Columns(prompt="q", reference="ref", answer="gold")
    records = pa.RecordBatch.from_pylist(
        [{"q": f"q{i}", "ref": "1", "gold": answer} for i, answer in enumerate(answers)]
    )
    slow = [next(columns.rows(record, "eval", "here", LeftOut()))["answer"] for record in records.to_pylist()]
    assert slow == ["x", None, None]
    fast = plain_rows(columns, records, "eval")
    if isinstance(answers[0], str):
        assert fast is not None
        assert fast.column("answer").to_pylist() == slow
    else:
        assert fast is None


def test_a_column_that_only_the_training_rows_have(tmp_path: Path) -> None:
    columns = Columns(prompt="q", reference="ref", answer="gold")
    records = pa.RecordBatch.from_pylist([{"q": "q", "ref": "1"}])
    fast = plain_rows(columns, records, "eval")
    assert fast is not None
    assert fast.column("answer").to_pylist() == [None]
    assert next(columns.rows(records.to_pylist()[0], "eval", "here", LeftOut()))["answer"] is None
