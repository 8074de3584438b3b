"""What an engine is asked and what it answers; the same for Transformers and vLLM."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Field

from budgetctl.errors import UsageError
from budgetctl.schema import Frozen

FinishReason = Literal["stop", "length"]


class Decoding(Frozen):
    """How answers are drawn. Temperature 0 is greedy; the other knobs then have no effect."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    """Keep the k likeliest tokens; 0 keeps all."""
    samples: Annotated[int, Field(ge=1)] = 1
    """Answers per prompt."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    seed: int = 0

    @classmethod
    def preset(cls, name: str, max_new_tokens: int, samples: int = 1, seed: int = 0) -> Decoding:
        """Return a named way of decoding.

        Args:
            name: `greedy`, `paper` (T 0.5, top-p 0.9, top-k 150), `sample` (T 1), or `sample-8` for eight answers of
                `sample` to each prompt.
            max_new_tokens: Longest answer.
            samples: Answers per prompt, where the name does not say.
            seed: Of the draws.

        Raises:
            UsageError: No preset has this name, greedy answers were asked for several times, or the name and
                `samples` say different numbers.
        """
        counted = re.fullmatch(r"sample-([1-9][0-9]*)", name)
        if counted is not None:
            if samples not in (1, int(counted[1])):
                raise UsageError(
                    f"Decoding '{name}' and {samples} samples say different numbers; leave one out."
                )
            name, samples = "sample", int(counted[1])
        if name not in DECODING_PRESETS:
            raise UsageError(
                f"There is no decoding '{name}'. Known: {', '.join(DECODING_PRESETS)}, sample-N."
            )
        if name == "greedy" and samples > 1:
            raise UsageError(
                "Greedy decoding gives the same answer every time; use --decoding sample for several."
            )
        temperature, top_p, top_k = DECODING_PRESETS[name]
        seed = 0 if name == "greedy" else seed
        return cls(
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            samples=samples,
            max_new_tokens=max_new_tokens,
            seed=seed,
        )


DECODING_PRESETS: dict[str, tuple[float, float, int]] = {
    "greedy": (0.0, 1.0, 0),
    "paper": (0.5, 0.9, 150),
    "sample": (1.0, 1.0, 0),
}
"""Name → temperature, top-p, top-k."""


@dataclass(frozen=True)
class Prompt:
    """One prompt as tokens.

    Attributes:
        prompt_id: Who it is.
        ids: Token ids, opened for the assistant's answer.
    """

    prompt_id: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        prompt_id: The prompt it answers.
        sample: Which of the prompt's samples it is, from 0.
        token_ids: The generated ids, the one that ended it included.
        finish_reason: `stop` if the model ended it, `length` if it was cut.
        logprob: Sum of the tokens' log-probabilities under the model itself (temperature 1, nothing filtered).
    """

    prompt_id: str
    sample: int
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    logprob: float


@dataclass(frozen=True)
class AdapterFolder:
    """A LoRA adapter in PEFT's format: its artifact's key and where it lies."""

    key: str
    path: Path


_REMEDY = (
    "Take a base with a longer context, or a file of prompts of your own without this one (`budgetctl data TASK --kind "
    "eval --set eval.files.test=[FILE] …`; `data.options.eval` in a recipe)."
)


def check_lengths(prompts: Sequence[Prompt], context: int) -> None:
    """Refuse prompts that leave no room for an answer.

    Args:
        prompts: What is asked.
        context: Most tokens the model reads, answer included.

    Raises:
        UsageError: One is too long; names it.
    """
    for prompt in prompts:
        if len(prompt.ids) >= context:
            raise UsageError(
                f"Prompt {prompt.prompt_id!r} has {len(prompt.ids)} tokens; the model's context of {context} leaves "
                f"no room for an answer, however short. {_REMEDY}"
            )


def check_texts(prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], context: int) -> None:
    """Refuse answers that do not fit behind their prompts.

    Raises:
        UsageError: One is too long; names its prompt.
    """
    for prompt, answer in zip(prompts, answers, strict=True):
        length = len(prompt.ids) + len(answer)
        if length > context:
            raise UsageError(
                f"Prompt {prompt.prompt_id!r} with its answer has {length} tokens; the model's context is {context}. "
                f"{_REMEDY}"
            )


class Engine(Protocol):
    """A base model in memory that answers under one adapter after the other."""

    @property
    def start_s(self) -> float:
        """Seconds spent on starting processes so far; 0 for an engine that is ready once it exists."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        decoding: Decoding,
        stop_ids: Sequence[int],
        adapter: AdapterFolder | None,
        done: frozenset[tuple[str, int]],
    ) -> Generator[list[Answer]]:
        """Yield finished answers, a batch at a time, all (prompt, sample) pairs but those in `done`.

        Close the generator before the engine is asked anything else.
        """

    def logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], adapter: AdapterFolder | None
    ) -> list[list[float]]:
        """Return each answer token's log-probability after its prompt."""

    def close(self) -> None:
        """Free the memory."""


class ProcessEngine(Engine, Protocol):
    """An engine in a process of its own."""

    def abandon(self) -> None:
        """Kill the process, from any thread; who waits for answers is interrupted (`InterruptedRunError`)."""
