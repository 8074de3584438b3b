"""Names come from recipes and files; here they are made harmless for each output format."""

from __future__ import annotations

import html
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "·": r"\textperiodcentered{}",
}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&!$])")


def plain(text: str) -> str:
    """Shows control characters and text-direction overrides instead of obeying them."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def markdown(text: str) -> str:
    """For a cell or heading of a markdown document; no HTML, no table bars."""
    return _MARKDOWN.sub(r"\\\1", plain(text)).replace("\\<", "&lt;").replace("\\>", "&gt;")


def latex(text: str) -> str:
    """For running text of a LaTeX document (T1 font encoding or a Unicode engine)."""
    return "".join(_LATEX.get(character, character) for character in plain(text))


def html_text(text: str) -> str:
    """For HTML text and quoted attribute values."""
    return html.escape(plain(text), quote=True)


def mathtext(text: str) -> str:
    """For Matplotlib, which reads text between dollar signs as mathematics."""
    return plain(text).replace("$", r"\$")
