from __future__ import annotations

from pathlib import Path

import pytest
from analysis_grids import study, unfinished

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.results_file import observations_of, read_results
from budgetctl.errors import UsageError

HEADER = "base,task,budget,sft_ratio,score"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "results.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_results_are_read_with_their_optional_columns(tmp_path: Path) -> None:
    path = write(tmp_path, f"\ufeff{HEADER},n,seed,support\nllama,gsm8k,1000,0.75,0.5,1319,7,x\n\n")
    (one,) = read_results(path)
    assert (one.n_sft, one.n_pft, one.score, one.n_items, one.seed) == (750, 250, 0.5, 1319, 7)


def test_columns_may_come_in_any_order_and_n_may_be_empty(tmp_path: Path) -> None:
    (one,) = read_results(write(tmp_path, "score,task,base,sft_ratio,n,budget\n0.1,t,b,,,0\n"))
    assert (one.budget, one.n_sft, one.n_pft, one.n_items) == (0, 0, 0, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base,task,budget,ratio,score\nb,t,1,1,1\n", ["sft_ratio", "'ratio'"]),
        ("task,score\nt,1\n", ["lacks the columns", "base", "budget", "sft_ratio"]),
        (f"{HEADER}\nb,t,100,1.5,0.5\n", ["line 2", "sft_ratio is 1.5", "between 0 and 1"]),
        (f"{HEADER}\nb,t,100,-0.1,0.5\n", ["line 2", "sft_ratio is -0.1"]),
        (f"{HEADER}\nb,t,100,1,0.5\nb,t,many,1,0.5\n", ["line 3", "budget is 'many'"]),
        (f"{HEADER}\nb,t,100,1,nan\n", ["line 2", "score is nan"]),
        (f"{HEADER}\nb,t,100,1\n", ["line 2", "score is ''"]),
        (f"{HEADER}\nb,t,-5,1,0.5\n", ["budget is -5"]),
        (f"{HEADER}\n,t,5,1,0.5\n", ["base and task must not be empty"]),
        (f"{HEADER}\nb,t,5,1,0.5,0.6\n", ["more values than columns"]),
        (f"{HEADER},n\nb,t,5,1,0.5,0\n", ["n is 0"]),
        (f"{HEADER}\n", ["no results"]),
        ("", ["lacks the columns"]),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_results(write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_a_missing_file_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist; --results takes a CSV"):
        read_results(tmp_path / "none.csv")


def test_a_study_becomes_observations() -> None:
    cells = [*study(seeds=2), unfinished(CellStatus.FAILED, budget=7, sft_share=1)]
    found = observations_of(cells)
    assert len(found) == 30
    assert found[2].n_sft == cells[2].n_sft and found[2].method == "dpo"
