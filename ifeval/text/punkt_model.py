"""NLTK's English Punkt model: where it lies, how it is fetched, what is in it."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ifeval.errors import MissingModelError

_MODEL = Path("tokenizers", "punkt_tab", "english")


@dataclass(frozen=True)
class PunktModel:
    """Counts learned from newspaper text by the authors of Punkt.

    Attributes:
        abbreviations: Words that end in a period inside sentences, without that period, lower case.
        collocations: Pairs of types between which a period does not end a sentence.
        starters: Types that often begin a sentence.
        orthography: For each type the positions and cases it was seen in, as bits (see `sentences`).
    """

    abbreviations: frozenset[str]
    collocations: frozenset[tuple[str, str]]
    starters: frozenset[str]
    orthography: Mapping[str, int]


def load_punkt_model() -> PunktModel:
    """Read the model from the first of NLTK's data folders that has it; fetch it once where none has.

    Raises:
        MissingModelError: it is in no folder and the download failed.
    """
    folder = _find() or _fetch()
    read = {name: (folder / name).read_text(encoding="utf-8").splitlines() for name in _FILES}
    pairs = (line.split("\t") for line in read["collocations.tab"] if line)
    contexts = (line.split("\t") for line in read["ortho_context.tab"] if line)
    return PunktModel(
        abbreviations=frozenset(line for line in read["abbrev_types.txt"] if line),
        collocations=frozenset((first, second) for first, second in pairs),
        starters=frozenset(line for line in read["sent_starters.txt"] if line),
        orthography={word: int(bits) for word, bits in contexts},
    )


_FILES = ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab")


def data_folders() -> Iterator[Path]:
    """NLTK's data folders in the order NLTK looks: `NLTK_DATA`, the home folder, the environment, the system."""
    for name in os.environ.get("NLTK_DATA", "").split(os.pathsep):
        if name:
            yield Path(name)
    yield Path("~/nltk_data").expanduser()
    for place in ("nltk_data", "share/nltk_data", "lib/nltk_data"):
        yield Path(sys.prefix, place)
    for place in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib"):
        yield Path(place, "nltk_data")


def _find() -> Path | None:
    candidates = (folder / _MODEL for folder in data_folders())
    return next((path for path in candidates if all((path / name).is_file() for name in _FILES)), None)


def _fetch() -> Path:
    import nltk  # noqa: PLC0415  (a third of a second, and only ever needed once on a machine)

    print(
        "ifeval: counting sentences needs NLTK's model punkt_tab, which is not on this machine; "
        "fetching it once (about 4 MB)",
        file=sys.stderr,
    )
    fetched = nltk.download("punkt_tab", quiet=True, raise_on_error=False)
    found = _find() if fetched else None
    if found is None:
        raise MissingModelError(
            "NLTK's sentence model punkt_tab is neither on this machine nor could it be fetched. On a machine "
            "with a network run `python -m nltk.downloader punkt_tab`, copy the folder nltk_data here, and name "
            "it in the environment variable NLTK_DATA"
        )
    return found
