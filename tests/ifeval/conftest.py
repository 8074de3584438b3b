"""Where IFEval's tests find the official prompts and NLTK's sentence model."""

import json
import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def nltk_data(shared_data: Path) -> Path:
    """NLTK_DATA for this process and the processes it starts."""
    folder = shared_data / "nltk_data"
    assert folder.is_dir(), f"NLTK's punkt_tab is not at {folder}; the tests fetch nothing"
    os.environ["NLTK_DATA"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def prompt_file(shared_data: Path) -> Path:
    path = shared_data / "ifeval" / "input_data.jsonl"
    assert path.is_file(), f"the official IFEval prompts are not at {path}"
    return path


@pytest.fixture(scope="session")
def documents(prompt_file: Path) -> list[dict[str, Any]]:
    """The official prompts as their file holds them."""
    return [json.loads(line) for line in prompt_file.read_text(encoding="utf-8").splitlines()]
