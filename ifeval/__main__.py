"""Score answers to IFEval prompts: `python -m ifeval --prompts FILE --responses FILE`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ifeval.accuracy import Accuracy, Summary, summarise
from ifeval.errors import IfevalError, PromptError, ResponseError
from ifeval.prompts import PromptSet
from ifeval.responses import Answer, read_answers, unanswered
from ifeval.scoring import Scorer, Verdict
from ifeval.text.languages import DEFAULT_SEED
from ifeval.version import SCORER_VERSION

_BROKEN_PIPE = 141
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script `ifeval`; ends the process with an exit code."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
        sys.stdout.flush()
    except IfevalError as problem:
        if options.debug:
            raise
        print(f"ifeval: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
    except BrokenPipeError:
        _close_stdout()
        sys.exit(_BROKEN_PIPE)
    except OSError as problem:
        if options.debug:
            raise
        print(f"ifeval: cannot write to the standard output: {problem.strerror or problem}", file=sys.stderr)
        _close_stdout()
        sys.exit(IfevalError.exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _close_stdout() -> None:
    """Send what is left in its buffer nowhere, or the interpreter fails on it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ifeval",
        description="Which verifiable instructions do answers follow? All 25 kinds of IFEval, strict and loose.",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        required=True,
        metavar="FILE",
        help="IFEval's input_data.jsonl, or own prompts like it",
    )
    parser.add_argument(
        "--responses",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON lines: `response` or `responses`, and `key` or `prompt`",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--verdicts",
        type=Path,
        metavar="FILE",
        help="write one JSON line per answer, in order ('-': standard output, in place of the summary)",
    )
    parser.add_argument(
        "--missing",
        choices=("error", "wrong", "skip"),
        default="error",
        help="prompts without an answer: refuse (default), count as not followed, or leave out",
    )
    parser.add_argument("--compat", action="store_true", help="reproduce lm-eval also where it has a bug")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help="seed of the language detection (default: %(default)s)"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _run(options: argparse.Namespace) -> None:
    prompts = PromptSet.read(options.prompts)
    answers = _complete(prompts, read_answers(options.responses, prompts), options.missing)
    scorer = Scorer(compat=options.compat, seed=options.seed)
    _check_arguments(prompts, scorer)
    verdicts = [scorer.score(answer.prompt.instructions, answer.text) for answer in answers]
    if options.verdicts is not None:
        lines = "".join(map(_verdict_line, answers, verdicts))
        if str(options.verdicts) == "-":
            print(lines, end="")
            return
        _write(options.verdicts, lines)
    summary = summarise([(answer.prompt, verdict) for answer, verdict in zip(answers, verdicts, strict=True)])
    if options.json:
        settings = {"scorer_version": SCORER_VERSION, "compat": options.compat, "seed": options.seed}
        print(json.dumps(_names_of_the_field(summary) | asdict(summary) | settings, indent=2))
    else:
        print(table(summary))


def _check_arguments(prompts: PromptSet, scorer: Scorer) -> None:
    """Build every checker before the first answer: `--compat` reads some arguments as patterns, which may be none."""
    for prompt in prompts.prompts:
        for instruction in prompt.instructions:
            try:
                scorer.checker(instruction)
            except PromptError as problem:
                raise PromptError(f"{prompts.name_of(prompt)}: {problem}") from problem


def _complete(prompts: PromptSet, answers: list[Answer], missing: str) -> list[Answer]:
    without = unanswered(prompts, answers)
    if not without or missing == "skip":
        return answers
    if missing == "wrong":
        return answers + [Answer(prompt, 0, "") for prompt in without]
    keys = ", ".join(str(prompt.key) for prompt in without[:5]) + (", …" if len(without) > 5 else "")
    raise ResponseError(
        f"{len(without)} of {len(prompts.prompts)} prompts have no answer (keys {keys}); answer them, or choose "
        "--missing wrong (they count as not followed) or --missing skip (they are left out)"
    )


def _verdict_line(answer: Answer, verdict: Verdict) -> str:
    fields = {
        "key": answer.prompt.key,
        "sample": answer.sample,
        "strict": verdict.strict,
        "loose": verdict.loose,
    }
    return json.dumps(fields) + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise IfevalError(f"cannot write the verdicts to {path}: {problem.strerror}") from problem


def _names_of_the_field(summary: Summary) -> dict[str, float]:
    """The four numbers by the names that leaderboards use."""
    return {
        "prompt_level_strict_acc": summary.strict.prompt.value,
        "inst_level_strict_acc": summary.strict.instruction.value,
        "prompt_level_loose_acc": summary.loose.prompt.value,
        "inst_level_loose_acc": summary.loose.instruction.value,
    }


def table(summary: Summary) -> str:
    """The summary as text, in per cent, with 95 % intervals where they say most."""
    strict, loose = summary.strict, summary.loose
    lines = [
        f"{summary.answers} answers to {summary.prompts} prompts, {summary.instructions} instructions",
        "",
        f"{'%':<45}{'n':>7}{'strict':>8}{'95 %':>14}{'loose':>8}{'95 %':>14}",
        _line("prompt-level accuracy", strict, loose, None),
        _line("instruction-level accuracy", strict, loose, ""),
    ]
    lines += [_line(kind, strict, loose, kind) for kind in strict.kinds]
    return "\n".join(lines)


def _line(label: str, strict: Accuracy, loose: Accuracy, kind: str | None) -> str:
    cells = ""
    count, dash = 0, _dash()
    for accuracy in (strict, loose):
        share = accuracy.prompt if kind is None else accuracy.kinds[kind] if kind else accuracy.instruction
        count = share.n
        interval = f"{100 * share.low:.1f}{dash}{100 * share.high:.1f}"
        cells += f"{100 * share.value:>8.1f}{interval:>14}"
    return f"{label:<45}{count:>7}{cells}"


def _dash() -> str:
    """A dash that the standard output can show."""
    try:
        "–".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "-"
    return "–"


if __name__ == "__main__":
    main()
