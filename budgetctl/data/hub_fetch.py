"""Bringing hub datasets to this machine, each branch frozen to one commit per store."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from blake3 import blake3

from budgetctl.data.files import content_hash
from budgetctl.data.sources.hub import HubDataset
from budgetctl.data.sources.hub_layout import MissingPartError
from budgetctl.errors import BudgetctlError, UsageError

WANTED_FILES = ("*.parquet", "*.jsonl", "*.json", "*.csv")


class FrozenRevisions:
    """`<store>/hub-datasets/`: what a declared branch stands for in this store, in small files written once.

    Beside each other lie a branch's epochs (`….1.epoch`, …), and for each epoch the commit that was fetched
    (`….0.commit`) and the content of each split of copies that were used in the hub's place (`…,train.0.content`).
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

    def freeze_copy(self, dataset: HubDataset, folder: Path) -> dict[str, str]:
        """Remember the content of each split that a copy of a dataset has, and return it by dataset and split.

        Splits are remembered one by one, because the sides of a task may use different ones of the same dataset.

        Raises:
            UsageError: This store has used another content under the same name and revision.
        """
        contents = {}
        for split, files in dataset.files_by_split(folder).items():
            if files:
                contents[f"{dataset.repository} {split}"] = self._freeze_split(dataset, split, files, folder)
        return contents

    def _freeze_split(self, dataset: HubDataset, split: str, files: list[Path], folder: Path) -> str:
        digest = blake3()
        for path in files:
            digest.update(bytes.fromhex(content_hash(path)))
        found = digest.hexdigest()
        known = _written_once(self._of(dataset, "content", f",{quote(split, safe='')}"), found)
        if known == found:
            return known
        if dataset.pinned:
            way_on = "a commit never changes; if these are files of another one, name that as `revision`"
        else:
            way_on = (
                "or let the rows have new keys: `budgetctl data refresh TASK`, or `budgetctl data refresh --grid "
                "RECIPE` for datasets that a recipe names, then plan again"
            )
        raise UsageError(
            f"{folder} has changed: the content of its split {split!r} is {found[:12]}, but this store has used "
            f"{known[:12]} as {dataset.repository} at {dataset.revision}. Bring the old files back; {way_on}"
        )

    def refresh(self, repository: str, revision: str) -> int:
        """Let the next fetch look the branch up anew; stages planned before keep what they had."""
        epoch = self.epoch(repository, revision) + 1
        _written_once(self._file(repository, revision, epoch, "epoch"), "")
        return epoch

    def _of(self, dataset: HubDataset, what: str, part: str = "") -> Path:
        return self._file(dataset.repository, dataset.revision, dataset.epoch, what, part)

    def _file(self, repository: str, revision: str, epoch: int, what: str, part: str = "") -> Path:
        name = quote(f"{repository}@{revision}", safe="@")
        return self._folder / f"{name}{part}.{epoch}.{what}"


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


def cached(dataset: HubDataset, revisions: FrozenRevisions) -> Path | None:
    """The folder with a dataset's files that an earlier fetch left on this machine; the hub is not asked.

    Returns:
        None where it is not known which commit is meant, or the files are not there. A commit that was declared, and
        perhaps never fetched whole, must have files of every split.
    """
    commit = revisions.commit(dataset)
    if commit is None:
        return None
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    try:
        folder = Path(
            snapshot_download(dataset.repository, repo_type="dataset", revision=commit, local_files_only=True)
        )
        whole = not dataset.pinned or all(dataset.files_by_split(folder).values())
    except (LocalEntryNotFoundError, MissingPartError):
        return None
    return folder if whole else None


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
            f"Fetch it where there is a network (`hf download --repo-type dataset {dataset.repository} --local-dir "
            f"FOLDER/{dataset.folder_name}`), bring FOLDER here and name it with --path FOLDER (in a recipe "
            "`data: {path: FOLDER}`)"
        ) from error
    return Path(folder), revisions.freeze(dataset, commit or Path(folder).name)
