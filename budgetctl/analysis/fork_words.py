"""Fork tables in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.flat_tables import FlatTable
from budgetctl.analysis.fork_table import ForkLine, ForkTable, Prediction
from budgetctl.analysis.forks import BaselineRow, ForkRow
from budgetctl.analysis.words import TIE_MARK, number
from budgetctl.forking.triggers import PERPLEXITY

FEW_FORKS = 10
"""Below this many pairs a rank correlation's interval is called rough."""
BASELINE_NAMES = {"sft-only": "SFT only", "pft-only": "PFT only", "same-split": "same split"}
_UNKNOWN = ""
_SMALLEST = 1e-4


def flat_table(table: ForkTable) -> FlatTable:
    """The table as texts."""
    priced = any(_remaining_differs(line.fork) for line in table.lines)
    split = any(line.same_split is not None for line in table.lines)
    seeds = len(table.seeds) > 1
    again = any(_repeats(line.fork) for line in table.lines)
    count = "examples (distinct)" if again else "examples"
    head = ["trigger", count, "on dev rows", *(["left"] if priced else []), "pairs", "final score"]
    head += ["same split"] if split else []
    rows = []
    for line in table.lines:
        row = [_name(line.fork, seeds), _examples(line.fork), dev_text(line.fork)]
        row += [_left(line.fork)] if priced else []
        row += [_pairs(line.fork), _final(line.fork)]
        rows.append([*row, *([_split(line)] if split else [])])
    for one in table.baselines:
        row = [baseline_name(one, seeds), _count(one.n_sft), _UNKNOWN, *([_UNKNOWN] if priced else [])]
        row += [_count(one.n_pft), _score(one.score, one.score_low, one.score_high, one.status)]
        rows.append([*row, *([_UNKNOWN] if split else [])])
    title = f"{table.title} · budget {number(table.budget)} {table.currency}"
    return FlatTable(title, head, rows, notes(table))


def notes(table: ForkTable) -> list[str]:
    """What marks mean, what did not fire and why scores are missing, and what predicted the order."""
    lines = [line for line in table.lines if not line.fork.same_as]
    found = []
    decided = [line for line in lines if line.fork.decided]
    if decided and not any(line.fork.fired for line in decided):
        found.append("No trigger fired: there is nothing to fork from.")
    if any(line.fork.score is not None for line in lines) or any(
        b.score is not None for b in table.baselines
    ):
        found.append("final score ± half its 95 % interval over test items; one training run each")
    if any(line.fork.low is not None for line in lines):
        found.append("on dev rows: the metric at the fork and its 95 % interval")
    gaps = [line.gap for line in lines if line.gap is not None and line.gap.is_real is not None]
    if gaps:
        how = "paired by item" if all(gap.paired for gap in gaps) else "not paired"
        found.append(
            f"same split: trained from scratch; {TIE_MARK} cannot be told apart from the fork ({how})"
        )
    reasons: dict[str, list[str]] = {}
    for line in lines:
        if line.fork.reason and line.fork.score is None and not line.fork.did_not_fire:
            reasons.setdefault(line.fork.reason, []).append(line.fork.trigger)
    found += [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in reasons.items()]
    return [*found, *prediction_lines(table.predictions)]


def prediction_lines(predictions: Sequence[Prediction]) -> list[str]:
    """How well the metrics at the forks foretold the order of the final scores."""
    if not predictions:
        return []
    most = max(one.agreement.n for one in predictions)
    if most == 0:
        return []
    known = [one for one in predictions if one.agreement.value is not None]
    if not known:
        why = (
            "they do not differ"
            if most > 2
            else f"{most} finished {'fork is' if most == 1 else 'forks are'} too few"
        )
        return [f"order of the final scores against the order at the forks: {why}"]
    head = f"order of the final scores of {most} forks against the order at the forks (Spearman; 1 is the same order):"
    rough = ["so few forks make rough intervals"] if most < FEW_FORKS else []
    return [head, *(_prediction(one, most) for one in known), *rough]


def dev_text(fork: ForkRow) -> str:
    """The metric at the fork, or the best seen, with its interval; named where the trigger does not name it."""
    if fork.value is None or fork.metric is None:
        return _UNKNOWN
    text = metric_text(fork.metric, fork.value)
    if fork.low is not None and fork.high is not None:
        text += f" ({metric_text(fork.metric, fork.low)}–{metric_text(fork.metric, fork.high)})"
    text = text if fork.metric in fork.trigger else f"{fork.metric} {text}"
    return text if fork.fired else f"best {text}"


def metric_text(metric: str, value: float) -> str:
    """A perplexity with two decimals or three digits, a share with three decimals."""
    if metric != PERPLEXITY:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 100 else f"{value:.4g}"


def baseline_name(one: BaselineRow, with_seed: bool) -> str:
    """In words."""
    return BASELINE_NAMES[one.kind] + (f" (seed {one.seed})" if with_seed else "")


def _prediction(one: Prediction, most: int) -> str:
    agreement = one.agreement
    text = f"{one.metric} {_signed(agreement.value)}"
    if agreement.low is not None and agreement.high is not None:
        text += f" (bootstrap 95 %: {_signed(agreement.low)} to {_signed(agreement.high)})"
    if agreement.chance is not None:
        text += f", by chance at least so in {agreement.chance:.1%} of orders".replace("%", " %")
    return text if agreement.n == most else f"{text}, over {agreement.n} forks"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".replace("-", "−")


def _name(fork: ForkRow, with_seed: bool) -> str:
    spaced = ", ".join(fork.trigger.split(","))
    return spaced + (f" (seed {fork.seed})" if with_seed else "")


def _examples(fork: ForkRow) -> str:
    if not fork.fired or fork.examples is None:
        return _UNKNOWN
    return f"{fork.examples:,}" + (f" ({fork.distinct:,})" if _repeats(fork) else "")


def _repeats(fork: ForkRow) -> bool:
    """Whether some rows had been seen more than once, or annealing added some."""
    return fork.fired and fork.distinct is not None and fork.distinct != fork.examples


def _pairs(fork: ForkRow) -> str:
    return "as above" if fork.same_as else _count(fork.n_pft)


def _left(fork: ForkRow) -> str:
    if fork.same_as:
        return "as above"
    return _UNKNOWN if fork.remaining is None else number(fork.remaining)


def _final(fork: ForkRow) -> str:
    if fork.same_as:
        return "as above"
    if fork.did_not_fire:
        return "did not fire"
    return _score(fork.score, fork.score_low, fork.score_high, fork.status)


def _split(line: ForkLine) -> str:
    one = line.same_split
    if one is None or line.fork.same_as:
        return _UNKNOWN
    tied = line.gap is not None and line.gap.is_real is False
    return _score(one.score, one.score_low, one.score_high, one.status) + (TIE_MARK if tied else "")


def _score(score: float | None, low: float | None, high: float | None, status: CellStatus) -> str:
    if score is None:
        return "not run" if status is CellStatus.MISSING else status.value
    return f"{score:.3f}" + ("" if low is None or high is None else f" ±{(high - low) / 2:.3f}")


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _remaining_differs(fork: ForkRow) -> bool:
    """With prices, what is left is not the number of pairs."""
    if fork.remaining is None or fork.n_pft is None:
        return False
    return abs(fork.remaining - fork.n_pft) > _SMALLEST
