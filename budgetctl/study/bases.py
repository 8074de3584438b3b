"""From what a user calls a base model (a key, a name, a folder, a hub id) to its stage, key and template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from budgetctl.console import make_reporter
from budgetctl.errors import UsageError
from budgetctl.models.checkpoints import CHECKPOINT_STAGES, training_of
from budgetctl.models.folders import (
    IGNORED_ENTRIES,
    check_model_folder,
    config_of,
    precision_of,
    template_name_for,
)
from budgetctl.models.registry import KNOWN_MODELS, Precision, known_by_repository
from budgetctl.models.templates import Template
from budgetctl.models.tiny import TinyConfig
from budgetctl.schema import describe_problems
from budgetctl.stages.base import BaseIdentity, BaseStage, FolderSource, HubSource, TinySource
from budgetctl.stages.execute import execute
from budgetctl.stages.stage import Execution, payload_of
from budgetctl.study.starts import Start
from store import Artifact, Store
from store.errors import KeyNotFound

MIN_PREFIX = 4
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class BaseRequest:
    """A base model that may still have to be made.

    Attributes:
        stage: Makes it.
        template: Its family's chat template.
        precision: That of a known model as the registry says, of any other as its configuration declares its weights.
        family: Its architecture (`model_type`).
        located: Content hash → folder, for `Execution.sources`.
    """

    stage: BaseStage
    template: Template
    precision: Precision
    family: str = "llama"
    located: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Key of its artifact."""
        return payload_of(self.stage).key


@dataclass(frozen=True)
class FoundBase:
    """A published base model."""

    key: str
    template: Template
    precision: Precision


Base = BaseRequest | FoundBase


def base_request(
    model: str, store: Store, settings: Mapping[str, Any] | None = None, offline: bool = False
) -> BaseRequest:
    """Describe the base model that `model` names; nothing is computed.

    Args:
        model: A known name, a Transformers folder, or a hub id, perhaps with @REVISION (a commit, tag or branch).
        store: Remembers the content hashes of folders.
        settings: Of the embedded `tiny` model.
        offline: Resolve hub ids from the local cache alone.

    Raises:
        UsageError: There is no such model, or a setting does not fit.
    """
    if model == "tiny":
        return BaseRequest(_tiny(settings or {}), Template.named("tiny"), "float32")
    if settings:
        raise UsageError(f"base settings belong to `tiny`; {model} takes none, given: {', '.join(settings)}")
    folder = Path(model).expanduser()
    if folder.is_dir():
        check_model_folder(folder)
        content = store.hash_path(folder, IGNORED_ENTRIES)
        stage = BaseStage(BaseIdentity(source=FolderSource(content=content)))
        return _as_declared(stage, folder, {content: folder.absolute()})
    return _from_hub(model, offline)


def _as_declared(stage: BaseStage, folder: Path, located: Mapping[str, Path]) -> BaseRequest:
    """A base of which only its files say what it is."""
    template = Template.named(template_name_for(folder))
    return BaseRequest(
        stage, template, precision_of(folder), str(config_of(folder).get("model_type")), located
    )


def _tiny(settings: Mapping[str, Any]) -> BaseStage:
    try:
        return BaseStage(BaseIdentity(source=TinySource(config=TinyConfig.model_validate(settings))))
    except ValidationError as error:
        raise UsageError(describe_problems(error, TinyConfig, "base_settings")) from error


def _from_hub(model: str, offline: bool) -> BaseRequest:
    named, at, revision = model.partition("@")
    known = KNOWN_MODELS.get(named) or known_by_repository(named)
    is_id = named.count("/") == 1 and not named.startswith((".", "/", "~"))
    embedded = known is not None and not known.repository
    if embedded or (known is None and not is_id) or (at and not revision):
        raise UsageError(
            f"there is no base model {model!r}: no such folder, and the known names are {', '.join(KNOWN_MODELS)}; "
            "a hub id has the form organisation/name or organisation/name@revision"
        )
    from budgetctl.models.hub import commit_of, fetch  # noqa: PLC0415  (slow to import)

    repository = known.repository if known else named
    revision = revision or (known.commit if known else "") or "main"
    commit = revision if _COMMIT.fullmatch(revision) else commit_of(repository, revision, offline)
    stage = BaseStage(BaseIdentity(source=HubSource(repository=repository, commit=commit)))
    if known is None:
        return _as_declared(stage, fetch(repository, commit, offline), {})
    return BaseRequest(stage, Template.named(known.template), known.precision, known.family)


def named_base(model: str, store: Store, offline: bool = False) -> Base:
    """Describe the base that `model` names, by key or otherwise; nothing is made.

    Raises:
        UsageError: There is no such model, or it is a checkpoint's key.
        KeyNotFound: It looks like a key, no artifact has it, and no model is called so.
    """
    published = _published(model, store)
    if published is None:
        return _request_or_key(model, store, offline)
    if published.stage != "base":
        base = training_of(published, store).parents["base"]
        raise UsageError(
            f"{model} is a checkpoint ({published.stage}), and a base model is needed here; go on from it with "
            f"`budgetctl pft --from {model}`, or give its base {base[:12]}"
        )
    return _described(published)


def _request_or_key(model: str, store: Store, offline: bool) -> BaseRequest:
    try:
        return base_request(model, store, offline=offline)
    except UsageError as error:
        if not may_be_key(model):
            raise
        raise KeyNotFound(f"no key in {store.root} begins with {model!r}, and {error}") from error


def make_base(base: Base, store: Store, execution: Execution) -> FoundBase:
    """Make a base if it is not there yet."""
    if isinstance(base, FoundBase):
        return base
    located = execution.model_copy(update={"sources": {**execution.sources, **base.located}})
    execute(base.stage, store, located, make_reporter())
    return FoundBase(base.key, base.template, base.precision)


def find_base(model: str, store: Store, execution: Execution) -> FoundBase:
    """The published base that `model` names (by key or otherwise), made now if it is not there.

    Raises:
        UsageError: There is no such model, or it is a checkpoint's key.
        KeyNotFound: It looks like a key, no artifact has it, and no model is called so.
    """
    return make_base(named_base(model, store, execution.offline), store, execution)


def named_start(model: str, store: Store, offline: bool = False) -> tuple[Base, Start | None]:
    """Describe the base and the checkpoint (None for a bare base) that `model` names; nothing is made.

    Raises:
        UsageError: It names an artifact that is neither a base nor a checkpoint, or a fork that never fired.
    """
    published = _published(model, store)
    if published is not None and published.stage in CHECKPOINT_STAGES:
        base = training_of(published, store).parents["base"]
        return _described(store.artifact(base)), Start.published(published.key, store)
    return named_base(model, store, offline), None


def find_start(model: str, store: Store, execution: Execution) -> tuple[FoundBase, str | None]:
    """The base, made now if it is not there, and the checkpoint's key (None for a bare base) that `model` names.

    Raises:
        UsageError: It names an artifact that is neither a base nor a checkpoint, or a fork that never fired.
    """
    base, start = named_start(model, store, execution.offline)
    return make_base(base, store, execution), None if start is None else start.key


def may_be_key(text: str) -> bool:
    """Whether what a user named can be meant as a key, or the beginning of one."""
    is_hex = len(text) >= MIN_PREFIX and all(digit in "0123456789abcdef" for digit in text)
    return is_hex and not Path(text).is_dir()


def _published(model: str, store: Store) -> Artifact | None:
    """The artifact whose key starts with `model`, if it can be meant as a key."""
    if not may_be_key(model):
        return None
    try:
        artifact = store.artifact(store.resolve(model))
    except KeyNotFound:
        if len(model) == 64:
            raise
        return None
    if artifact.stage not in ("base", *CHECKPOINT_STAGES):
        raise UsageError(f"{model} is a {artifact.stage} artifact; a base or a checkpoint is needed here")
    return artifact


def _described(base: Artifact) -> FoundBase:
    source = BaseIdentity.model_validate(base.identity).source
    if isinstance(source, TinySource):
        return FoundBase(base.key, Template.named("tiny"), "float32")
    known = known_by_repository(source.repository) if isinstance(source, HubSource) else None
    precision = known.precision if known else precision_of(base.path())
    return FoundBase(base.key, Template.named(template_name_for(base.path())), precision)
