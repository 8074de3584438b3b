"""Generated pages say what the code says, and every relative link leads somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def test_the_settings_page_is_current() -> None:
    make = runpy.run_path(str(REPOSITORY / "docs/make_settings.py"))
    written = (REPOSITORY / "docs/reference/settings.md").read_text(encoding="utf-8")
    assert written == make["page"](), "run `python docs/make_settings.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()
    ]
    assert broken == []
