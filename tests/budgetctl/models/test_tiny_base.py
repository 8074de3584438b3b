"""The tiny base model: what its corpus has and lacks, its tokenizer, and a pretraining that can be interrupted."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from budgetctl.console import SilentReporter
from budgetctl.data.sources import ArithSource
from budgetctl.errors import InterruptedRunError
from budgetctl.models.corpus import CorpusMix, documents
from budgetctl.models.encoding import Encoder
from budgetctl.models.templates import Template
from budgetctl.models.tiny import CHECKPOINT, TinyConfig, build_tokenizer, packed, pretrain
from budgetctl.tasks.arith import every_core

SMALL = TinyConfig(
    hidden=32, layers=2, heads=2, feed_forward=64, steps=12, sequences=2, sequence=64, warmup=2
)
CHAIN = re.compile(r"(\d+)([+-])(\d+)=(\d+)\n(\d+)([+-])(\d+)=(\d+)")


def corpus(count, seed=1):
    return list(islice(documents(CorpusMix(), seed), count))


def test_no_chain_of_sums_belongs_to_dev_or_test():
    split_of = {(c.start, c.first, c.a, c.second, c.b): c.split for c in every_core()}
    chains = 0
    for document in corpus(5000):
        if "\nNow " not in document and "many" not in document:
            continue
        for start, first, a, middle, again, second, b, _ in CHAIN.findall(document):
            if middle == again:
                core = (int(start), first, int(a), second, int(b))
                if core in split_of:
                    chains += 1
                    assert split_of[core] == "train", document
    assert chains > 2000


def test_the_answer_format_and_the_roles_are_never_seen():
    for document in corpus(5000):
        assert not re.search(r"#+ *-?\d", document)
        assert "<|" not in document


def test_every_kind_of_document_occurs():
    text = "\n".join(corpus(2000))
    for sign in ("####", "reads it:", "How many", "together.", "likes the", "="):
        assert sign in text


def test_the_corpus_is_repeatable_and_seeded():
    assert corpus(50) == corpus(50)
    assert corpus(50) != corpus(50, seed=2)


def test_the_tokenizer_is_the_same_in_every_process():
    program = (
        "import hashlib\n"
        "from budgetctl.models.tiny import TinyConfig, build_tokenizer\n"
        "text = build_tokenizer(TinyConfig()).backend_tokenizer.to_str()\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    own = hashlib.sha256(build_tokenizer(TinyConfig()).backend_tokenizer.to_str().encode()).hexdigest()
    other = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "5", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == own


def test_digits_are_single_tokens_and_text_survives():
    tokenizer = build_tokenizer(TinyConfig())
    assert len(tokenizer) <= 512
    row = next(iter(ArithSource().rows("sft", "train", {})))
    conversation = Template.named("tiny").render(row["messages"])
    ids = tokenizer(conversation, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == conversation
    assert tokenizer.tokenize("1234") == ["1", "2", "3", "4"]


def test_its_template_finds_every_special_token():
    encoder = Encoder(build_tokenizer(TinyConfig()), Template.named("tiny"))
    assert encoder.bos_id == 1
    assert encoder.stop_id == 2


def test_packed_blocks_are_full_and_repeatable():
    tokenizer = build_tokenizer(SMALL)
    first, again = (list(islice(packed(SMALL, tokenizer), 3)) for _ in range(2))
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))
    assert {block.shape for block in first} == {(2, 64)}
    assert not torch.equal(first[0], first[1])


def weights(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def train(folder: Path, should_stop=lambda: False):
    out, scratch = folder / "out", folder / "scratch"
    for place in (out, scratch):
        place.mkdir(parents=True, exist_ok=True)
    return pretrain(SMALL, out, scratch, SilentReporter(), should_stop, checkpoint_every=4), out, scratch


def test_pretraining_is_repeatable_and_goes_on_where_it_stopped(tmp_path):
    metrics, whole, _ = train(tmp_path / "whole")
    assert metrics["steps"] == 12
    assert metrics["tokens"] == 12 * 2 * 64
    asked = iter(range(100))
    with pytest.raises(InterruptedRunError, match="after step 6 of 12"):
        train(tmp_path / "cut", lambda: next(asked) == 5)
    assert (tmp_path / "cut" / "scratch" / CHECKPOINT).exists()
    resumed, out, _ = train(tmp_path / "cut")
    assert resumed == metrics
    left, right = weights(whole), weights(out)
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_folder_is_an_ordinary_transformers_model(tmp_path):
    _, out, _ = train(tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.dtype == torch.float32
    assert model.config.eos_token_id == tokenizer.eos_token_id == 2
    assert len(tokenizer) == model.config.vocab_size


@pytest.mark.slow
def test_pretraining_learns(tmp_path):
    config = SMALL.model_copy(update={"steps": 150, "sequences": 8})
    for place in ("out", "scratch"):
        (tmp_path / place).mkdir()
    losses = pretrain(config, tmp_path / "out", tmp_path / "scratch", SilentReporter(), lambda: False)
    assert losses["loss"] < 3.0
