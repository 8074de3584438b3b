"""GSM8K from the original jsonl files (`train.jsonl`, `test.jsonl`: `question`, `answer`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from budgetctl.data.dice import Dice
from budgetctl.data.files import content_hash, located_file, read_jsonl, text_field
from budgetctl.data.layouts import Kind, Split
from budgetctl.data.prompt_ids import prompt_id
from budgetctl.data.reasons import NOTHING_TO_CORRUPT, SET_ASIDE, LeftOut
from budgetctl.data.sources.source import Row, in_batches
from budgetctl.errors import UsageError
from budgetctl.schema import Frozen
from budgetctl.tasks.final_number import final_number
from budgetctl.tasks.gsm8k import without_calculator_marks

if TYPE_CHECKING:
    import pyarrow as pa

DEV_SHARE = 0.05
"""Share of the training questions set aside for dev, by hash of the question."""
_RESULT = re.compile(r"<<[^<>=]*=([0-9]+)>>\1(?![0-9.])")


class Gsm8kFiles(Frozen):
    """The two files by content; where they lie is no part of it."""

    source: Literal["gsm8k-files"] = "gsm8k-files"
    train: str
    """BLAKE3 of `train.jsonl`."""
    test: str
    """BLAKE3 of `test.jsonl`."""

    @classmethod
    def at(cls, folder: Path) -> tuple[Gsm8kFiles, dict[str, Path]]:
        """Describe the files in a folder, and say where their contents lie.

        Raises:
            UsageError: A file is missing.
        """
        if not folder.is_dir():
            raise UsageError(
                f"there is no folder {folder}; `--path` names the one that holds train.jsonl and test.jsonl"
            )
        paths = {name: folder / f"{name}.jsonl" for name in ("train", "test")}
        hashes = {name: content_hash(path) for name, path in paths.items()}
        return cls(**hashes), {hashes[name]: path for name, path in paths.items()}

    @property
    def title(self) -> str:
        return "gsm8k-files"

    @property
    def small(self) -> bool:
        return True

    def batches(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[pa.RecordBatch]:
        return in_batches(self.rows(kind, split, located, left_out), kind)

    def rows(
        self, kind: Kind, split: Split, located: Mapping[str, Path], left_out: LeftOut | None = None
    ) -> Iterator[Row]:
        """Yield the rows of one split; dev is a fixed twentieth of the training questions."""
        left_out = LeftOut() if left_out is None else left_out
        name = "test" if split == "test" else "train"
        path = located_file(f"GSM8K's {name}.jsonl", getattr(self, name), located)
        for problem in _problems(path, getattr(self, name)):
            if split != "test" and (split == "dev") != problem.dev:
                if split == "train":
                    left_out[SET_ASIDE] += 1
                continue
            prompt = [{"role": "user", "content": problem.question}]
            solution = without_calculator_marks(problem.answer)
            if kind == "eval":
                yield {"prompt": prompt, "reference": problem.reference, "answer": solution}
            elif kind == "sft":
                yield {"messages": [*prompt, {"role": "assistant", "content": solution}]}
            elif (wrong := with_corrupted_step(problem.answer, problem.question)) is not None:
                yield {
                    "prompt": prompt,
                    "chosen": [{"role": "assistant", "content": solution}],
                    "rejected": [{"role": "assistant", "content": wrong}],
                }
            else:
                left_out[NOTHING_TO_CORRUPT] += 1


class _Problem(NamedTuple):
    question: str
    answer: str
    reference: str
    dev: bool


@lru_cache(maxsize=2)
def _problems(path: Path, content: str) -> tuple[_Problem, ...]:
    """The problems of a file with this content, read once however many kinds and splits are asked for."""
    found = []
    for number, row in read_jsonl(path):
        where = f"{path}, line {number}"
        question, answer = text_field(row, "question", where), text_field(row, "answer", where)
        reference = final_number(answer)
        if reference is None:
            raise UsageError(f"{where}: the answer must end with a line `#### n`")
        name = prompt_id([{"role": "user", "content": question}])
        found.append(_Problem(question, answer, reference, Dice(f"gsm8k dev {name}").chance(DEV_SHARE)))
    return tuple(found)


def with_corrupted_step(answer: str, salt: str) -> str | None:
    """The solution with one wrong calculation, the error carried to everything that repeats its result.

    The calculation is drawn by hash of `salt`. If it is the last one, or its result is the final number, the
    final number is wrong as well; otherwise the final number stays and only the step is wrong.

    Returns None when the solution marks no calculation with a whole result.
    """
    results = list(_RESULT.finditer(answer))
    if not results:
        return None
    dice = Dice(f"gsm8k corruption {salt}")
    chosen = dice.pick(results)
    right = chosen.group(1)
    wrong = str(max(int(right) + dice.pick((-3, -2, -1, 1, 2, 3, 10)), 0))
    if wrong == right:
        wrong = str(int(right) + 1)
    head, tail = answer[: chosen.start()], answer[chosen.start() :]
    tail = re.sub(rf"(?<![0-9.,]){right}(?![0-9]|[.,][0-9])", wrong, without_calculator_marks(tail))
    return without_calculator_marks(head) + tail
