"""A live policy on dev rows: perplexity of the gold answers and verdicts on generated ones.

The model that is being trained answers by itself; nothing of it is copied. Whatever happens in a measurement, the
training finds its modules' modes and every random state as it left them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, Engine, Prompt
from budgetctl.engines.transformers import TransformersEngine
from budgetctl.errors import UsageError
from budgetctl.forking.decide import Measurement
from budgetctl.forking.measure import pass_measurement, perplexity_measurement
from budgetctl.forking.triggers import PERPLEXITY, WatchSettings
from budgetctl.models.encoding import Encoder
from budgetctl.models.loading import LoadedBase
from budgetctl.tasks import task_named
from budgetctl.tasks.task import metric_read


class Abandoned(Exception):  # noqa: N818  (a stop that was asked for, no error)
    """The run was asked to stop in the middle of a measurement."""


@dataclass(frozen=True)
class Judged:
    """An answer to a dev prompt and what the scorer says of it."""

    answer: Answer
    text: str
    right: bool


@dataclass(frozen=True)
class DevRows:
    """Dev rows as tokens.

    Attributes:
        gold: Prompts with gold answers, for perplexity.
        answers: Token ids of the gold answers' own text.
        prompts: All prompts, for generation.
        references: Prompt id → what the scorer compares with.
    """

    gold: tuple[Prompt, ...]
    answers: tuple[tuple[int, ...], ...]
    prompts: tuple[Prompt, ...]
    references: dict[str, str]


def read_dev_rows(file: Path, task: str, watch: WatchSettings, encoder: Encoder, context: int) -> DevRows:
    """Read and tokenise what a watch needs.

    Raises:
        UsageError: Perplexity is asked for and no row has a gold answer, fewer than two rows are there, or a row does
            not fit into the model's context.
    """
    import pyarrow.parquet  # noqa: PLC0415

    from budgetctl.data.gold import gold_rows_in  # noqa: PLC0415

    gold: list[Prompt] = []
    answers: list[tuple[int, ...]] = []
    if PERPLEXITY in watch.metrics:
        for row in gold_rows_in(file, f"the dev data of {task}"):
            origin = f"dev row {row.prompt_id!r}"
            gold.append(Prompt(row.prompt_id, tuple(encoder.prompt(row.prompt, origin))))
            answers.append(tuple(encoder.counted_answer(row.prompt, row.answer, origin)))
            length = len(gold[-1].ids) + len(answers[-1])
            if length > context:
                raise UsageError(
                    f"{origin} has {length} tokens with its gold answer, more than the model's context of {context}. "
                    "Leave it out of the dev rows, or use a base with a longer context."
                )
    rows = pyarrow.parquet.read_table(file, columns=["prompt_id", "prompt", "reference"]).to_pylist()
    prompts = [
        Prompt(row["prompt_id"], tuple(encoder.prompt(row["prompt"], f"dev row {row['prompt_id']!r}")))
        for row in rows
    ]
    for name, found in (
        ("prompts", prompts),
        *((("gold answers", gold),) if PERPLEXITY in watch.metrics else ()),
    ):
        if len(found) < 2:
            raise UsageError(
                f"The dev rows hold {len(found)} {name}; a trunk is decided beyond the noise, and that takes at least "
                "two."
            )
    return DevRows(
        tuple(gold), tuple(answers), tuple(prompts), {row["prompt_id"]: row["reference"] for row in rows}
    )


class Measurer:
    """Measures a live policy.

    Args:
        live: The model that is being trained, in memory.
        encoder: Its template and tokenizer.
        rows: The dev rows.
        task: Whose scorer judges.
        watch: What to measure.
        seed: Of sampled answers: the same draws for a prompt at every measurement, which makes gains between two
            measurements easier to tell from noise.
        engine: Generates; None lets the live model do it.
    """

    def __init__(
        self,
        live: LoadedBase,
        encoder: Encoder,
        rows: DevRows,
        task: str,
        watch: WatchSettings,
        seed: int,
        engine: Engine | None,
    ) -> None:
        self._live = live
        self._encoder = encoder
        self._rows = rows
        self._task = task_named(task)
        self._metric = metric_read(self._task, watch.strict)
        self._watch = watch
        self._decoding = Decoding(
            temperature=watch.temperature,
            samples=watch.samples,
            max_new_tokens=watch.max_new_tokens or self._task.max_new_tokens,
            seed=seed,
        )
        self._engine = engine

    @property
    def generates(self) -> bool:
        """Whether any metric needs answers."""
        return bool(self._watch.ks)

    def measure(
        self, adapter: AdapterFolder | None, should_stop: Callable[[], bool]
    ) -> tuple[list[Measurement], list[Judged]]:
        """Return the watch's metrics, and the judged answers they rest on.

        Args:
            adapter: The policy's adapter as another engine can load it; None where the live model generates, or while
                the policy is still its base.
            should_stop: Asked between batches of answers.

        Raises:
            Abandoned: The run was asked to stop.
        """
        found: dict[str, Measurement] = {}
        judged: list[Judged] = []
        with undisturbed(self._live.model, self._live.device):
            if PERPLEXITY in self._watch.metrics:
                found[PERPLEXITY] = self._perplexity()
            if self.generates:
                judged = self._answers(adapter, should_stop)
                right: dict[str, list[float]] = {prompt.prompt_id: [] for prompt in self._rows.prompts}
                for one in judged:
                    right[one.answer.prompt_id].append(float(one.right))
                for k in self._watch.ks:
                    measured = pass_measurement(list(right.values()), k, self._watch.strict)
                    found[measured.metric] = measured
        return [found[metric] for metric in self._watch.metrics], judged

    def _perplexity(self) -> Measurement:
        rows = self._rows
        scores = TransformersEngine(self._live).logprobs(rows.gold, rows.answers, None)
        return perplexity_measurement([(-math.fsum(score), float(len(score))) for score in scores])

    def _answers(self, adapter: AdapterFolder | None, should_stop: Callable[[], bool]) -> list[Judged]:
        engine: Engine = self._engine or TransformersEngine(self._live)
        given: dict[tuple[str, int], Answer] = {}
        rows, stop_ids = self._rows, self._encoder.stop_ids
        with closing(
            engine.generate(rows.prompts, self._decoding, stop_ids, adapter, frozenset())
        ) as answers:
            for batch in answers:
                given |= {(answer.prompt_id, answer.sample): answer for answer in batch}
                if should_stop():
                    raise Abandoned
        places = [
            (prompt.prompt_id, sample)
            for prompt in self._rows.prompts
            for sample in range(self._decoding.samples)
        ]
        return [self._judge(given[place]) for place in places]

    def _judge(self, answer: Answer) -> Judged:
        text = self._encoder.decode(answer.token_ids)
        verdict = self._task.score(
            text, self._rows.references[answer.prompt_id], truncated=answer.finish_reason == "length"
        )
        return Judged(answer, text, verdict[self._metric] == 1)


@contextmanager
def undisturbed(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Put a model into evaluation mode, and give every mode and random state back whatever happens."""
    modes = [(module, module.training) for module in model.modules()]
    of_python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    of_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    model.eval()
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what the last step left over is room for a measurement, and the other way round
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        for module, mode in modes:
            module.training = mode
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        torch.random.set_rng_state(of_torch)
        if of_gpu is not None:
            torch.cuda.set_rng_state(of_gpu, device)
