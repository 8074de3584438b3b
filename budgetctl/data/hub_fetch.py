"""Bringing hub datasets to this machine, each branch frozen to one commit per store."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from blake3 import blake3

from budgetctl.data.files import content_hash
from budgetctl.data.sources.hub import HubDataset
from budgetctl.errors import BudgetctlError, UsageError

WANTED_FILES = ("*.parquet", "*.jsonl", "*.json", "*.csv")


class FrozenRevisions:
    """`<store>/hub-datasets/`: what a declared branch stands for in this store, in small files written once.

    Beside each other lie a branch's epochs (`….1.epoch`, …), and for each epoch the commit that was fetched
    (`….0.commit`) and the content of copies that were used in the hub's place (`….0.content`).
    """

    def __init__(self, store_root: Path) -> None:
        self._folder = store_root / "hub-datasets"

    def epoch(self, repository: str, revision: str) -> int:
        """How often `data refresh` moved this branch on."""
        epoch = 0
        while self._file(repository, revision, epoch + 1, "epoch").exists():
            epoch += 1
        return epoch

    def commit(self, dataset: HubDataset) -> str | None:
        """The commit, if it is known: declared as one, or frozen by an earlier fetch."""
        if dataset.pinned:
            return dataset.revision
        try:
            return self._of(dataset, "commit").read_text("utf-8").strip()
        except FileNotFoundError:
            return None

    def freeze(self, dataset: HubDataset, commit: str) -> str:
        """Remember a commit unless one is known already, and return the one that holds."""
        return self.commit(dataset) or _written_once(self._of(dataset, "commit"), commit)

    def freeze_copy(self, dataset: HubDataset, folder: Path) -> str:
        """Remember the content of a copy of a dataset, and return it.

        Raises:
            UsageError: This store has used another content under the same name and revision.
        """
        digest = blake3()
        for path in dataset.all_files(folder):
            digest.update(bytes.fromhex(content_hash(path)))
        known = _written_once(self._of(dataset, "content"), digest.hexdigest())
        if known != digest.hexdigest():
            raise UsageError(
                f"{folder} has changed: its content is {digest.hexdigest()[:12]}, but this store has used {known[:12]} "
                f"as {dataset.repository} at {dataset.revision}. Bring the old files back, or let the rows have new "
                "keys: `budgetctl data refresh TASK`, then plan again"
            )
        return known

    def refresh(self, repository: str, revision: str) -> int:
        """Let the next fetch look the branch up anew; stages planned before keep what they had."""
        epoch = self.epoch(repository, revision) + 1
        _written_once(self._file(repository, revision, epoch, "epoch"), "")
        return epoch

    def _of(self, dataset: HubDataset, what: str) -> Path:
        return self._file(dataset.repository, dataset.revision, dataset.epoch, what)

    def _file(self, repository: str, revision: str, epoch: int, what: str) -> Path:
        name = quote(f"{repository}@{revision}", safe="@")
        return self._folder / f"{name}.{epoch}.{what}"


def _written_once(path: Path, text: str) -> str:
    """Write a small file unless it is there; return what it holds. The first of several writers wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text + "\n", "utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:  # no hard links here: the first to look wins, and writers seldom meet
        if not path.exists():
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text("utf-8").strip()


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
