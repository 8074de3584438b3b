from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from analysis_grids import study, unfinished, verdict_cell
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.analysis.cells import CellResult, CellStatus
from budgetctl.analysis.render import render
from budgetctl.analysis.table import build_tables


def test_rows_are_budgets_columns_are_shares_and_the_best_is_marked() -> None:
    (table,) = build_tables(study())
    assert [row.value for row in table.rows] == [100, 400, 1600]
    assert table.shares == (1, 0.75, 0.5, 0.25, 0)
    for row in table.rows:
        means = [cell.estimate.mean for cell in row.cells if cell.estimate]
        assert row.best is not None and row.best.estimate is not None
        assert row.best.estimate.mean == max(means)
        assert sum(cell.best for cell in row.cells) == 1
        assert not row.best.tied


def test_the_mean_is_over_all_seeds() -> None:
    cells = [verdict_cell([1, 1, 0, 0], seed=0), verdict_cell([1, 1, 1, 1], seed=1)]
    (table,) = build_tables(cells)
    found = table.rows[0].cells[0].estimate
    assert found is not None and found.mean == 0.75 and found.n_seeds == 2 and found.n_items == 4


def test_ties_are_those_within_noise() -> None:
    winner, near, far = [1.0] * 80 + [0.0] * 20, [1.0] * 79 + [0.0] * 21, [1.0] * 40 + [0.0] * 60
    cells = [verdict_cell(v, share=s) for v, s in ((winner, 1.0), (near, 0.5), (far, 0.0))]
    (table,) = build_tables(cells)
    assert [(cell.best, cell.tied) for cell in table.rows[0].cells] == [
        (True, False),
        (False, True),
        (False, False),
    ]


def test_without_any_noise_known_nothing_is_called_tied() -> None:
    cells = [CellResult("b", "t", "dpo", 10, share, score=share / 2) for share in (1.0, 0.5)]
    (table,) = build_tables(cells)
    assert not any(cell.tied for cell in table.rows[0].cells)
    assert "no intervals" in render([table], "table")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (CellStatus.RUNNING, "running"),
        (CellStatus.FAILED, "failed"),
        (CellStatus.MISSING, "not run"),
        (CellStatus.IMPOSSIBLE, "impossible"),
    ],
)
def test_cells_without_a_score_are_shown_as_what_they_are(status: CellStatus, word: str) -> None:
    hole = unfinished(status, budget=100, sft_share=0.5, reason="the dataset has 80 pairs")
    (table,) = build_tables([verdict_cell([1, 0]), hole])
    for format_ in ("table", "md", "latex"):
        assert word in render([table], format_)
    assert "100×0.5: the dataset has 80 pairs" in render([table], "table")
    record = json.loads(render([table], "json"))[0]["cells"][1]
    assert record["status"] == status.value and record["score"] is None


def test_a_place_the_study_never_planned_says_so() -> None:
    (table,) = build_tables([verdict_cell([1, 0], budget=10), verdict_cell([1, 0], budget=20, share=0.5)])
    assert table.rows[0].cells[1].reason == "not planned"
    assert "not planned" in render([table], "table")


def test_a_mean_over_some_of_the_seeds_says_how_many() -> None:
    cells = [verdict_cell([1, 0]), unfinished(CellStatus.RUNNING, budget=100, sft_share=1.0, seed=1)]
    (table,) = build_tables(cells)
    assert "[1/2]" in render([table], "table")


def test_the_base_models_score_belongs_to_every_method() -> None:
    base = CellResult("tiny", "arith", "", 0, 0, score=0.1, n_items=100)
    cells = [base, verdict_cell([1, 0]), replace(verdict_cell([1, 0]), method="kto")]
    tables = build_tables(cells)
    assert [table.method for table in tables] == ["dpo", "kto"]
    assert all(table.baseline and table.baseline.mean == 0.1 for table in tables)
    (alone,) = build_tables([base])
    assert "0.100" in render([alone], "table")


def test_rows_by_cost_and_by_rows_taken() -> None:
    cells = [replace(cell, cost=cell.n_sft * 4.0 + cell.n_pft) for cell in study(seeds=1)]
    (by_cost,) = build_tables(cells, by="cost")
    assert by_cost.rows[0].value == 100 and by_cost.rows[-1].value == 6400
    (by_sft,) = build_tables(cells, by="n_sft")
    assert [row.value for row in by_sft.rows] == sorted({cell.n_sft for cell in cells})


def test_csv_reads_back() -> None:
    cells = [replace(cell, task='quo"te,\nnew') for cell in study(seeds=1)]
    rows = list(csv.DictReader(io.StringIO(render(build_tables(cells), "csv"))))
    assert len(rows) == 15
    assert rows[0]["task"] == 'quo"te,\nnew'
    assert float(rows[0]["score"]) == cells[0].score


def test_a_terminal_gets_blocks_that_fit_its_width() -> None:
    cells = study(budgets=(100,), shares=[round(i / 199, 4) for i in range(200)], seeds=1, items=10)
    text = render(build_tables(cells), "table", width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.count("±") >= 200
    assert "…" not in text


@given(name=st.text(min_size=1, max_size=20))
def test_no_name_breaks_a_format(name: str) -> None:
    cells = [replace(cell, task=name) for cell in study(budgets=(10,), shares=(1, 0), seeds=1, items=4)]
    tables = build_tables(cells)
    assert json.loads(render(tables, "json"))[0]["task"] == name
    text = render(tables, "table")
    assert "\x1b" not in text
    body = [line for line in render(tables, "md").split("\n") if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in body} == {4}
    latex = "\n".join(line for line in render(tables, "latex").split("\n") if not line.startswith("%"))
    assert latex.count("{") - latex.count("\\{") == latex.count("}") - latex.count("\\}")


def test_markup_in_names_is_not_obeyed() -> None:
    cells = [replace(cell, base="[red]x[/red] <b>", task="\x1b[31m\u202egnp") for cell in study(seeds=1)]
    tables = build_tables(cells)
    assert "[red]x[/red]" in render(tables, "table")
    assert "\\u001b" in render(tables, "table") and "\\u202e" in render(tables, "table")
    assert "<b>" not in render(tables, "md")


def test_bold_only_on_a_terminal_that_knows_it() -> None:
    tables = build_tables(study())
    assert "\x1b[1m" in render(tables, "table", color=True)
    assert "\x1b" not in render(tables, "table")


def test_no_cells_make_no_tables() -> None:
    assert build_tables([]) == []
    assert render([], "table").strip() == ""


@pytest.mark.parametrize(
    "wrong", [{"sft_share": 1.5}, {"budget": -1}, {"score": None}, {"status": CellStatus.FAILED}]
)
def test_impossible_cells_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cell b/t/dpo"):
        CellResult(
            **{
                "base": "b",
                "task": "t",
                "method": "dpo",
                "budget": 10,
                "sft_share": 1.0,
                "score": 0.5,
                **wrong,
            }
        )  # type: ignore[arg-type]
