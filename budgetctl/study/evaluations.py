"""From keys that a user names to the generations and evaluations that are meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from budgetctl.errors import UsageError
from budgetctl.models.checkpoints import CHECKPOINT_STAGES
from budgetctl.study.bases import may_be_key
from store import Artifact, Store
from store.errors import KeyNotFound

if TYPE_CHECKING:
    from budgetctl.scoring.paired import PerplexityRatio

KINDS = {"eval": "an evaluation", "perplexity": "a perplexity"}
MODELS = ("base", *CHECKPOINT_STAGES)


def generation_named(key: str, store: Store) -> Artifact | None:
    """The generation that `key` names, None where it names something else (a model, a folder)."""
    if not may_be_key(key):
        return None
    try:
        artifact = store.artifact(store.resolve(key))
    except KeyNotFound:
        return None
    return artifact if artifact.stage == "gen" else None


def comparable(
    left: str, right: str, store: Store, score: Callable[[Artifact], Artifact], unpaired: bool = False
) -> tuple[Artifact, Artifact]:
    """Two evaluations, or two perplexities, that the keys stand for.

    Generations stand for their evaluation, a checkpoint or a base for one (or for a perplexity) that was measured like
    the other side's: on the same rows, with the same decoding and scorer.

    Args:
        left: Of the first side.
        right: Of the second.
        store: Where they are.
        score: Finds or makes the evaluation of generations.
        unpaired: Also take evaluations that share no prompts.

    Raises:
        UsageError: There is no such pair, or more than one, or the two are of unlike kinds.
    """
    named = [store.artifact(store.resolve(key)) for key in (left, right)]
    for one in named:
        if one.stage not in (*KINDS, *MODELS, "gen"):
            raise UsageError(
                f"{one.key[:12]} is a {one.stage} artifact; give an evaluation, a perplexity, generations or a "
                "checkpoint"
            )
    sides = [score(one) if one.stage == "gen" else one for one in named]
    if any(one.stage in MODELS for one in sides):
        first, second = _alike(sides[0], sides[1], left, right, store)
    else:
        first, second = sides
        _check_alike(first, second, store)
    if first.stage == "eval" and not unpaired:
        _check_shared(first, second)
    return first, second


def compared_perplexities(left: Artifact, right: Artifact) -> PerplexityRatio:
    """Compare two perplexities row by row.

    Raises:
        UsageError: They have no rows in common, or count the tokens of the same gold answer differently.
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
    if left.identity["answers"] == "gold" and any(
        losses[0][row].tokens != losses[1][row].tokens for row in shared
    ):
        raise UsageError(
            f"{left.key[:12]} and {right.key[:12]} cut the same answers into other tokens, so their perplexities, "
            "which are per token, cannot be compared; compare models of one tokenizer"
        )
    return perplexity_ratio([losses[0][row] for row in shared], [losses[1][row] for row in shared])


def _alike(
    first: Artifact, second: Artifact, left: str, right: str, store: Store
) -> tuple[Artifact, Artifact]:
    """The one pair that two sides stand for, of which at least one is a model."""
    for kind in KINDS:
        if any(side.stage in KINDS and side.stage != kind for side in (first, second)):
            continue
        pairs = {
            (_answers(one), _answers(other)): (one, other)
            for one in _measurements(first, kind, store)
            for other in _measurements(second, kind, store)
            if _how(one, store) == _how(other, store)
        }
        if len(pairs) > 1:
            told = "; ".join(
                f"budgetctl eval diff {one.key[:12]} {other.key[:12]}" for one, other in pairs.values()
            )
            raise UsageError(
                f"{left} and {right} were measured alike in {len(pairs)} ways; choose one: {told}"
            )
        if pairs:
            return next(iter(pairs.values()))
    raise UsageError(
        f"{left} and {right} have no evaluations, and no perplexities, of the same kind on the same rows; run "
        "`budgetctl eval KEY` for both with the same options, and compare the keys it prints"
    )


def _measurements(side: Artifact, kind: str, store: Store) -> Iterable[Artifact]:
    """What a side stands for: itself, or what was measured of a model, the newest of the same answers last."""
    if side.stage == kind:
        return [side]
    everything = list(store.artifacts())
    role = "base" if side.stage == "base" else "checkpoint"

    def of_it(one: Artifact) -> bool:
        return one.parents.get(role) == side.key and (role == "checkpoint" or "checkpoint" not in one.parents)

    if kind == "perplexity":
        return [one for one in everything if one.stage == kind and of_it(one)]
    generations = {one.key for one in everything if one.stage == "gen" and of_it(one)}
    found = [one for one in everything if one.stage == kind and one.parents["gen"] in generations]
    return sorted(found, key=lambda one: (one.identity["scorer_version"], one.manifest.payload.revision))


def _answers(measurement: Artifact) -> str:
    """What was scored; one evaluation of the same answers is as good as another."""
    return measurement.parents["gen"] if measurement.stage == "eval" else measurement.key


def _how(measurement: Artifact, store: Store) -> object:
    """How and on which rows something was measured, whatever the model."""
    if measurement.stage == "perplexity":
        return measurement.identity, measurement.parents["prompts"], _decoding(measurement, store)
    generation = store.artifact(measurement.parents["gen"])
    scorer = measurement.identity["task"], measurement.identity["scorer_version"]
    return scorer, generation.identity, measurement.parents["data"]


def _decoding(perplexity: Artifact, store: Store) -> object:
    """How the answers were drawn that a perplexity is of; None for gold ones."""
    generation = perplexity.parents.get("gen")
    return None if generation is None else store.artifact(generation).identity["decoding"]


def _check_alike(first: Artifact, second: Artifact, store: Store) -> None:
    """Refuse two measurements that do not measure the same.

    Raises:
        UsageError: With what is unlike.
    """
    names = first.key[:12], second.key[:12]
    if first.stage != second.stage:
        kinds = KINDS[first.stage], KINDS[second.stage]
        raise UsageError(f"{names[0]} is {kinds[0]} and {names[1]} {kinds[1]}; compare two of a kind")
    if first.stage == "eval":
        versions = first.identity["scorer_version"], second.identity["scorer_version"]
        if first.identity["task"] == second.identity["task"] and versions[0] != versions[1]:
            raise UsageError(
                f"{names[0]} was scored by version {versions[0]} of the {first.identity['task']} scorer and {names[1]} "
                f"by version {versions[1]}; compare their generations instead, which are then scored alike: "
                f"budgetctl eval diff {first.parents['gen'][:12]} {second.parents['gen'][:12]}"
            )
        return
    answers = first.identity["answers"], second.identity["answers"]
    if answers[0] != answers[1]:
        raise UsageError(
            f"{names[0]} is the perplexity of {answers[0]} answers and {names[1]} of {answers[1]} ones; compare two of "
            "a kind (`budgetctl eval KEY --perplexity gold`, or greedy)"
        )
    if _decoding(first, store) != _decoding(second, store):
        raise UsageError(
            f"{names[0]} and {names[1]} are perplexities of answers that were generated in different ways; give both "
            "models the same --max-new-tokens"
        )


def _check_shared(first: Artifact, second: Artifact) -> None:
    """Refuse evaluations of different prompts.

    Raises:
        UsageError: They share fewer than two prompts, unless they are of the same rows.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    if first.parents["data"] == second.parents["data"]:
        return
    prompts = [
        set(pq.read_table(side.path("verdicts.parquet"), columns=["prompt_id"])["prompt_id"].to_pylist())
        for side in (first, second)
    ]
    shared = len(prompts[0] & prompts[1])
    if shared < 2:
        raise UsageError(
            f"{first.key[:12]} and {second.key[:12]} are of different prompts ({shared} of {len(prompts[0])} and "
            f"{len(prompts[1])} are shared), so nothing can be paired; evaluate both on the same rows, or say "
            "--unpaired to compare them as two independent samples"
        )
