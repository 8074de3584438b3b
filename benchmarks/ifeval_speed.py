"""Time this IFEval scorer beside lm-eval's on the same answers: strict and loose, turn by turn, in one process.

    python benchmarks/ifeval_speed.py --prompts ../shared/data/ifeval/input_data.jsonl [--rounds 5] [--answers 1 2 4]

Answers are random English of 300 words (paragraphs, some *emphasis*), which fail most checks, so that the loose
reading tries all its forms: near the worst case of both. Both have their text models loaded before the clock starts
(lm-eval keeps them for good, we load them anew for each round, so that nothing is remembered from the one before).
`--edges` times instead, once, the answers of the parity test (40 and more a prompt). lm-eval is found as in
tests/ifeval (installed with --no-deps); NLTK_DATA names the folder with punkt_tab.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "ifeval"))

from ifeval_answers import answers_for
from ifeval_oracle import load_oracle

from ifeval.instruction import Instruction
from ifeval.prompts import PromptSet
from ifeval.scoring import Scorer

WARM_UP = [
    Instruction.of("language:response_language", {"language": "de"}),
    Instruction.of("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 9}),
]


def random_answers(vocabulary: list[str], count: int, words: int, seed: int) -> list[str]:
    source = random.Random(seed)
    return ["\n\n".join(_paragraphs(vocabulary, words, source)) for _ in range(count)]


def _paragraphs(vocabulary: list[str], words: int, source: random.Random) -> list[str]:
    paragraphs: list[str] = []
    written = 0
    while written < words:
        sentences = []
        for _ in range(source.randint(2, 5)):
            length = source.randint(6, 18)
            written += length
            sentence = " ".join(source.choices(vocabulary, k=length)).capitalize()
            sentences.append(f"*{sentence}*." if source.random() < 0.1 else f"{sentence}.")
        paragraphs.append(" ".join(sentences))
    return paragraphs


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--answers", type=int, nargs="+", default=[1, 2, 4], help="answers a prompt, each timed"
    )
    parser.add_argument("--edges", action="store_true", help="the parity test's answers instead")
    options = parser.parse_args()

    oracle = load_oracle()
    documents = [json.loads(line) for line in options.prompts.read_text(encoding="utf-8").splitlines()]
    prompts = PromptSet.read(options.prompts).prompts
    asked = " ".join(document["prompt"] for document in documents)
    vocabulary = sorted({word.lower() for word in asked.split() if word.isascii() and word.isalpha()})

    for document in documents[:200]:
        oracle.process_results(document, ["Loads the models. Once."])
    if options.edges:
        answer_sets = [[answers_for(document) for document in documents]]
    else:
        answer_sets = [
            list(
                map(
                    list,
                    zip(
                        *(random_answers(vocabulary, len(documents), options.words, s) for s in range(each)),
                        strict=True,
                    ),
                )
            )
            for each in options.answers
        ]
    for answers in answer_sets:

        def score_theirs(answers: list[list[str]] = answers) -> None:
            for document, texts in zip(documents, answers, strict=True):
                for text in texts:
                    oracle.process_results(document, [text])

        def score_ours(scorer: Scorer, answers: list[list[str]] = answers) -> None:
            for prompt, texts in zip(prompts, answers, strict=True):
                for text in texts:
                    scorer.score(prompt.instructions, text)

        ours, theirs = [], []
        for _ in range(1 if options.edges else options.rounds):
            scorer = Scorer()
            scorer.score(WARM_UP, "Loads the models. Once.")
            ours.append(timed(partial(score_ours, scorer)))
            theirs.append(timed(score_theirs))
        number = sum(map(len, answers))
        for clock, name in enumerate(("wall", "cpu")):
            fast, slow = [turn[clock] for turn in ours], [turn[clock] for turn in theirs]
            line = {
                "answers": number,
                "clock": name,
                "ours_s": _spread(fast),
                "lm_eval_s": _spread(slow),
                "ours_answers_per_s": round(number / statistics.median(fast)),
                "lm_eval_answers_per_s": round(number / statistics.median(slow)),
                "ratio": _spread([long / short for long, short in zip(slow, fast, strict=True)]),
            }
            print(json.dumps(line), flush=True)


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
    }


if __name__ == "__main__":
    main()
