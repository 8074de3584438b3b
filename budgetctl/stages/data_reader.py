"""Pools of rows for a data stage: fetched, filtered, counted, and kept between stages where they are small."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from budgetctl.data.layouts import Kind, Split
from budgetctl.data.sources import AnySource, HubDataset
from budgetctl.stages.stage import StageContext

if TYPE_CHECKING:
    from budgetctl.data.lengths import TokenCounter
    from budgetctl.data.overlap import Texts
    from budgetctl.data.pool import Pool
    from budgetctl.stages.data import DataIdentity

KEPT_ROWS = 100_000
"""Larger pools are read again by each stage, rather than held in memory."""


class DataReader:
    """Reads pools, fetching what a hub has, and keeps all but large ones: a study cuts the same pool many times."""

    def __init__(self, context: StageContext, identity: DataIdentity) -> None:
        self._context = context
        self._identity = identity
        self._located = dict(context.execution.sources)
        self._known: set[str] = set()
        self.commits: dict[str, str] = {}
        """Hub dataset → the commit that was fetched."""
        self.contents: dict[str, str] = {}
        """Hub dataset and split → the content of the copy that stands for it here."""

    def pool(self, source: AnySource, kind: Kind, split: Split) -> Pool:
        """The usable rows of a source; `unpaired` ones lie in it as pairs."""
        from budgetctl.data.pool import load_pool  # noqa: PLC0415
        from budgetctl.data.questions import once_each  # noqa: PLC0415

        held_out = self._identity.held_out.model_dump_json() if self._identity.held_out else ""
        stored: Kind = "pref" if kind == "unpaired" else kind
        name = f"data pool {source.model_dump_json()} {stored} {split} {held_out} {self._counted()}"
        self._bring(source)
        kept = self._context.keep.get(name)
        if kept is not None:
            return cast("Pool", kept)
        ids = frozenset(prompt for texts in self.held_out().values() for prompt in texts)
        folder = None if source.small else self._context.draft.scratch
        pool = load_pool(source, kind, split, self._located, ids, folder, self._counter(stored))
        if kind == "eval":
            pool = once_each(pool, f"{source.title} ({split})")
        if len(pool) <= KEPT_ROWS:  # its file may be deleted meanwhile: a mapped file stays readable
            self._context.keep[name] = pool
        return pool

    def held_out(self) -> dict[Split, Texts]:
        """What the rows must not contain: training rows no prompt of dev or test, dev rows none of test."""
        if self._identity.split == "dev":
            return {"test": self.split(self._identity.source, "test")}
        if self._identity.split == "test" or self._identity.held_out is None:
            return {}
        test = self.split(self._identity.held_out, "test")
        dev = self.split(self._identity.held_out, "dev")
        return {"dev": {name: texts for name, texts in dev.items() if name not in test}, "test": test}

    def split(self, source: AnySource, split: Split) -> Texts:
        """The prompts of an evaluation split."""
        from budgetctl.data.overlap import of_split  # noqa: PLC0415

        name = f"data prompts {source.model_dump_json()} {split}"
        self._bring(source)
        if name not in self._context.keep:
            self._context.keep[name] = of_split(source, split, self._located)
        return cast("Texts", self._context.keep[name])

    def _counted(self) -> str:
        """What a pool's lengths depend on. Bases that share a template need not share a tokenizer or a context."""
        limit = self._identity.tokens
        if limit is None:
            return ""
        return f"{self._context.parents['base'].key} {self._identity.system_prompt} {limit.model_dump_json()}"

    def _counter(self, kind: Kind) -> TokenCounter | None:
        limit = self._identity.tokens
        if limit is None:
            return None
        from budgetctl.data.lengths import counter_of  # noqa: PLC0415

        base = self._context.parents["base"].path()
        return counter_of(base, limit.template, kind, self._identity.system_prompt, limit.most)

    def _bring(self, source: AnySource) -> None:
        """Fetch a dataset of a hub, or check that the copy in its place is the one this store knows."""
        if not isinstance(source, HubDataset) or source.model_dump_json() in self._known:
            return
        from budgetctl.data.hub_fetch import FrozenRevisions, fetch  # noqa: PLC0415

        revisions = FrozenRevisions(self._context.store.root)
        self._known.add(source.model_dump_json())
        copy = self._context.execution.sources.get(source.name)
        if copy is not None:
            self.contents |= revisions.freeze_copy(source, copy)
            return
        if source.name in self._located:  # fetched for another side, which reads other splits of it
            return
        self._context.reporter.say(f"data: fetching {source.repository} at {source.revision}")
        folder, commit = fetch(source, revisions, self._context.execution.offline)
        self._located[source.name] = folder
        self.commits[source.repository] = commit
