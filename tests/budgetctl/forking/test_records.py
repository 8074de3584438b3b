from __future__ import annotations

from pathlib import Path

import pytest
from curves import point, right, sure_perplexity

from budgetctl.errors import BudgetctlError
from budgetctl.forking.decide import Decider
from budgetctl.forking.entries import parse_triggers
from budgetctl.forking.measure import pass_measurement, perplexity_measurement
from budgetctl.forking.records import (
    Evaluation,
    fork_records,
    monitor_rows,
    read_forks,
    read_monitor,
    write_forks,
    write_monitor,
)
from budgetctl.forking.triggers import WatchSettings
from budgetctl.scoring.perplexity import RowLoss, perplexity


def test_forks_are_recorded_fired_or_not(tmp_path: Path) -> None:
    entries = [{"perplexity": [4, 3, 1.5]}, {"pass@1": 0.9}, {"at": [24, 800]}]
    decider = Decider(WatchSettings(triggers=parse_triggers(entries, 999), every=8), 2)
    assert decider.see(point(0), [sure_perplexity(5), right(0.25)]) == []
    decider.see(point(1), [sure_perplexity(2), right(0.125)])
    decider.see(point(3), [])
    write_forks(tmp_path / "forks.json", fork_records(decider.outcomes()))
    easy, hard, harder, share, count, late = read_forks(tmp_path / "forks.json")
    assert (hard.trigger, hard.fired, hard.same_as, hard.step, hard.folder) == (
        "perplexity<=3", True, "", 1, "at/1"
    )  # fmt: skip
    assert (hard.examples, hard.distinct, hard.epoch, hard.learning_rate) == (8, 8, 0.2, 5e-4)
    assert (easy.same_as, easy.folder) == ("perplexity<=3", "at/1")
    assert hard.metric == "perplexity" and hard.value == pytest.approx(2, rel=1e-2)
    assert (harder.fired, harder.step, harder.folder) == (False, 1, None)
    assert (share.fired, share.value, share.step, share.k, share.n) == (False, 0.25, 0, 1, 1000)
    assert (count.fired, count.step, count.metric, count.value) == (True, 3, None, None)
    assert (late.fired, late.step, late.value) == (False, None, None)


def test_the_monitor_reads_back_exactly(tmp_path: Path) -> None:
    seen = (perplexity_measurement([(3.0, 2), (1.0, 4)]), pass_measurement([[1, 0], [0, 0]], 2, strict=False))
    rows = list(monitor_rows([Evaluation(point(0), seen), Evaluation(point(5), seen[:1])]))
    assert [(row.step, row.metric, row.k, row.strict) for row in rows] == [
        (0, "perplexity", None, None),
        (0, "pass@2", 2, False),
        (5, "perplexity", None, None),
    ]
    write_monitor(tmp_path / "monitor.parquet", rows)
    assert read_monitor(tmp_path / "monitor.parquet") == rows
    write_monitor(tmp_path / "none.parquet", [])
    assert read_monitor(tmp_path / "none.parquet") == []


def test_measurements_agree_with_the_projects_scores() -> None:
    losses = [(3.0, 2), (1.0, 4), (2.5, 3)]
    found = perplexity_measurement(losses)
    expected = perplexity([RowLoss(*row) for row in losses])
    assert (found.value, found.low, found.high) == (expected.token_weighted, expected.low, expected.high)
    assert found.items == ((3.0, 2.0), (1.0, 4.0), (2.5, 3.0))
    share = pass_measurement([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], 2, strict=True)
    assert share.items == (0.5, 1.0, 0.0)
    assert (share.metric, share.value, share.n, share.samples) == ("pass@2", 0.5, 3, 4)
    assert 0 < share.low < 0.5 < share.high < 1


def test_intervals_have_a_width_at_none_and_all_right() -> None:
    for flag in (0, 1):
        share = pass_measurement([[flag] * 4] * 10, 1, strict=True)
        assert share.value == flag and share.high - share.low > 0.2


@pytest.mark.parametrize("right", [[], [[1]], [[1, 0], [1]], [[1, 0.5], [0, 0]]])
def test_bad_verdicts_are_refused(right: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="pass@k needs"):
        pass_measurement(right, 1, strict=True)


def test_damaged_records_are_told_in_a_sentence(tmp_path: Path) -> None:
    line = Evaluation(point(0), (right(0.5, rows=4),)).as_json()
    for broken in (line[:-9], "{}", '{"point": {}, "measurements": []}'):
        with pytest.raises(BudgetctlError, match="a stored evaluation cannot be read"):
            Evaluation.from_json(broken)
    (tmp_path / "forks.json").write_text('{"forks": [{"trigger": "a"}]}')
    with pytest.raises(BudgetctlError, match=r"forks.json is no record of forks"):
        read_forks(tmp_path / "forks.json")
