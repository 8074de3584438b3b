"""From keys that a user names to the generations and evaluations that are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from budgetctl.errors import UsageError
from budgetctl.models.checkpoints import CHECKPOINT_STAGES
from budgetctl.study.bases import may_be_key
from store import Artifact, Store
from store.errors import KeyNotFound

if TYPE_CHECKING:
    from budgetctl.scoring.paired import PerplexityRatio

COMPARABLE = ("eval", "perplexity")


def generation_named(key: str, store: Store) -> Artifact | None:
    """The generation that `key` names, None where it names something else (a model, a folder)."""
    if not may_be_key(key):
        return None
    try:
        artifact = store.artifact(store.resolve(key))
    except KeyNotFound:
        return None
    return artifact if artifact.stage == "gen" else None


def comparable(left: str, right: str, store: Store) -> tuple[Artifact, Artifact]:
    """Two evaluations, or two perplexities, that the keys stand for.

    A generation stands for its evaluation. A checkpoint or a base stands for one that was measured like the other
    side's: on the same rows, with the same decoding and scorer.

    Raises:
        UsageError: There is no such pair, or more than one.
    """
    named = [store.artifact(store.resolve(key)) for key in (left, right)]
    sides = [[one] if one.stage in COMPARABLE else _evaluations_of(one, store) for one in named]
    meant = all(one.stage in (*COMPARABLE, "gen") for one in named)  # who names answers means just these
    pairs = [
        (first, second)
        for first in sides[0]
        for second in sides[1]
        if first.stage == second.stage and (meant or _how(first, store) == _how(second, store))
    ]
    if not pairs:
        raise UsageError(
            f"{left} and {right} have no evaluations of the same kind on the same rows; run `budgetctl eval KEY` for "
            "both with the same options, and compare the keys it prints"
        )
    if len(pairs) > 1:
        told = "; ".join(f"budgetctl eval diff {first.key[:12]} {second.key[:12]}" for first, second in pairs)
        raise UsageError(f"{left} and {right} were evaluated alike in {len(pairs)} ways; choose one: {told}")
    return pairs[0]


def compared_perplexities(left: Artifact, right: Artifact) -> PerplexityRatio:
    """Compare two perplexities row by row.

    Raises:
        UsageError: They have no rows in common.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    from budgetctl.scoring.paired import perplexity_ratio  # noqa: PLC0415
    from budgetctl.scoring.perplexity import RowLoss  # noqa: PLC0415

    losses = [
        {
            (row["prompt_id"], row["sample"]): RowLoss(row["nll"], row["tokens"])
            for row in pq.read_table(side.path("losses.parquet")).to_pylist()
        }
        for side in (left, right)
    ]
    shared = [row for row in losses[0] if row in losses[1]]
    if len(shared) < 2:
        raise UsageError(
            f"{left.key[:12]} and {right.key[:12]} share {len(shared)} rows; a comparison needs two"
        )
    return perplexity_ratio([losses[0][row] for row in shared], [losses[1][row] for row in shared])


def _evaluations_of(artifact: Artifact, store: Store) -> list[Artifact]:
    """The published evaluations of a generation, or of a model's generations."""
    everything = list(store.artifacts())
    if artifact.stage == "gen":
        generations = {artifact.key}
    elif artifact.stage in ("base", *CHECKPOINT_STAGES):
        role = "base" if artifact.stage == "base" else "checkpoint"
        generations = {
            one.key
            for one in everything
            if one.stage == "gen"
            and one.parents.get(role) == artifact.key
            and (role == "checkpoint" or "checkpoint" not in one.parents)
        }
    else:
        raise UsageError(
            f"{artifact.key[:12]} is a {artifact.stage} artifact; give an evaluation, generations or a checkpoint"
        )
    return [one for one in everything if one.stage == "eval" and one.parents["gen"] in generations]


def _how(evaluation: Artifact, store: Store) -> object:
    """How and on which rows something was measured, whatever the model."""
    if evaluation.stage == "perplexity":
        return evaluation.identity, evaluation.parents["prompts"]
    generation = store.artifact(evaluation.parents["gen"])
    return evaluation.identity, generation.identity, evaluation.parents["data"]
