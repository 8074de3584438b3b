"""The `base` stage: a base model under a key, whatever it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from budgetctl.errors import BudgetctlError, UsageError
from budgetctl.models.folders import IGNORED_ENTRIES, check_model_folder, config_of, files_of, parameter_count
from budgetctl.models.tiny import TinyConfig
from budgetctl.schema import Frozen
from budgetctl.stages.stage import Metric, StageContext


class TinySource(Frozen):
    """The embedded model, pretrained here."""

    kind: Literal["tiny"] = "tiny"
    config: TinyConfig = TinyConfig()


class FolderSource(Frozen):
    """A Transformers folder on this machine, by its content."""

    kind: Literal["folder"] = "folder"
    content: str = Field(pattern="^[0-9a-f]{64}$")
    """Hash of the folder's files (`hash_model_folder`); where it lies is a matter of execution."""


class HubSource(Frozen):
    """A model of the hub at a frozen commit."""

    kind: Literal["hub"] = "hub"
    repository: str
    commit: str = Field(pattern="^[0-9a-f]{40}$")


class BaseIdentity(Frozen):
    """Which model."""

    source: Annotated[TinySource | FolderSource | HubSource, Field(discriminator="kind")]


@dataclass(frozen=True)
class BaseStage:
    """Publishes a Transformers folder: weights as safetensors, configuration, tokenizer."""

    name: ClassVar[str] = "base"
    revision: ClassVar[int] = 1

    identity: BaseIdentity

    @property
    def parents(self) -> Mapping[str, str]:
        return {}

    def run(self, context: StageContext) -> Mapping[str, Metric]:
        source = self.identity.source
        metrics: dict[str, Metric] = {}
        if isinstance(source, TinySource):
            metrics |= self._pretrain(source, context)
        elif isinstance(source, FolderSource):
            self._copy(_located(source, context), context)
        else:
            from budgetctl.models.hub import fetch  # noqa: PLC0415

            context.reporter.say(f"base: fetching {source.repository} at {source.commit[:12]}")
            self._copy(fetch(source.repository, source.commit, context.execution.offline), context)
        files = context.draft.files
        check_model_folder(files)
        config = config_of(files)
        return {
            **metrics,
            "parameters": parameter_count(files),
            "model_type": str(config.get("model_type")),
            "context_length": int(config.get("max_position_embeddings") or 0),
        }

    def _pretrain(self, source: TinySource, context: StageContext) -> Mapping[str, Metric]:
        import torch  # noqa: PLC0415

        from budgetctl.models.tiny import pretrain  # noqa: PLC0415

        if context.execution.threads:
            torch.set_num_threads(context.execution.threads)
        draft = context.draft
        return pretrain(source.config, draft.files, draft.scratch, context.reporter, context.should_stop)

    def _copy(self, folder: Path, context: StageContext) -> None:
        check_model_folder(folder)
        wanted = list(files_of(folder))
        with context.reporter.bar("base: copying", len(wanted)) as bar:
            for done, (name, path) in enumerate(wanted, start=1):
                target = context.draft.files / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy_file(path, target)
                bar.update(done)


def _located(source: FolderSource, context: StageContext) -> Path:
    execution = context.execution
    folder = execution.sources.get(source.content) or execution.location
    if folder is None:
        raise UsageError(
            f"Nobody said where the base model with content {source.content[:12]} lies on this machine; give its "
            "folder with --base PATH."
        )
    found = context.store.hash_path(folder, IGNORED_ENTRIES)
    if found != source.content:
        raise BudgetctlError(
            f"{folder} has changed since it was planned: its content was {source.content[:12]} and is {found[:12]}. "
            "Plan again, or restore the folder."
        )
    return folder


def _copy_file(source: Path, target: Path) -> None:
    """Copy bytes, sharing blocks where the file system can."""
    import os  # noqa: PLC0415
    import shutil  # noqa: PLC0415

    size = source.stat().st_size
    with source.open("rb") as reader, target.open("wb") as writer:
        copied = 0
        try:
            while copied < size:
                moved = os.copy_file_range(reader.fileno(), writer.fileno(), size - copied)
                if moved == 0:
                    break
                copied += moved
        except OSError:  # another file system, or a kernel without it: plain reads and writes do
            reader.seek(0)
            writer.seek(0)
            writer.truncate()
            shutil.copyfileobj(reader, writer, 1 << 22)
