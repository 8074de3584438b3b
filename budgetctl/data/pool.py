"""Every usable row of one kind and split, held in Arrow and, given a folder, on disk rather than in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from budgetctl.data.layouts import Kind, Split, schema_of
from budgetctl.data.prompt_ids import conversation_id
from budgetctl.data.reasons import HELD_OUT, IN_TEST
from budgetctl.data.sift import Names, Sift
from budgetctl.data.sources.source import Source
from budgetctl.data.turns import Conversation, conversations

if TYPE_CHECKING:
    from budgetctl.data.lengths import TokenCounter


@dataclass(frozen=True)
class Pool(Names):
    """Usable rows with what ranking needs, and what was left out and why."""

    batches: Sequence[pa.RecordBatch] = ()

    def take(self, rows: Sequence[int]) -> pa.RecordBatch:
        """Gather rows in the given order, touching each batch once."""
        starts = np.cumsum([0] + [batch.num_rows for batch in self.batches])
        wanted = np.asarray(rows, dtype=np.int64)
        home = np.searchsorted(starts, wanted, side="right") - 1
        order = np.argsort(home, kind="stable")
        parts = [
            self.batches[number].take(pa.array(wanted[order][home[order] == number] - starts[number]))
            for number in np.unique(home)
        ]
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_batches(parts).take(pa.array(back))


def load_pool(
    source: Source,
    kind: Kind,
    split: Split,
    located: Mapping[str, Path],
    held_out: frozenset[str] = frozenset(),
    folder: Path | None = None,
    counter: TokenCounter | None = None,
) -> Pool:
    """Read a source and leave out what cannot be used.

    Left out are rows with an empty text, pairs whose answers are equal, repetitions of a whole row, and prompts that
    are held out.

    Args:
        source: Where the rows come from.
        kind: Layout; `unpaired` reads pairs.
        split: Which rows.
        located: Content hash → path of local sources.
        held_out: Prompt ids that must not appear: those of dev and test in training rows, those of test in dev rows.
        folder: Holds the rows while they are used; None keeps them in memory.
        counter: Counts tokens; rows that are too long for it are left out as well.
    """
    stored: Kind = "pref" if kind == "unpaired" else kind
    sift = _BatchSift(stored, held_out, IN_TEST if split == "dev" else HELD_OUT, counter)
    return _pool(source.batches(stored, split, located, sift.left_out), sift, folder)


def names_in_batches(
    source: Source,
    kind: Kind,
    located: Mapping[str, Path],
    held_out: frozenset[str] = frozenset(),
    counter: TokenCounter | None = None,
) -> Names:
    """As `load_pool`, of training rows and without keeping them."""
    sift = _BatchSift(kind, held_out, HELD_OUT, counter)
    for batch in source.batches(kind, "train", located, sift.left_out):
        sift.usable(batch)
    lengths, costs = (counter.lengths, counter.costs) if counter else ((), ())
    return Names(sift.prompt_ids, sift.digests, lengths, costs, dict(sift.left_out), sift.found_held_out)


def pool_of(batches: Iterable[pa.RecordBatch], kind: Kind) -> Pool:
    """As `load_pool`, of batches in the layout of `kind` without prompt ids."""
    return _pool(batches, _BatchSift(kind), None)


def _pool(batches: Iterable[pa.RecordBatch], sift: _BatchSift, folder: Path | None) -> Pool:
    kept = (sift.usable(batch) for batch in batches)
    if folder is None:
        usable = [batch for batch in kept if batch.num_rows]
    else:
        usable = _spilled(kept, folder / f"{sift.kind}.arrow", schema_of(sift.kind))
    counter = sift.counter
    lengths, costs = (counter.lengths, counter.costs) if counter else ((), ())
    return Pool(
        sift.prompt_ids, sift.digests, lengths, costs, dict(sift.left_out), sift.found_held_out, usable
    )


def held_out_prompts(source: Source, located: Mapping[str, Path]) -> frozenset[str]:
    """The prompts of dev and test, which training rows must not contain."""
    found: set[str] = set()
    for split in ("dev", "test"):
        for batch in source.batches("eval", split, located):
            found.update(conversation_id(_texts(turns)) for turns in conversations(batch.column("prompt")))
    return frozenset(found)


class _BatchSift(Sift):
    """Decides batch by batch."""

    def __init__(
        self,
        kind: Kind,
        held_out: frozenset[str] = frozenset(),
        why_held_out: str = HELD_OUT,
        counter: TokenCounter | None = None,
    ) -> None:
        super().__init__(held_out, why_held_out)
        self.kind, self.counter = kind, counter

    def usable(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        whole = self._whole(batch)
        return whole if self.counter is None else self._short_enough(whole, self.counter)

    def _short_enough(self, batch: pa.RecordBatch, counter: TokenCounter) -> pa.RecordBatch:
        fits = counter.fits(batch)
        too_long = fits.count(False)
        if not too_long:
            return batch
        start = len(self.prompt_ids) - len(fits)
        self.prompt_ids[start:] = [
            name for name, fit in zip(self.prompt_ids[start:], fits, strict=True) if fit
        ]
        self.digests[start:] = [digest for digest, fit in zip(self.digests[start:], fits, strict=True) if fit]
        self.left_out[f"rows longer than {counter.most} tokens"] += too_long
        return batch.filter(pa.array(fits, pa.bool_()))

    def _whole(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows without those that are empty, without a difference, held out or repeated."""
        keep: list[bool] = []
        names: list[str] = []
        for row in self._rows(batch):
            keep.append(self.takes(*row))
            if keep[-1]:
                names.append(self.prompt_ids[-1])
        if not all(keep):
            batch = batch.filter(pa.array(keep, pa.bool_()))
        columns = [pa.array(names, pa.string()), *batch.columns]
        return pa.RecordBatch.from_arrays(columns, schema=schema_of(self.kind))

    def _rows(self, batch: pa.RecordBatch) -> Iterator[tuple[Conversation, list[Conversation]]]:
        """Each row's prompt and its answers."""
        if self.kind == "sft":
            for turns in conversations(batch.column("messages")):
                yield turns[:-1], [turns[-1:]]
        elif self.kind == "pref":
            columns = [conversations(batch.column(name)) for name in ("prompt", "chosen", "rejected")]
            for prompt, chosen, rejected in zip(*columns, strict=True):
                yield prompt, [chosen, rejected]
        else:
            references = batch.column("reference").to_pylist()
            for prompt, reference in zip(conversations(batch.column("prompt")), references, strict=True):
                yield prompt, [[("reference", reference)]]


def _texts(turns: Conversation) -> Iterator[tuple[str, str]]:
    return ((role or "", text or "") for role, text in turns)


def _spilled(batches: Iterator[pa.RecordBatch], path: Path, schema: pa.Schema) -> list[pa.RecordBatch]:
    """Write batches to an Arrow file and map it, so that pages come and go as they are needed."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            if batch.num_rows:
                writer.write_batch(batch)
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]
