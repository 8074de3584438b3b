"""Bringing hub datasets to this machine, each branch frozen to one commit per store."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from budgetctl.data.sources.hub import HubDataset
from budgetctl.errors import BudgetctlError

WANTED_FILES = ("*.parquet", "*.jsonl", "*.json", "*.csv")


class FrozenRevisions:
    """`<store>/hub-datasets.json`: which commit a declared branch stands for in this store, and its epoch."""

    def __init__(self, store_root: Path) -> None:
        self._path = store_root / "hub-datasets.json"

    def epoch(self, repository: str, revision: str) -> int:
        """How often `data refresh` moved this branch on."""
        return int(self._read().get(f"{repository}@{revision}", {}).get("epoch", 0))

    def commit(self, dataset: HubDataset) -> str | None:
        """The commit, if it is known: declared as one, or frozen by an earlier fetch."""
        if dataset.pinned:
            return dataset.revision
        entry = self._read().get(f"{dataset.repository}@{dataset.revision}", {})
        commit = entry.get("commits", {}).get(str(dataset.epoch))
        return None if commit is None else str(commit)

    def freeze(self, dataset: HubDataset, commit: str) -> str:
        """Remember a commit unless one is known already, and return the one that holds."""
        known = self.commit(dataset)
        if known is not None:
            return known
        content = self._read()
        entry = content.setdefault(
            f"{dataset.repository}@{dataset.revision}", {"epoch": dataset.epoch, "commits": {}}
        )
        entry["commits"][str(dataset.epoch)] = commit
        self._write(content)
        return commit

    def refresh(self, repository: str, revision: str) -> int:
        """Let the next fetch look the branch up anew; stages planned before keep what they had."""
        content = self._read()
        entry = content.setdefault(f"{repository}@{revision}", {"epoch": 0, "commits": {}})
        entry["epoch"] = int(entry["epoch"]) + 1
        self._write(content)
        return int(entry["epoch"])

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return content

    def _write(self, content: dict[str, Any]) -> None:
        fresh = self._path.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")
        fresh.replace(self._path)


def fetch(dataset: HubDataset, revisions: FrozenRevisions, offline: bool) -> tuple[Path, str]:
    """Return the folder with a dataset's files, and the commit they are of.

    Args:
        dataset: Which one.
        revisions: The store's frozen revisions.
        offline: Use the hub's cache on this machine and nothing else.

    Raises:
        BudgetctlError: The hub cannot be reached or does not have it; the message says how to bring the files.
    """
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415

    commit = revisions.commit(dataset)
    try:
        if commit is None and not offline:
            commit = HfApi().dataset_info(dataset.repository, revision=dataset.revision).sha
        folder = snapshot_download(
            dataset.repository,
            repo_type="dataset",
            revision=commit or dataset.revision,
            allow_patterns=list(WANTED_FILES),
            local_files_only=offline,
        )
    except (
        Exception
    ) as error:  # the hub client passes on its transport's errors, which change with its version
        raise BudgetctlError(
            f"cannot get {dataset.repository} at {commit or dataset.revision} from the hub"
            f"{' (offline: only its cache was asked)' if offline else ''}: {type(error).__name__}. "
            "Fetch it where there is a network (`hf download --repo-type dataset "
            f"{dataset.repository}`), copy the folder here and name it with --path"
        ) from error
    return Path(folder), revisions.freeze(dataset, commit or Path(folder).name)
