from __future__ import annotations

from pathlib import Path

import pytest
from analysis_grids import study, unfinished

from budgetctl.analysis.cells import CellResult, CellStatus
from budgetctl.analysis.lineage import LineageNode, lineage_of, lineage_text
from budgetctl.analysis.select import select_cells
from budgetctl.errors import UsageError
from store import Payload, Store


def publish(store: Store, stage: str, parents: dict[str, str], metrics: dict[str, float]) -> str:
    payload = Payload(stage=stage, revision=1, identity={"stage": stage}, parents=parents)
    draft = store.draft(payload)
    (draft.files / "out.txt").write_text(stage)
    draft.publish(metrics, {})
    return payload.key


def test_the_stages_behind_a_result_are_walked_once_each(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    base = publish(store, "base", {}, {})
    data = publish(store, "data", {}, {"rows": 12})
    sft = publish(store, "sft", {"base": base, "data": data}, {"loss": 1.23456})
    pft = publish(store, "pft", {"base": base, "sft": sft}, {})
    nodes = lineage_of(store, [pft])
    assert [node.stage for node in nodes] == ["pft", "base", "sft", "data"]
    text = lineage_text(nodes, pft)
    assert text.splitlines() == [
        f"pft {pft[:12]}",
        f"├─ base: base {base[:12]}",
        f"└─ sft: sft {sft[:12]}  loss 1.235",
        f"   ├─ base: base {base[:12]}",
        f"   └─ data: data {data[:12]}  rows 12",
    ]


def test_a_parent_that_is_gone_is_named_as_such(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    sft = publish(store, "sft", {"base": "ab" * 32}, {})
    assert "not published abababababab" in lineage_text(lineage_of(store, [sft]), sft)


def test_shared_stages_are_unfolded_once_and_names_are_harmless() -> None:
    nodes = [
        LineageNode("a" * 64, "eval", {"x": "b" * 64, "y": "b" * 64}),
        LineageNode("b" * 64, "s\x1b[31m", {"z": "c" * 64}),
        LineageNode("c" * 64, "data"),
    ]
    text = lineage_text(nodes, "a" * 64)
    assert text.count("data") == 1 and "(as above)" in text and "\x1b" not in text


def test_cells_are_selected_by_words_and_numbers() -> None:
    cells = [*study(seeds=2), unfinished(CellStatus.FAILED, budget=100, sft_share=0.5, seed=9)]
    assert {cell.budget for cell in select_cells(cells, ["budget >= 400", "share<1"])} == {400, 1600}
    assert [cell.seed for cell in select_cells(cells, ["status=failed"])] == [9]
    assert len(select_cells(cells, ["score>0"])) == len(cells) - 1
    assert select_cells(cells, ["task!=arith"]) == []
    assert len(select_cells(cells, [])) == len(cells)


def test_the_base_models_score_stays_with_its_task() -> None:
    base = CellResult("tiny", "arith", "", 0, 0, score=0.1)
    assert select_cells([base], ["budget>=400", "method=dpo"]) == [base]
    assert select_cells([base], ["task=other"]) == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("budgte>5", ["unknown column 'budgte'", "did you mean budget"]),
        ("zzz=5", ["unknown column 'zzz'", "there are base, task"]),
        ("budget>many", ["needs a number after >", "'many'"]),
        ("task<gsm8k", ["only = and !="]),
        ("just words", ["cannot read the condition"]),
    ],
)
def test_a_bad_condition_is_explained(condition: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        select_cells(study(), [condition])
    for word in words:
        assert word in str(caught.value)
