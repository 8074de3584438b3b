"""lm-eval's GSM8K task as an oracle: its own filter class, with the patterns of its own task file."""

import importlib
import importlib.metadata
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path

import yaml


def _load(filter_name: str) -> tuple[Callable[[str], str], list[str]]:
    folder = Path(str(importlib.metadata.distribution("lm_eval").locate_file("lm_eval")))
    for name, path in (("lm_eval", folder), ("lm_eval.filters", folder / "filters")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules.setdefault(name, package)
    task = yaml.safe_load((folder / "tasks" / "gsm8k" / "gsm8k.yaml").read_text(encoding="utf-8"))
    steps = next(entry["filter"] for entry in task["filter_list"] if entry["name"] == filter_name)
    settings = {name: value for name, value in steps[0].items() if name != "function"}
    extraction = importlib.import_module("lm_eval.filters.extraction").RegexFilter(**settings)
    ignored = task["metric_list"][0]["regexes_to_ignore"]
    return lambda text: extraction.apply([[text]], [{}])[0][0], ignored


class Gsm8kOracle:
    """One of lm-eval's two filters: `strict-match` or `flexible-extract`."""

    def __init__(self, filter_name: str) -> None:
        self._extract, self._ignored = _load(filter_name)

    def reading(self, answer: str) -> str:
        """What lm-eval compares: the extracted text after what its metric ignores."""
        return self._plain(self._extract(answer))

    def is_right(self, answer: str, reference: str) -> bool:
        return self.reading(answer) == self._plain(reference)

    def _plain(self, text: str) -> str:
        for pattern in self._ignored:
            text = re.sub(pattern, "", text)
        return text.lower()
