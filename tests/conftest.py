"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about a busy machine than about the code.
settings.register_profile("budgetctl", deadline=None)
settings.load_profile("budgetctl")

REPOSITORY = Path(__file__).resolve().parent.parent


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
