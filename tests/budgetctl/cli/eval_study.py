"""A store with a small random model, two checkpoints of it and the sums as rows, for tests of `gen` and `eval`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from budgetctl.console import SilentReporter
from budgetctl.models.templates import Template
from budgetctl.stages.execute import execute
from budgetctl.stages.sft import SftIdentity, SftStage
from budgetctl.stages.stage import Execution
from budgetctl.study.bases import find_base
from budgetctl.training.config import LoraSettings, OptimizerSettings, SftSettings
from store import Payload, Store

CPU = ("--device", "cpu")
SHORT = ("--max-new-tokens", "6", *CPU)


class Study:
    """A store with a base, two checkpoints of it and the sums as rows of GSM8K."""

    def __init__(self, root: Path, base: Path, sums: Path) -> None:
        self.store = Store.open(root, create=True)
        self.rows = self._rows(sums)
        self.base = find_base(str(base), self.store, Execution()).key
        self.first, self.second = (self._checkpoint(seed) for seed in (0, 1))

    def _rows(self, sums: Path) -> str:
        payload = Payload("data", 2, {"task": "gsm8k", "split": "dev"}, {})
        draft = self.store.draft(payload)
        for name in ("sft.parquet", "eval.parquet"):
            shutil.copyfile(sums / name, draft.files / name)
        return draft.publish({}, {}).key

    def more_rows(self, name: str, rows: Sequence[Mapping[str, Any]], task: str = "gsm8k") -> str:
        """Publish evaluation rows beside the sums."""
        payload = Payload("data", 2, {"task": task, "split": name}, {})
        if not self.store.has(payload.key):
            draft = self.store.draft(payload)
            pq.write_table(pa.Table.from_pylist(list(rows)), draft.files / "eval.parquet")
            draft.publish({}, {})
        return payload.key

    def _checkpoint(self, seed: int) -> str:
        settings = SftSettings(
            epochs=1, lora=LoraSettings(rank=4), optimizer=OptimizerSettings(learning_rate=1e-2)
        )
        identity = SftIdentity(template=Template.named("tiny"), settings=settings, seed=seed)
        stage, how = SftStage(identity, self.base, self.rows), Execution(device="cpu", threads=1)
        return execute(stage, self.store, how, SilentReporter()).artifact.key

    def call(self, *arguments: str, check: int = 0) -> list[str]:
        """Run a command; its stdout's lines, or with `check` its message."""
        code, out, err = self.outcome(*arguments)
        assert code == check, f"exit {code}\n{out}\n{err}"
        return [err] if check else out.split("\n")[:-1]

    def outcome(self, *arguments: str) -> tuple[int, str, str]:
        raise NotImplementedError


def metrics(study: Study, key: str) -> dict[str, Any]:
    return dict(study.store.artifact(key).metrics)
