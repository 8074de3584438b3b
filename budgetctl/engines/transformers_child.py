"""The process behind `ServedTransformersEngine`: JSON lines in on stdin, replies out on a descriptor, as for vLLM."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import IO, Any

from budgetctl.engines.protocol import AdapterFolder, Decoding, Prompt
from budgetctl.errors import BudgetctlError, UsageError


def main() -> None:
    """Serve requests until told to close."""
    options = json.loads(sys.argv[1])
    replies = os.fdopen(int(sys.argv[2]), "w", encoding="utf-8")
    requests: Queue[dict[str, Any]] = Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    import torch  # noqa: PLC0415  (the parent's death must be noticed during these seconds, too)

    from budgetctl.engines.transformers import TransformersEngine  # noqa: PLC0415

    if options["threads"]:
        torch.set_num_threads(options["threads"])
    engine = TransformersEngine(
        Path(options["base"]), options["device"], options["precision"], options["batch"]
    )
    _reply(replies, {"ready": True})
    while True:
        request = requests.get()
        if request["do"] == "close":
            os._exit(0)
        try:
            {"generate": _generate, "logprobs": _logprobs}[request["do"]](engine, request, replies)
        except BudgetctlError as error:
            _reply(
                replies,
                {"error": str(error), "told": True, "intact": True, "usage": isinstance(error, UsageError)},
            )


def _read(requests: Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _reply(replies: IO[str], content: dict[str, Any]) -> None:
    replies.write(json.dumps(content) + "\n")
    replies.flush()


def _adapter(request: dict[str, Any]) -> AdapterFolder | None:
    adapter = request["adapter"]
    return AdapterFolder(adapter["key"], Path(adapter["path"])) if adapter else None


def _generate(engine: Any, request: dict[str, Any], replies: IO[str]) -> None:
    decoding = Decoding.model_validate(request["decoding"])
    prompts = [Prompt(prompt["id"], tuple(prompt["ids"])) for prompt in request["prompts"]]
    places = {
        (prompts[number].prompt_id, sample): place
        for place, (number, sample, _) in enumerate(request["asked"])
    }
    wanted = {(prompt.prompt_id, sample) for prompt in prompts for sample in range(decoding.samples)}
    answered = frozenset(wanted - places.keys())
    for batch in engine.generate(prompts, decoding, request["stop_ids"], _adapter(request), answered):
        answers = [
            {"place": places[answer.prompt_id, answer.sample], "ids": list(answer.token_ids),
             "reason": answer.finish_reason, "logprob": answer.logprob} for answer in batch
        ]  # fmt: skip
        _reply(replies, {"answers": answers})
    _reply(replies, {"answers": [], "done": True})


def _logprobs(engine: Any, request: dict[str, Any], replies: IO[str]) -> None:
    texts = request["texts"]
    prompts = [Prompt(str(place), tuple(text["ids"][: text["first"]])) for place, text in enumerate(texts)]
    answers = [text["ids"][text["first"] :] for text in texts]
    _reply(replies, {"scores": engine.logprobs(prompts, answers, _adapter(request)), "done": True})


if __name__ == "__main__":
    main()
