"""Fork tables in words and numbers; with several seeds, means over them."""

from __future__ import annotations

from collections.abc import Sequence

from budgetctl.analysis.cells import CellStatus
from budgetctl.analysis.flat_tables import FlatTable
from budgetctl.analysis.fork_means import BaselineMean, ForkMean, Spread
from budgetctl.analysis.fork_predictions import Prediction
from budgetctl.analysis.fork_table import ForkTable
from budgetctl.analysis.forks import ForkRow
from budgetctl.analysis.uncertainty import Estimate
from budgetctl.analysis.words import TIE_MARK, number, value_text
from budgetctl.forking.triggers import PERPLEXITY

FEW_FORKS = 10
"""Below this many pairs a rank correlation's interval is called rough."""
BASELINE_NAMES = {"sft-only": "SFT only", "pft-only": "PFT only", "same-split": "same split"}
_UNKNOWN = ""
_AGAIN = "as above"
_SMALLEST = 1e-4


def flat_table(table: ForkTable) -> FlatTable:
    """The table as texts: a row per trigger, then the baselines."""
    forks = [fork for mean in table.means for fork in mean.forks]
    several = len(table.seeds) > 1
    again = any(fork.fired and fork.distinct is not None and fork.distinct != fork.examples for fork in forks)
    priced = any(map(_remaining_differs, forks))
    split = any(mean.same_split_status is not None for mean in table.means)
    head = [
        "trigger",
        *(["fired"] if several else []),
        "examples (distinct)" if again else "examples",
        "on dev rows",
    ]
    head += [*(["left"] if priced else []), "pairs", "final score", *(["same split"] if split else [])]
    rows = []
    for mean in table.means:
        row = [", ".join(mean.trigger.split(",")), *([_fired(mean)] if several else [])]
        row += [_examples(mean, again), dev_text(mean, several), *([_left(mean)] if priced else [])]
        rows.append([*row, _pairs(mean), _final(mean), *([_split(mean)] if split else [])])
    for one in table.baseline_means:
        row = [BASELINE_NAMES[one.kind], *([_UNKNOWN] if several else []), _count(one.n_sft), _UNKNOWN]
        row += [*([_UNKNOWN] if priced else []), _count(one.n_pft)]
        rows.append([*row, _score(one.score, one.status, len(one.members)), *([_UNKNOWN] if split else [])])
    title = f"{table.title} · budget {number(table.budget)} {table.currency}"
    return FlatTable(title, head, rows, notes(table))


def notes(table: ForkTable) -> list[str]:
    """What marks mean, what did not fire and why scores are missing, and what predicted the order."""
    forks = [line.fork for line in table.lines if not line.fork.same_as]
    found = []
    decided = [fork for fork in forks if fork.decided]
    if decided and not any(fork.fired for fork in decided):
        found.append("No trigger fired: there is nothing to fork from.")
    scored: list[ForkMean | BaselineMean] = [*table.means, *table.baseline_means]
    if any(one.score is not None for one in scored):
        found.append(_score_note(table))
    if len(table.seeds) > 1 and any(mean.value for mean in table.means):
        found.append("examples, pairs, metric on dev rows: mean over the seeds that fired (lowest–highest)")
    elif any(fork.low is not None for fork in forks):
        found.append("on dev rows: the metric at the fork and its 95 % interval")
    gaps = [mean.gap for mean in table.means if mean.gap is not None and mean.gap.is_real is not None]
    if gaps:
        how = "paired by item" if all(gap.paired for gap in gaps) else "not paired"
        found.append(
            f"same split: trained from scratch; {TIE_MARK} cannot be told apart from the fork ({how})"
        )
    reasons: dict[str, list[str]] = {}
    for fork in forks:
        if fork.reason and fork.score is None and not fork.did_not_fire:
            reasons.setdefault(fork.reason, []).append(fork.trigger)
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
        trunks = max(one.agreement.groups for one in predictions)
        few = f"{most} finished {'fork is' if most == 1 else 'forks are'} too few"
        few += f" in {trunks} trunks" if trunks > 1 else ""
        why = few if most < 3 * trunks else "they do not differ"
        return [f"order of the final scores against the order at the forks: {why}"]
    trunks = max(one.agreement.groups for one in known)
    how = "Spearman" if trunks == 1 else f"Spearman within a trunk, mean over {trunks} trunks"
    head = f"order of the final scores of {most} forks against the order at the forks ({how}; 1 is the same order):"
    rough = ["so few forks make rough intervals"] if most < FEW_FORKS else []
    return [head, *(_prediction(one, most) for one in known), *rough]


def dev_text(mean: ForkMean, several: bool) -> str:
    """The metric at the fork, or the best seen; named where the trigger does not name it.

    With its 95 % interval on the dev rows; of several seeds, the mean with the lowest and the highest.
    """
    if mean.value is None or mean.metric is None:
        return _UNKNOWN
    text = metric_text(mean.metric, mean.value.mean)
    low, high = (mean.value.least, mean.value.most) if several else _interval(mean.forks[0])
    if low is not None and high is not None and not (several and low == high):
        text += f" ({metric_text(mean.metric, low)}–{metric_text(mean.metric, high)})"
    text = text if mean.metric in mean.trigger else f"{mean.metric} {text}"
    return text if mean.fired else f"best {text}"


def metric_text(metric: str, value: float) -> str:
    """A perplexity with two decimals or three digits, a share with three decimals."""
    if metric != PERPLEXITY:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 100 else f"{value:.4g}"


def _score_note(table: ForkTable) -> str:
    if len(table.seeds) == 1:
        return "final score ± half its 95 % interval over test items; one training run each"
    if not table.noise.df:
        return "final score ± half its 95 % interval over test items; not yet more than one seed each"
    return (
        "final score: mean over the seeds that fired ± half its 95 % interval over seeds and test items; a seed moves "
        f"a score by {table.noise.sd:.3f} (sd, {table.noise.df} df)"
    )


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


def _interval(fork: ForkRow) -> tuple[float | None, float | None]:
    return fork.low, fork.high


def _fired(mean: ForkMean) -> str:
    waiting = len(mean.members) - mean.decided
    return f"{mean.fired} of {mean.decided}" + (f", {waiting} open" if waiting else "")


def _examples(mean: ForkMean, again: bool) -> str:
    """Rows processed, and the distinct ones where any fork of the table has seen some more than once."""
    if mean.examples is None:
        return _UNKNOWN
    processed, distinct = _spread(mean.examples), _spread(mean.distinct)
    return f"{processed} ({distinct})" if again and distinct and distinct != processed else processed


def _spread(found: Spread | None) -> str:
    """A count, or the mean of several with the lowest and the highest."""
    if found is None:
        return _UNKNOWN
    if found.least == found.most:
        return number(found.mean)
    return f"{found.mean:,.0f} ({number(found.least)}–{number(found.most)})"


def _pairs(mean: ForkMean) -> str:
    return _AGAIN if mean.same_as else _spread(mean.n_pft)


def _left(mean: ForkMean) -> str:
    return _AGAIN if mean.same_as else _spread(mean.remaining)


def _final(mean: ForkMean) -> str:
    if mean.same_as:
        return _AGAIN
    if mean.did_not_fire:
        return "did not fire"
    return _score(mean.score, mean.status, mean.fired)


def _split(mean: ForkMean) -> str:
    status = mean.same_split_status
    if status is None or mean.same_as:
        return _UNKNOWN
    tied = mean.gap is not None and mean.gap.is_real is False
    return _score(mean.same_split, status, mean.fired, TIE_MARK if tied else "")


def _score(found: Estimate | None, status: CellStatus, runs: int, mark: str = "") -> str:
    """The score, and how many of the runs have one where not all do."""
    if found is None:
        return "not run" if status is CellStatus.MISSING else status.value
    return value_text(found) + mark + (f" [{found.n_seeds}/{runs}]" if found.n_seeds < runs else "")


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _remaining_differs(fork: ForkRow) -> bool:
    """With prices, what is left is not the number of pairs."""
    if fork.remaining is None or fork.n_pft is None:
        return False
    return abs(fork.remaining - fork.n_pft) > _SMALLEST
