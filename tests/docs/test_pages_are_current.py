"""Generated pages say what the code says, and every relative link leads somewhere."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from budgetctl.forking.triggers import WatchSettings

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def test_the_settings_page_is_current() -> None:
    make = runpy.run_path(str(REPOSITORY / "docs/make_settings.py"))
    written = (REPOSITORY / "docs/reference/settings.md").read_text(encoding="utf-8")
    assert written == make["page"](), "run `python docs/make_settings.py`"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings models that a field's annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def test_every_section_of_settings_has_its_table() -> None:
    make = runpy.run_path(str(REPOSITORY / "docs/make_settings.py"))
    shown = {model for *_, model in make["SECTIONS"]}
    named = {
        found
        for model in shown
        for field in model.model_fields.values()
        for found in models_in(field.annotation)
    }
    assert sorted(model.__name__ for model in named - shown) == [], (
        "add them to SECTIONS of docs/make_settings.py"
    )
    kinds = set(models_in(WatchSettings.model_fields["triggers"].annotation))
    assert kinds == {model for _, model in make["TRIGGERS"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()
    ]
    assert broken == []
