"""One study for all tests of `gen` and `eval`."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval_study import Study

from budgetctl.__main__ import run as run_command


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, small_base: Path, sum_data: Path) -> Study:
    return Study(tmp_path_factory.mktemp("eval") / "store", small_base, sum_data)


@pytest.fixture
def study(made: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("BUDGETCTL_STORE", str(made.store.root))

    def outcome(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    made.outcome = outcome  # type: ignore[method-assign]
    return made
