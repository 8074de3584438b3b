"""Write a set of prompts with verifiable instructions, answers that obey them, and answers that do not.

    python benchmarks/instruction_set.py OUT [--gsm8k FOLDER] [--train 4000] [--dev 200] [--test 500] [--seed 0]

What it is: synthetic. A request (to write something short about a topic; with --gsm8k in half of the prompts to solve
one of GSM8K's training problems) and one to three instructions of 20 of IFEval's 25 kinds. Answers are put together
from templates, word lists and GSM8K's solutions, and made to obey by rule; our own checkers confirm every row.

- `sft.jsonl`: prompt, answer. The answer obeys every instruction, strictly.
- `pref.jsonl`: the same prompts; `chosen` is that answer, `rejected` says the same and disobeys one
  instruction or more.
- `dev.jsonl`, `test.jsonl`: IFEval's `key`, `prompt`, `instruction_id_list` and `kwargs`, and an `answer` that obeys.

What it is not: IFEval, Tulu's persona instructions, or people's writing. No prompt stands in two splits and no GSM8K
problem in two prompts, but topics, templates and wordings are shared, so a good score here says that a model learned
these forms, and nothing about instructions in the wild. Content is not judged. Dev and test stay the same when only
the number of training prompts changes.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from instruction_kinds import Asked, answer, drawn
from instruction_texts import Problem, about_a_problem, about_a_topic, problems

from ifeval.prompts import Prompt
from ifeval.scoring import Scorer

MOST_LETTERS = 640
"""Of an answer, a capital counted three times because it takes about three times the tokens: about 200 tokens."""
Row = dict[str, Any]


def rows(seed: int, of_gsm8k: Sequence[Problem]) -> Iterator[Row]:
    """Prompts without end, each with an answer that obeys and one that does not; no prompt comes twice."""
    scorer, seen, unused = Scorer(), set[str](), list(of_gsm8k)
    Random(f"problems {seed}").shuffle(unused)
    for number in count():
        random = Random(f"instruction set {seed} {number}")
        on_problem = bool(of_gsm8k) and random.random() < 0.5
        if on_problem and not unused:
            raise SystemExit("GSM8K has too few problems for so many prompts; ask for fewer")
        draft = about_a_problem(unused.pop(), random) if on_problem else about_a_topic(random)
        asked = drawn(draft, random.choice((1, 2, 2, 3)), random)
        row = {"key": number, "prompt": prompt_text(draft.request, asked, random)}
        row |= {
            "instruction_id_list": [one.kind for one in asked],
            "kwargs": [one.arguments for one in asked],
        }
        instructions = Prompt.of(row).instructions
        good = answer(draft, asked)
        disobeyed = forgotten(asked, random)
        bad = answer(draft, [one for one in asked if one not in disobeyed])
        follows = [scorer.score(instructions, text).strict for text in (good, bad)]
        if all(follows[0]) and not all(follows[1]) and not too_long(good, bad) and row["prompt"] not in seen:
            seen.add(row["prompt"])
            yield {**row, "answer": good, "rejected": bad}


def prompt_text(request: str, asked: Sequence[Asked], random: Random) -> str:
    """The request, then its instructions in any order, but what is to be repeated right before that is said."""
    wordings = [one.wording for one in random.sample(asked, len(asked))]
    repeat = [one.wording for one in asked if one.kind == "combination:repeat_prompt"]
    return " ".join([request, *repeat, *(wording for wording in wordings if wording not in repeat)])


def forgotten(asked: Sequence[Asked], random: Random) -> Sequence[Asked]:
    """The instructions that the rejected answer disobeys: all of them, or one."""
    return asked if random.random() < 0.3 else [random.choice(asked)]


def too_long(*texts: str) -> bool:
    return any(len(text) + 2 * sum(map(str.isupper, text)) > MOST_LETTERS for text in texts)


def write(out: Path, sizes: dict[str, int], seed: int, gsm8k: Path | None) -> dict[str, list[Row]]:
    """Write the four files and return the rows of each split."""
    out.mkdir(parents=True, exist_ok=True)
    stream = rows(seed, list(problems(gsm8k / "train.jsonl")) if gsm8k else [])
    made = {split: [next(stream) for _ in range(sizes[split])] for split in ("dev", "test", "train")}
    for split in ("dev", "test"):
        names = ("key", "prompt", "instruction_id_list", "kwargs", "answer")
        _write(out / f"{split}.jsonl", [{name: row[name] for name in names} for row in made[split]])
    train = made["train"]
    _write(out / "sft.jsonl", [{"prompt": row["prompt"], "answer": row["answer"]} for row in train])
    pairs = [{"prompt": row["prompt"], "chosen": row["answer"], "rejected": row["rejected"]} for row in train]
    _write(out / "pref.jsonl", pairs)
    return made


def _write(file: Path, found: Sequence[Row]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), "utf-8")


def main() -> None:
    """Write the set and print what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--gsm8k", type=Path, help="folder with GSM8K's train.jsonl")
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--dev", type=int, default=200)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sizes = {split: getattr(options, split) for split in ("train", "dev", "test")}
    made = write(options.out, sizes, options.seed, options.gsm8k)
    kinds = {
        split: Counter(kind for row in found for kind in row["instruction_id_list"])
        for split, found in made.items()
    }
    print("| kind | train | dev | test |\n|---|--:|--:|--:|")
    print("| prompts | " + " | ".join(str(len(made[split])) for split in sizes) + " |")
    for kind in sorted(kinds["train"]):
        print(f"| `{kind}` | " + " | ".join(str(kinds[split][kind]) for split in sizes) + " |")


if __name__ == "__main__":
    main()
