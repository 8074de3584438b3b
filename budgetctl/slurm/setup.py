"""Setup lines of a recipe as shell text that can do nothing but what it says.

A recipe may come from somebody else, so its lines are not pasted into the script. Each is split into words, must
begin with a command that prepares an environment, and is written back with every word quoted: variables expand,
nothing else does. What needs more shell than that goes into a file, and the recipe says `source FILE`.
"""

from __future__ import annotations

import re
import shlex

ENVIRONMENT_COMMANDS = (
    "module", "ml", "source", ".", "conda", "mamba", "micromamba", "spack", "export", "unset", "ulimit", "umask", "cd",
)  # fmt: skip
_VARIABLE = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def shell_line(line: str) -> str:
    """Render one setup line, quoted.

    Raises:
        ValueError: It is not one command of `ENVIRONMENT_COMMANDS`, or it cannot be split into words.
    """
    if not line.isprintable():
        raise ValueError(f"setup line {line!r} holds a line break or a control character")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(f"setup line {line!r} cannot be read as a command: {error}") from error
    if not words or words[0] not in ENVIRONMENT_COMMANDS:
        raise ValueError(
            f"setup line {line!r} must begin with one of {', '.join(ENVIRONMENT_COMMANDS)}; "
            "put other commands into a file and `source` it"
        )
    if words[0] == "export" and not all(_ASSIGNMENT.match(word) for word in words[1:]):
        raise ValueError(f"setup line {line!r}: export takes NAME=VALUE")
    return " ".join([words[0], *(quoted(word) for word in words[1:])])


def quoted(word: str) -> str:
    """Quote a word so that variables and `~/` (at the start, after `=` or `:`) expand and nothing else does."""
    word = re.sub(r"(^|[=:])~/", r"\1${HOME}/", word)
    if not _VARIABLE.search(word):
        return shlex.quote(word)
    parts = []
    end = 0
    for found in _VARIABLE.finditer(word):
        parts += [_literal(word[end : found.start()]), found.group()]
        end = found.end()
    parts.append(_literal(word[end:]))
    return '"' + "".join(parts) + '"'


def _literal(text: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", text)
