"""Every usable row of one kind and split, held in Arrow and, given a folder, on disk rather than in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from blake3 import blake3

from budgetctl.data.layouts import Kind, Split, schema_of
from budgetctl.data.prompt_ids import conversation_id, exact_digest
from budgetctl.data.sources.source import Source
from budgetctl.data.turns import Conversation, conversations

if TYPE_CHECKING:
    from budgetctl.data.lengths import TokenCounter

EMPTY = "rows with an empty text"
EQUAL = "pairs whose answers are equal"
HELD_OUT = "rows with a prompt of dev or test"
REPEATED = "repeated rows"
_SIDE = ("\x1d", "")
"""Stands after the prompt and after each answer in a row's digest, so that turns cannot move between them."""


@dataclass(frozen=True)
class Pool:
    """Usable rows with what ranking needs, and what was left out and why."""

    batches: Sequence[pa.RecordBatch]
    prompt_ids: Sequence[str]
    digests: Sequence[bytes]
    """16 bytes of each row's whole content; orders several answers to one prompt."""
    lengths: Sequence[int] = ()
    """Tokens of each row's longest sequence, if they were counted."""
    costs: Sequence[int] = ()
    """Tokens of each row's sequences together: what it costs of a token budget."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    held_out: Mapping[str, set[bytes]] = field(default_factory=dict)
    """Prompts of the rows that were left out because dev or test has them: id → digests of their exact texts."""

    def __len__(self) -> int:
        return len(self.prompt_ids)

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

    Left out are rows with an empty text, pairs whose answers are equal, repetitions of a whole row, and, for
    training rows, prompts of dev or test.

    Args:
        source: Where the rows come from.
        kind: Layout; `unpaired` reads pairs.
        split: Which rows.
        located: Content hash → path of local sources.
        held_out: Prompt ids that must not appear.
        folder: Holds the rows while they are used; None keeps them in memory.
        counter: Counts tokens; rows that are too long for it are left out as well.
    """
    stored: Kind = "pref" if kind == "unpaired" else kind
    return pool_of(source.batches(stored, split, located), stored, held_out, folder, counter)


def pool_of(
    batches: Iterable[pa.RecordBatch],
    kind: Kind,
    held_out: frozenset[str] = frozenset(),
    folder: Path | None = None,
    counter: TokenCounter | None = None,
) -> Pool:
    """As `load_pool`, of batches in the layout of `kind` without prompt ids."""
    sift = _Sift(kind, held_out, counter)
    kept = (sift.usable(batch) for batch in batches)
    if folder is None:
        usable = [batch for batch in kept if batch.num_rows]
    else:
        usable = _spilled(kept, folder / f"{kind}.arrow", schema_of(kind))
    lengths, costs = (counter.lengths, counter.costs) if counter else ((), ())
    return Pool(
        usable, sift.prompt_ids, sift.digests, lengths, costs, dict(sift.left_out), sift.found_held_out
    )


def held_out_prompts(source: Source, located: Mapping[str, Path]) -> frozenset[str]:
    """The prompts of dev and test, which training rows must not contain."""
    found: set[str] = set()
    for split in ("dev", "test"):
        for batch in source.batches("eval", split, located):
            found.update(conversation_id(_texts(turns)) for turns in conversations(batch.column("prompt")))
    return frozenset(found)


class _Sift:
    """Decides row by row, and remembers what it has seen."""

    def __init__(self, kind: Kind, held_out: frozenset[str], counter: TokenCounter | None) -> None:
        self._kind, self._held_out, self._counter = kind, held_out, counter
        self._seen: set[bytes] = set()
        self.prompt_ids: list[str] = []
        self.digests: list[bytes] = []
        self.left_out: Counter[str] = Counter()
        self.found_held_out: dict[str, set[bytes]] = {}

    def usable(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        whole = self._whole(batch)
        return whole if self._counter is None else self._short_enough(whole, self._counter)

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
            reason = self._judge(*row)
            keep.append(reason is None)
            if reason is None:
                names.append(self.prompt_ids[-1])
            else:
                self.left_out[reason] += 1
        if not all(keep):
            batch = batch.filter(pa.array(keep, pa.bool_()))
        columns = [pa.array(names, pa.string()), *batch.columns]
        return pa.RecordBatch.from_arrays(columns, schema=schema_of(self._kind))

    def _rows(self, batch: pa.RecordBatch) -> Iterator[tuple[Conversation, list[Conversation]]]:
        """Each row's prompt and its answers."""
        if self._kind == "sft":
            for turns in conversations(batch.column("messages")):
                yield turns[:-1], [turns[-1:]]
        elif self._kind == "pref":
            columns = [conversations(batch.column(name)) for name in ("prompt", "chosen", "rejected")]
            for prompt, chosen, rejected in zip(*columns, strict=True):
                yield prompt, [chosen, rejected]
        else:
            references = batch.column("reference").to_pylist()
            for prompt, reference in zip(conversations(batch.column("prompt")), references, strict=True):
                yield prompt, [[("reference", reference)]]

    def _judge(self, prompt: Conversation, answers: list[Conversation]) -> str | None:
        if not _complete(prompt) or not all(map(_complete, answers)):
            return EMPTY
        if len(answers) == 2 and answers[0] == answers[1]:
            return EQUAL
        name = conversation_id(prompt)  # type: ignore[arg-type]  # complete: no role and no text is missing
        if name in self._held_out:
            self.found_held_out.setdefault(name, set()).add(exact_digest(prompt))
            return HELD_OUT
        parts = [f"{role}\x1f{text}" for turns in (prompt, *answers) for role, text in (*turns, _SIDE)]
        whole = "\x1e".join(parts)
        digest = blake3(whole.encode("utf-8", "surrogatepass")).digest(length=16)
        if digest in self._seen:
            return REPEATED
        self._seen.add(digest)
        self.prompt_ids.append(name)
        self.digests.append(digest)
        return None


def _complete(turns: Conversation) -> bool:
    """Whether there are turns, and every one has a role and a text that is not blank."""
    for role, text in turns:
        if not role or not text or text.isspace():
            return False
    return bool(turns)


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
