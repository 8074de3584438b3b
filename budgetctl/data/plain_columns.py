"""The common case of a column mapping, without a Python object per cell: prompts and answers that are texts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from budgetctl.data.columns import Columns
from budgetctl.data.layouts import Kind, content_schema


def plain_rows(columns: Columns, records: pa.RecordBatch, kind: Kind) -> pa.RecordBatch | None:
    """As `Columns.rows` of a whole batch, or None when some column needs a closer look."""
    if columns.messages or columns.system or columns.prompt is None:
        return None
    second = {
        "sft": (columns.answer,),
        "pref": (columns.chosen, columns.rejected),
        "eval": (columns.reference,),
    }[kind]
    named = {field.name: field.type for field in records.schema}
    if kind == "eval" and columns.answer in named and not _is_text(named[columns.answer]):
        return None
    cells = []
    for name in (columns.prompt, *second):
        if not isinstance(name, str) or not _is_text(named.get(name)):
            return None
        cells.append(records.column(name).cast(pa.string()))
    prompt, *answers = cells
    if kind == "sft":
        made = [_two_turns(prompt, answers[0])]
    elif kind == "pref":
        made = [_turn("user", prompt), *(_turn("assistant", answer) for answer in answers)]
    else:
        made = [_turn("user", prompt), answers[0].fill_null(""), _gold(columns.answer, records, named)]
    return pa.RecordBatch.from_arrays(made, schema=content_schema(kind))


def _gold(name: str | None, records: pa.RecordBatch, named: Mapping[str, pa.DataType]) -> pa.StringArray:
    """Gold answers; null where there is none."""
    if name not in named:
        return pa.nulls(records.num_rows, pa.string())
    texts = records.column(name).cast(pa.string())
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _is_text(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _turn(role: str, contents: pa.StringArray) -> pa.ListArray:
    count = len(contents)
    turns = pa.StructArray.from_arrays([pa.repeat(role, count), contents], ["role", "content"])
    return pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), turns)


def _two_turns(prompts: pa.StringArray, answers: pa.StringArray) -> pa.ListArray:
    count = len(prompts)
    order = pa.array(np.arange(2 * count).reshape(2, count).T.ravel())
    contents = pa.concat_arrays([prompts, answers]).take(order)
    roles = pa.concat_arrays([pa.repeat("user", count), pa.repeat("assistant", count)]).take(order)
    turns = pa.StructArray.from_arrays([roles, contents], ["role", "content"])
    return pa.ListArray.from_arrays(pa.array(np.arange(0, 2 * count + 1, 2, dtype=np.int32)), turns)
