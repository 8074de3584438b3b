"""Generation with Transformers in a process of its own, so that several GPUs can work at once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from budgetctl.engines.child import Child
from budgetctl.engines.protocol import AdapterFolder
from budgetctl.engines.served import ServedEngine
from budgetctl.models.folders import config_of
from budgetctl.models.registry import Precision

START_S = 600.0


class ServedTransformersEngine(ServedEngine):
    """`TransformersEngine` in a child process: the same answers, from any number of GPUs."""

    def __init__(
        self,
        base: Path,
        device: str,
        precision: Precision,
        batch: int | None = None,
        threads: int | None = None,
    ) -> None:
        """Describe the engine; its process starts with the first request.

        Args:
            base: Folder of the base.
            device: `cpu`, `cuda` or `cuda:N`.
            precision: Of the weights.
            batch: Rows at once; None derives it.
            threads: CPU threads; None leaves torch's choice.
        """
        super().__init__("Transformers", int(config_of(base).get("max_position_embeddings") or 2**20))
        self._options = {
            "base": str(base),
            "device": device,
            "precision": precision,
            "batch": batch,
            "threads": threads,
        }

    def _ready(self, length: int, adapter: AdapterFolder | None) -> Child:
        if self._child is None:
            command = [
                sys.executable,
                "-P",
                "-m",
                "budgetctl.engines.transformers_child",
                json.dumps(self._options),
            ]
            log = self._folder / f"transformers-{self.starts}.log"
            self._child = Child(command, log, os.environ)
            self._await_start(self._child, START_S)
        return self._child

    def _adapter_document(self, adapter: AdapterFolder | None) -> dict[str, Any] | None:
        return None if adapter is None else {"key": adapter.key, "path": str(adapter.path)}
