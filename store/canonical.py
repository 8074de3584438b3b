"""Canonical JSON: one byte string per value, and a refusal for every value that has none.

Equal values must give equal bytes on every host, locale, Python and hash seed; values whose text depends on
memory addresses, paths, iteration order or rounding must never reach a key. So only exact JSON types pass.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any, NoReturn

from store.errors import UnencodableValue

_MAX_DEPTH = 64
_ADVICE = {
    "set": "a set has no order: pass a sorted list",
    "frozenset": "a set has no order: pass a sorted list",
    "bytes": "pass the hash of the bytes, or their hex text",
    "function": "code has no canonical form: name it by a string and bump the stage's revision when it changes",
    "PosixPath": "a path is not an identity: pass the content's hash or the parent's key",
}


_dumps = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode
_ONE_FORM = frozenset({str, int, bool, type(None)})
"""Types whose every value json writes as we do."""


def encode(value: Any, root: str = "identity") -> bytes:
    """Encode a JSON-like value canonically.

    Objects have their keys sorted by code point, there is no white space, text is UTF-8 as given (not
    normalised), integers and floats stay apart (`1` is not `1.0`), and −0.0 is written as 0.0.

    Args:
        value: None, bool, int, float, str, list, tuple or a mapping with string keys, nested.
        root: What to call the whole value in an error.

    Raises:
        UnencodableValue: The value holds something without a canonical form; the message names the field.
    """
    text = _dumps(value) if _is_plain(value, 0) else write(value, root)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        broken = text[max(0, error.start - 40) : error.start]
        raise UnencodableValue(f"{root} holds a lone surrogate after {broken!r}: it is not text") from None


def _is_plain(value: Any, depth: int) -> bool:
    """Whether json's own encoder, which is ten times quicker, writes exactly the canonical text of a value."""
    kind = type(value)
    if depth >= _MAX_DEPTH or (kind is not dict and kind is not list and kind is not tuple):
        return False
    if kind is dict:
        for name in value:
            if type(name) is not str:
                return False
    for item in value.values() if kind is dict else value:
        kind = type(item)
        if kind in _ONE_FORM:
            continue
        if kind is float:
            if not math.isfinite(item) or (item == 0 and math.copysign(1.0, item) < 0):
                return False
        elif not _is_plain(item, depth + 1):
            return False
    return True


def write(value: Any, root: str) -> str:
    """The canonical text, written piece by piece: what `encode` does with a value that json might write otherwise.

    Raises:
        UnencodableValue: The value holds something without a canonical form; the message names the field.
    """
    parts: list[str] = []
    _write(value, root, parts, 0)
    return "".join(parts)


def _write(value: Any, where: str, parts: list[str], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise UnencodableValue(f"{where} is nested deeper than {_MAX_DEPTH} levels: flatten it")
    kind = type(value)
    if value is None:
        parts.append("null")
    elif kind is bool:
        parts.append("true" if value else "false")
    elif kind is str:
        parts.append(encode_basestring(value))
    elif kind is int:
        parts.append(str(value))
    elif kind is float:
        if not math.isfinite(value):
            raise UnencodableValue(f"{where} is {value}: only finite numbers can be part of a key")
        parts.append(repr(value + 0.0))
    elif kind is list or kind is tuple:
        _write_list(value, where, parts, depth)
    elif isinstance(value, Mapping):
        _write_object(value, where, parts, depth)
    else:
        _refuse(value, where)


def _write_list(value: Any, where: str, parts: list[str], depth: int) -> None:
    parts.append("[")
    for position, item in enumerate(value):
        if position:
            parts.append(",")
        _write(item, f"{where}[{position}]", parts, depth + 1)
    parts.append("]")


def _write_object(value: Mapping[Any, Any], where: str, parts: list[str], depth: int) -> None:
    for name in value:
        if type(name) is not str:
            raise UnencodableValue(f"{where} has the key {name!r} of type {type(name).__name__}: use strings")
    parts.append("{")
    for position, name in enumerate(sorted(value)):
        if position:
            parts.append(",")
        parts.append(encode_basestring(name))
        parts.append(":")
        _write(value[name], f"{where}.{name}", parts, depth + 1)
    parts.append("}")


def _refuse(value: Any, where: str) -> NoReturn:
    name = type(value).__name__
    advice = _ADVICE.get(name, "pass None, a bool, an int, a float, a string, a list or an object of those")
    raise UnencodableValue(f"{where} is a {name}, which has no canonical form; {advice}")
