"""The Parquet layouts of the four kinds of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["sft", "pref", "unpaired", "eval"]
Split = Literal["train", "dev", "test"]

KIND_NAMES: Mapping[str, str] = {
    "sft": "SFT rows",
    "pref": "preference pairs",
    "unpaired": "pairs",
    "eval": "prompts",
}


def file_of(kind: Kind) -> str:
    """The file of a data artifact that holds rows of this kind."""
    return f"{kind}.parquet"


def schema_of(kind: Kind) -> pa.Schema:
    """Columns of a kind. Turns are `{role, content}`; an SFT row's last turn is the assistant's.

    The `answer` of an eval row is a gold answer's text, null where the source has none; no scorer reads it.
    """
    import pyarrow as pa  # noqa: PLC0415

    return pa.schema([("prompt_id", pa.string()), *content_schema(kind)])


def content_schema(kind: Kind) -> pa.Schema:
    """As `schema_of`, without the prompt id: what a source gives."""
    import pyarrow as pa  # noqa: PLC0415

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    columns: dict[str, list[tuple[str, pa.DataType]]] = {
        "sft": [("messages", turns)],
        "pref": [("prompt", turns), ("chosen", turns), ("rejected", turns)],
        "unpaired": [("prompt", turns), ("completion", turns), ("label", pa.bool_())],
        "eval": [("prompt", turns), ("reference", pa.string()), ("answer", pa.string())],
    }
    return pa.schema(columns[kind])
