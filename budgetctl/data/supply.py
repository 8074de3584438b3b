"""Where a task's rows come from, as a recipe says it: generated, the task's own datasets, or the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError, model_validator

from budgetctl.data import presets
from budgetctl.data.columns import Columns
from budgetctl.data.hub_fetch import FrozenRevisions
from budgetctl.data.layouts import Split
from budgetctl.data.ranking import Grouping
from budgetctl.data.sources import AnySource, ArithSource, Gsm8kFiles, HubDataset, LocalFiles
from budgetctl.data.sources.files import SetAside
from budgetctl.data.sources.hub import DEFAULT_SPLITS
from budgetctl.errors import UsageError
from budgetctl.schema import Frozen, describe_problems
from budgetctl.tasks import task_named

S = TypeVar("S", bound=Frozen)
SIDES: tuple[Literal["sft", "pref", "eval"], ...] = ("sft", "pref", "eval")


@dataclass(frozen=True)
class Supply:
    """The source of each side, and where local files lie on this machine."""

    task: str
    sft: AnySource
    pref: AnySource
    eval: AnySource
    answers: Grouping = "together"
    located: Mapping[str, Path] = field(default_factory=dict)
    """For `Execution.sources`; never part of a key."""
    system_prompt: str | None = None
    """Instead of the task's own; an empty text is none."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Hub dataset (as `located` names it) → why the folder that stands for the hub cannot give it."""

    def require(self, *sources: AnySource | None) -> None:
        """Check that what some rows are made of can be had; other sides may lack.

        Raises:
            UsageError: A folder stands for the hub and does not hold one of these datasets.
        """
        for source in sources:
            if isinstance(source, HubDataset) and source.name in self.lacking:
                raise UsageError(self.lacking[source.name])


class SideOptions(Frozen):
    """One side's own dataset: of the hub, or files of this machine."""

    hub: str | None = None
    """A dataset, as OWNER/NAME."""
    revision: str = "main"
    """A commit, a tag or a branch of it."""
    folder: str = ""
    """Where in it the files lie, for datasets of several configurations."""
    splits: Mapping[Split, str] | None = None
    """Our splits → the dataset's own; None is `{train: train, test: test}` without what `set_aside` takes."""
    files: Mapping[Split, tuple[Path, ...]] = {}
    """Split → files of this machine, relative to `data.path`, else to the working directory."""
    columns: Columns
    """See below."""
    set_aside: SetAside = SetAside()
    """Shares of the train prompts that become dev and test rows, for splits that have no rows of their own."""

    @model_validator(mode="after")
    def _one_of_both(self) -> SideOptions:
        if (self.hub is None) == (not self.files):
            raise ValueError("say either `hub: OWNER/NAME` or `files: {train: [...]}`")
        return self

    @model_validator(mode="after")
    def _no_split_twice(self) -> SideOptions:
        where, own = ("splits", self.own_splits) if self.hub else ("files", self.files)
        if twice := [split for split in own if split in self.set_aside.splits]:
            raise ValueError(
                f"`{where}` names {' and '.join(twice)} rows and `set_aside` takes {' and '.join(twice)} rows out of "
                "the train rows; leave one of them out"
            )
        if self.set_aside.any and "train" not in own:
            raise ValueError(f"`set_aside` takes rows out of train rows, and `{where}` names none")
        return self

    @property
    def own_splits(self) -> Mapping[Split, str]:
        """Our splits → the hub dataset's own."""
        if self.splits is not None:
            return self.splits
        return {split: name for split, name in DEFAULT_SPLITS.items() if split not in self.set_aside.splits}


class SourceOptions(Frozen):
    """`data.options` of every task but `arith`."""

    sft: SideOptions | None = None
    """Demonstrations; None takes the task's own."""
    pref: SideOptions | None = None
    """Pairs."""
    eval: SideOptions | None = None
    """Dev and test prompts with their references."""
    answers: Grouping = "together"
    """Whether several answers to one prompt are bought together, or one of every prompt first."""
    revisions: Mapping[str, str] = {}
    """Dataset of the hub (OWNER/NAME) → commit, tag or branch, for the task's own datasets."""


def supply_of(
    task: str,
    path: Path | None = None,
    options: Mapping[str, Any] | None = None,
    revisions: FrozenRevisions | None = None,
) -> Supply:
    """Resolve a task's sources.

    Args:
        task: `arith`, `gsm8k` or `tuluif`.
        path: Where files lie: a folder with GSM8K's own two files, or one with a folder for each hub dataset
            (named like the dataset, without its owner).
        options: As in a recipe's `data.options`.
        revisions: The store's; says how often a branch of a hub dataset was moved on (`data refresh`).

    Raises:
        UsageError: Unknown task or option, a value out of range, a missing path.
    """
    settings = dict(options or {})
    task_named(task)
    if task == "arith":
        if path is not None:
            raise UsageError("arith is generated and takes no --path")
        arith = _validated(ArithSource, settings, "data.options")
        return Supply(task, arith, arith, arith)
    chosen = _validated(SourceOptions, settings, "data.options")
    sources: dict[str, AnySource] = {}
    located: dict[str, Path] = {}
    all_own = all(getattr(chosen, side) is not None for side in SIDES)
    if task == "gsm8k" and path is not None and not all_own and (path / "train.jsonl").exists():
        gold, located = Gsm8kFiles.at(path)
        sources = dict.fromkeys(SIDES, gold)
    elif task == "gsm8k":
        sources = {"sft": presets.GSM8K_SFT, "pref": presets.GSM8K_PREFERENCES, "eval": presets.GSM8K}
    else:
        sources = {"sft": presets.TULU_SFT, "pref": presets.TULU_PREFERENCES, "eval": presets.IFEVAL}
    sources = _at_revisions(sources, chosen.revisions)
    for side in SIDES:
        own: SideOptions | None = getattr(chosen, side)
        if own is not None:
            sources[side], where = _own_source(own, path)
            located |= where
    if revisions is not None:
        sources = {side: _at_epoch(source, revisions) for side, source in sources.items()}
    lacking: dict[str, str] = {}
    if path is not None:
        found, lacking = _hub_folders(sources, path)
        located |= found
    return Supply(
        task, sources["sft"], sources["pref"], sources["eval"], chosen.answers, located, lacking=lacking
    )


def _at_revisions(sources: Mapping[str, AnySource], wanted: Mapping[str, str]) -> dict[str, AnySource]:
    """The task's own datasets at the revisions that options declare."""
    there = {source.repository for source in sources.values() if isinstance(source, HubDataset)}
    if others := sorted(set(wanted) - there):
        raise UsageError(
            f"data.options.revisions names {', '.join(others)}; the task's own datasets here are "
            f"{', '.join(sorted(there)) or 'none'}"
        )
    return {
        side: source.model_copy(update={"revision": wanted.get(source.repository, source.revision)})
        if isinstance(source, HubDataset)
        else source
        for side, source in sources.items()
    }


def _at_epoch(source: AnySource, revisions: FrozenRevisions) -> AnySource:
    if not isinstance(source, HubDataset):
        return source
    return source.model_copy(update={"epoch": revisions.epoch(source.repository, source.revision)})


def refresh(supplies: Sequence[Supply], revisions: FrozenRevisions) -> list[str]:
    """Let the next fetch of hub datasets look their branches up anew, each once; returns their names."""
    sides = [side for supply in supplies for side in (supply.sft, supply.pref, supply.eval)]
    branches = {
        (side.repository, side.revision) for side in sides if isinstance(side, HubDataset) and not side.pinned
    }
    for repository, revision in sorted(branches):
        revisions.refresh(repository, revision)
    return [repository for repository, _ in sorted(branches)]


def _own_source(own: SideOptions, path: Path | None) -> tuple[AnySource, dict[str, Path]]:
    if own.hub is None:
        root = path or Path()
        files = {split: [root / name for name in names] for split, names in own.files.items()}
        return LocalFiles.at(files, own.columns, own.set_aside)
    given = {"repository": own.hub, "revision": own.revision, "folder": own.folder, "splits": own.own_splits}
    fields = {**given, "columns": own.columns, "set_aside": own.set_aside}
    return _validated(HubDataset, fields, "data.options"), {}


def _hub_folders(sources: Mapping[str, AnySource], path: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Where `path` holds the files of hub datasets, and what to say of those that it does not hold.

    A folder with files of other sides is not meant to stand for the hub, so what it lacks is fetched.
    """
    if not path.is_dir():
        raise UsageError(f"there is no folder {path}")
    datasets = {source.name: source for source in sources.values() if isinstance(source, HubDataset)}
    folders = {name: path / source.folder_name for name, source in datasets.items()}
    found = {name: folder for name, folder in folders.items() if folder.is_dir()}
    if not all(isinstance(source, HubDataset) for source in sources.values()):
        return found, {}
    return found, {
        name: f"{path} has no folder {source.folder_name} with the files of {source.repository}; copy them there, "
        "or leave --path (data.path in a recipe) out to fetch them"
        for name, source in datasets.items()
        if name not in found
    }


def _validated(model: type[S], settings: Mapping[str, Any], where: str) -> S:
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise UsageError(describe_problems(error, model, where)) from error
