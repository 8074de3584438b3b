"""Several engines as one: each has the whole model, on a GPU of its own or beside others, and answers a share."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from queue import Queue

from budgetctl.engines.protocol import AdapterFolder, Answer, Decoding, Engine, Prompt


class ParallelEngine:
    """Deals prompts to engines that work at the same time; see `engines.protocol.Engine`.

    Sampling is the same in each, and an answer's random numbers follow from its prompt and sample alone, so the
    number of engines changes no answer of the Transformers engine, and none of vLLM's beyond what its batches do.
    """

    def __init__(self, engines: Sequence[Engine], enough: int = 1) -> None:
        """Take the engines; one that is given nothing to do is not started.

        Args:
            engines: Those that come first get work first.
            enough: Answers for which another engine is worth its start.
        """
        self._engines = tuple(engines)
        self._enough = enough

    @property
    def start_s(self) -> float:
        """Seconds of the slowest's starts; they start side by side."""
        return max(engine.start_s for engine in self._engines)

    def generate(
        self,
        prompts: Sequence[Prompt],
        decoding: Decoding,
        stop_ids: Sequence[int],
        adapter: AdapterFolder | None,
        done: frozenset[tuple[str, int]] = frozenset(),
    ) -> Iterator[list[Answer]]:
        """Yield finished answers of all engines as they come; an error of one ends the others."""
        replies: Queue[list[Answer] | BaseException | None] = Queue()
        given_up = threading.Event()

        def work(engine: Engine, share: list[Prompt]) -> None:
            batches = engine.generate(share, decoding, stop_ids, adapter, done)
            try:
                for batch in batches:
                    if given_up.is_set():
                        break
                    replies.put(batch)
            except BaseException as error:
                replies.put(error)
            else:
                replies.put(None)
            finally:
                if isinstance(batches, Generator):
                    batches.close()

        shares = self._dealt(prompts, len(prompts) * decoding.samples)
        threads = [
            threading.Thread(target=work, args=(engine, share))
            for engine, share in zip(self._engines, shares, strict=False)
            if share
        ]
        for thread in threads:
            thread.start()
        try:
            working = len(threads)
            while working:
                reply = replies.get()
                if isinstance(reply, BaseException):
                    raise reply
                if reply is None:
                    working -= 1
                else:
                    yield reply
        finally:
            given_up.set()
            for thread in threads:
                thread.join()

    def logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], adapter: AdapterFolder | None
    ) -> list[list[float]]:
        """Return each answer token's log-probability after its prompt, in the order given."""
        count = self._working(len(prompts))
        found: list[list[list[float]] | BaseException] = [[] for _ in range(count)]

        def work(number: int) -> None:
            try:
                found[number] = self._engines[number].logprobs(
                    prompts[number::count], answers[number::count], adapter
                )
            except BaseException as error:
                found[number] = error

        threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        scores: list[list[float]] = [[] for _ in prompts]
        for number, part in enumerate(found):
            if isinstance(part, BaseException):
                raise part
            scores[number::count] = part
        return scores

    def close(self) -> None:
        """Free the memory of all, side by side."""
        threads = [threading.Thread(target=engine.close) for engine in self._engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _working(self, answers: int) -> int:
        """How many engines there is enough work for."""
        return max(1, min(len(self._engines), -(-answers // self._enough)))

    def _dealt(self, prompts: Sequence[Prompt], answers: int) -> list[list[Prompt]]:
        """Shares of about equal length: in turn, by length, since long prompts come with long work."""
        count = self._working(answers)
        ordered = sorted(prompts, key=lambda prompt: -len(prompt.ids))
        return [ordered[number::count] for number in range(count)]
