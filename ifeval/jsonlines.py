"""Reading JSON lines, with the file and the line in every complaint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ifeval.errors import IfevalError


def read_json_lines(path: Path, error: type[IfevalError]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `file:line` and the object on it; blank lines are skipped.

    Raises:
        IfevalError: of the class `error`: the file cannot be read, or a line is not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"cannot read {path}: {problem}") from problem
    # Not splitlines(): JSON strings may hold the line separators U+2028 and U+0085 as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as problem:
            raise error(f"{where}: not JSON ({problem.msg} at column {problem.colno})") from problem
        except ValueError as problem:  # a whole number of thousands of digits
            raise error(f"{where}: a number is too long to be read ({problem})") from problem
        except RecursionError as problem:
            raise error(f"{where}: lists or objects are nested too deeply to be read") from problem
        if not isinstance(value, dict):
            raise error(f"{where}: a line must be a JSON object, got {type(value).__name__}")
        yield where, value
