from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from analysis_grids import study, unfinished, verdict_cell
from browser import open_page
from hypothesis import given
from hypothesis import strategies as st

from budgetctl.analysis.cells import CellResult, CellStatus
from budgetctl.analysis.lineage import LineageNode
from budgetctl.analysis.page.build import render_page, script_json, write_page
from budgetctl.analysis.page.content import PageContent, answer_lines
from budgetctl.analysis.page.study import advice_at_largest, study_content
from budgetctl.analysis.recommend import recommend
from budgetctl.analysis.table import build_tables
from store import Payload, Store

MEGABYTE = 1_000_000
NASTY = '</script><img src=x onerror="window.hacked=1"><b>{{data}}'


def content(cells: list[CellResult], **more: object) -> PageContent:
    settings: dict[str, object] = {"title": "A study", "question": "Which split is best?", **more}
    return PageContent(tables=build_tables(cells), **settings)  # type: ignore[arg-type]


def lineage() -> list[LineageNode]:
    return [
        LineageNode("ab" * 32, "eval", {"gen": "cd" * 32}, {"accuracy": 0.5}),
        LineageNode("cd" * 32, "gen", {"model": "ef" * 32}),
        LineageNode("ef" * 32, "sft", {}, {"loss": 1.25}),
        LineageNode("00" * 32, "sft"),
    ]


def test_the_page_is_one_file_that_asks_nobody(tmp_path: Path) -> None:
    path = write_page(content(study(), lineage=lineage()), tmp_path / "deep" / "page.html")
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|innerHTML", text)
    assert "default-src 'none'" in text
    assert list(path.parent.iterdir()) == [path]


@given(text=st.text())
def test_data_cannot_leave_its_script_element(text: str) -> None:
    encoded = script_json({"name": text})
    assert not set("<>&\u2028\u2029") & set(encoded)
    assert json.loads(encoded) == {"name": text}


def test_the_answer_names_the_best_share_or_the_advice() -> None:
    cells = study()
    (line,) = answer_lines(content(cells))
    assert "at budget 1,600, the largest with results, SFT share 0.5 did best with" in line
    advice = recommend([], 5000, base="tiny", task="arith")
    (line,) = answer_lines(content(cells, recommendations=advice))
    assert "give 50% to SFT (2,500 SFT rows, 2,500 pairs)" in line and "rule of thumb" in line
    (line,) = answer_lines(content([]))
    assert "nothing can be compared" in line


PROBE = """
window.onerror = (text) => { window.failed = text; };
const count = (query) => document.querySelectorAll(query).length;
const found = { groups: count(".group"), plots: count("svg.plot"), lines: count("svg.plot g[data-share]") };
found.overflow = document.documentElement.scrollWidth - window.innerWidth;
found.label = document.querySelector("svg.plot text").getBoundingClientRect().height;
found.font = parseFloat(window.getComputedStyle(document.querySelector(".note")).fontSize);
document.querySelector("td button").click();
found.lineage = document.getElementById("lineage").open && document.getElementById("lineage-body").textContent;
document.getElementById("lineage").close();
document.querySelector(".legend button").click();
found.linesAfterToggle = count("svg.plot g[data-share]");
const field = document.getElementById("filter-text");
field.value = "gsm8k";
field.dispatchEvent(new window.Event("input"));
found.filtered = count(".group");
field.value = "no such task";
field.dispatchEvent(new window.Event("input"));
found.nothing = document.getElementById("filter-count").textContent;
found.hacked = window.hacked || window.parent.hacked || count("img") || null;
return JSON.stringify(found);
"""


@pytest.mark.parametrize("width", [1200, 390])
def test_in_a_browser_plots_are_drawn_and_filter_and_lineage_work(tmp_path: Path, width: int) -> None:
    cells = [*study(), *[replace(cell, task="gsm8k") for cell in study(random_state=1)]]
    cells.append(unfinished(CellStatus.FAILED, budget=100, sft_share=0.9, reason="out of memory"))
    cells.append(CellResult("tiny", "arith", "", 0, 0, score=0.1, n_items=100))
    page = render_page(content(cells, lineage=lineage(), commands=["budgetctl run"], versions={"torch": "2"}))
    opened = open_page(page, tmp_path, PROBE, width=width)
    assert opened.console == []
    found = json.loads(opened.result())
    assert (found["groups"], found["plots"], found["lines"]) == (2, 2, 10)
    assert found["linesAfterToggle"] == 9
    assert (found["filtered"], found["nothing"]) == (1, "0 of 2 tables: nothing matches")
    assert "model: sft" in found["lineage"] and "accuracy 0.5" in found["lineage"]
    assert found["overflow"] <= 0
    assert found["font"] >= 13 and found["label"] >= 12
    assert found["hacked"] is None


def test_in_a_browser_hostile_names_stay_text(tmp_path: Path) -> None:
    cells = [replace(cell, task=NASTY, base="日本 🧪 \u202e") for cell in study()]
    cells.append(unfinished(CellStatus.FAILED, base="b", task=NASTY, budget=5, sft_share=1, reason=NASTY))
    nodes = [LineageNode("ab" * 32, NASTY, {}, {NASTY: NASTY})]
    settings = {"title": NASTY, "question": NASTY, "commands": [NASTY], "versions": {NASTY: NASTY}}
    page = render_page(content(cells, lineage=nodes, **settings))
    opened = open_page(page, tmp_path, PROBE)
    assert opened.console == []
    found = json.loads(opened.result())
    assert found["hacked"] is None
    assert NASTY in found["lineage"]


def test_in_a_browser_200_columns_and_missing_values_fit_a_phone(tmp_path: Path) -> None:
    shares = [round(index / 199, 4) for index in range(200)]
    cells = study(budgets=(100, 1000), shares=shares, seeds=1, items=10)[:-7]
    opened = open_page(render_page(content(cells)), tmp_path, PROBE, width=390)
    assert opened.console == []
    found = json.loads(opened.result())
    assert found["plots"] == 1 and found["overflow"] <= 0


def test_an_empty_study_still_opens(tmp_path: Path) -> None:
    probe = "return document.getElementById('answer').textContent"
    opened = open_page(render_page(content([])), tmp_path, probe)
    assert opened.console == [] and "nothing can be compared" in opened.result()


def test_ten_thousand_cells_stay_under_three_megabytes() -> None:
    plain = study(budgets=(100, 500, 1000, 5000, 10_000, 20_000), seeds=3, items=8)
    cells, nodes = [], []
    for group in range(112):
        for index, cell in enumerate(plain):
            key = f"{group:032x}{index:032x}"
            cells.append(replace(cell, task=f"task{group}", key=key, verdicts=None, n_items=1000))
            nodes.append(LineageNode(key, "eval", {}, {"accuracy": 0.51234}))
    assert len(cells) >= 10_000
    assert len(render_page(content(cells, lineage=nodes)).encode()) < 3 * MEGABYTE


def test_verdicts_of_one_cell_do_not_reach_the_page() -> None:
    assert "item0" not in render_page(content([verdict_cell([1, 0])]))


def test_a_studys_page_is_made_from_its_cells_and_store(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    draft = store.draft(Payload(stage="eval", revision=1, identity={"x": 1}, parents={}))
    (draft.files / "verdicts.txt").write_text("1")
    key = draft.publish({"accuracy": 0.5}, {}).key
    cells = [replace(cell, key=key) for cell in study()]
    path = write_page(
        study_content(cells, store, title="quick", commands=["budgetctl run"]), tmp_path / "p.html"
    )
    probe = PROBE.replace("return JSON", "found.text = document.body.textContent; return JSON")
    opened = open_page(path.read_text(encoding="utf-8"), tmp_path, probe)
    found = json.loads(opened.result())
    assert opened.console == []
    assert "tiny on arith, budget 1,600: give" in found["text"]
    assert "eval" in found["lineage"] and key[:16] in found["lineage"]
    assert "budgetctl run" in found["text"] and "budgetctl 0." in found["text"]


def test_each_task_gets_advice_at_its_own_largest_budget() -> None:
    cells = [*study(seeds=1), *[replace(cell, task="other") for cell in study(budgets=(10, 50), seeds=1)]]
    advice = advice_at_largest(cells)
    assert {(one.task, one.budget) for one in advice} == {("arith", 1600), ("other", 50)}
    assert advice_at_largest(cells[:1]) == []
