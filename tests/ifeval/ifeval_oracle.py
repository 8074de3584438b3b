"""lm-eval's IFEval task as an oracle: an independent implementation, installed from its wheel without dependencies.

The task's own modules need NLTK, langdetect and immutabledict; the packages around them import half of lm-eval's
dependencies. So the parents are entered as bare packages with a path, and only the task is imported.
"""

import importlib
import importlib.metadata
import sys
import types
from pathlib import Path
from typing import Any

VERSION = "0.4.13"


def oracle_folder() -> Path:
    try:
        wheel = importlib.metadata.distribution("lm_eval")
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeError(
            f"the oracle is not installed: pip install --no-deps lm-eval=={VERSION} immutabledict==4.3.1"
        ) from None
    return Path(str(wheel.locate_file("lm_eval")))


def load_oracle() -> Any:
    """The module `lm_eval.tasks.ifeval.utils`, with language detection seeded as ours is."""
    folder = oracle_folder()
    for name, path in (("lm_eval", folder), ("lm_eval.tasks", folder / "tasks")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules.setdefault(name, package)
    langdetect = importlib.import_module("langdetect")
    langdetect.DetectorFactory.seed = 0
    return importlib.import_module("lm_eval.tasks.ifeval.utils")
