"""GSM8K's own references, for the tests of its readings."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def gsm8k_references(shared_data: Path) -> list[str]:
    lines = (shared_data / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["answer"] for line in lines]
