"""Local files: found by content, read with errors that name the file and the line."""

from __future__ import annotations

import json
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

from budgetctl.errors import UsageError

LONGEST_LINE = 64 * 2**20


def content_hash(path: Path) -> str:
    """BLAKE3 of a file's bytes, 64 hex.

    Raises:
        UsageError: There is no such file.
    """
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    if not path.is_file():
        raise UsageError(f"{path} is not a file")
    digest = blake3(max_threads=blake3.AUTO)
    digest.update_mmap(path)
    return digest.hexdigest()


def located_file(name: str, digest: str, located: Mapping[str, Path]) -> Path:
    """Find a local source by its content hash and check that its bytes are still those.

    Raises:
        UsageError: It was not said where the file lies, it is gone, or it has changed.
    """
    path = located.get(digest)
    if path is None:
        raise UsageError(f"{name} with content {digest[:12]} is needed; say with --path where it lies")
    found = content_hash(path)
    if found != digest:
        raise UsageError(
            f"{path} has changed: its content is {found[:12]}, the plan was made for {digest[:12]}; "
            "plan again, or bring the old file back"
        )
    return path


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of a JSON-lines file; blank lines and a byte-order mark are passed over.

    Raises:
        UsageError: A line is too long, not UTF-8, not JSON, or not an object.
    """
    with path.open("rb") as stream:
        number = 0
        while raw := stream.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                raise UsageError(
                    f"{path}, line {number}: longer than {LONGEST_LINE >> 20} MiB, so it is hardly one row; "
                    "JSON lines need a line break after each row"
                )
            if number == 1:
                raw = raw.removeprefix(BOM_UTF8)
            if not raw.strip():
                continue
            where = f"{path}, line {number}"
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UsageError(f"{where}: not valid UTF-8 (byte {error.start + 1} of the line)") from error
            value = parsed(text, where)
            if not isinstance(value, dict):
                raise UsageError(f"{where}: expected an object, found a {type(value).__name__}")
            if b"\\ud" in raw.lower():
                require_characters(value, where)
            yield number, value


def parsed(text: str, where: str, many_lines: bool = False) -> Any:
    """Read JSON.

    Args:
        text: One line, or a whole file.
        where: What it is, for messages.
        many_lines: Whether messages also name the line in it.

    Raises:
        UsageError: It is no JSON, or holds a number or a depth that Python does not read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if many_lines else ""
        raise UsageError(f"{where}{line}: not valid JSON ({error.msg}, column {error.colno})") from error
    except RecursionError as error:
        raise UsageError(f"{where}: nested too deeply to hold rows") from error
    except ValueError as error:  # a whole number beyond Python's limit of digits
        raise UsageError(
            f"{where}: holds a whole number of more than {sys.get_int_max_str_digits():,} digits, which is hardly a "
            "value; write it as a text if it is meant"
        ) from error


def require_characters(value: Any, where: str) -> None:
    """Check that JSON's escapes make whole characters.

    Raises:
        UsageError: Half of a surrogate pair stands alone, which no file of ours can hold.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        code = f"\\u{ord(error.object[error.start]):04x}"
        raise UsageError(
            f"{where}: the escape {code} is half a character; its other half is missing"
        ) from error


def text_field(row: Mapping[str, Any], name: str, where: str) -> str:
    """Take a text column of a row.

    Raises:
        UsageError: The column is missing, or not a text.
    """
    if name not in row:
        raise UsageError(
            f"{where}: there is no column {name!r}; there are {', '.join(sorted(row)) or 'none'}"
        )
    value = row[name]
    if not isinstance(value, str):
        raise UsageError(f"{where}: column {name!r} must be a text, found a {type(value).__name__}")
    return value
