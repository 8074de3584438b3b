"""Token ids and loss masks of every template, against expectations written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from budgetctl.errors import UsageError
from budgetctl.models.encoding import Encoder
from budgetctl.models.templates import TEMPLATE_NAMES, Template

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "And\n3+3?"},
    {"role": "assistant", "content": " 6!"},
]
SHORT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hey <b>"}]
EMPTY = [{"role": "user", "content": "Say nothing."}, {"role": "assistant", "content": ""}]

EXPECTED = {
    "tiny": {
        "long": [
            ("<|bos|><|system|>Be brief.<|end|><|user|>2+2?<|end|><|assistant|>", False), ("4<|end|>", True),
            ("<|user|>And\n3+3?<|end|><|assistant|>", False), (" 6!<|end|>", True),
        ],
        "short": [("<|bos|><|user|>Hi<|end|><|assistant|>", False), ("Hey <b><|end|>", True)],
        "empty": [("<|bos|><|user|>Say nothing.<|end|><|assistant|>", False), ("<|end|>", True)],
    },
    "chatml": {
        "long": [
            ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n"
             "<|im_start|>assistant\n", False),
            ("4<|im_end|>", True),
            ("\n<|im_start|>user\nAnd\n3+3?<|im_end|>\n<|im_start|>assistant\n", False), (" 6!<|im_end|>", True),
        ],
        "short": [("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", False), ("Hey <b><|im_end|>", True)],
        "empty": [("<|im_start|>user\nSay nothing.<|im_end|>\n<|im_start|>assistant\n", False), ("<|im_end|>", True)],
    },
    "llama3": {
        "long": [
            ("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
             "<|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|>"
             "<|start_header_id|>assistant<|end_header_id|>\n\n", False),
            ("4<|eot_id|>", True),
            ("<|start_header_id|>user<|end_header_id|>\n\nAnd\n3+3?<|eot_id|>"
             "<|start_header_id|>assistant<|end_header_id|>\n\n", False),
            (" 6!<|eot_id|>", True),
        ],
        "short": [
            ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
             "<|start_header_id|>assistant<|end_header_id|>\n\n", False),
            ("Hey <b><|eot_id|>", True),
        ],
        "empty": [
            ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nSay nothing.<|eot_id|>"
             "<|start_header_id|>assistant<|end_header_id|>\n\n", False),
            ("<|eot_id|>", True),
        ],
    },
}  # fmt: skip
STOP = {"tiny": "<|end|>", "chatml": "<|im_end|>", "llama3": "<|eot_id|>"}
BOS = {"tiny": "<|bos|>", "chatml": None, "llama3": "<|begin_of_text|>"}


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
@pytest.mark.parametrize("sample", ["long", "short", "empty"])
def test_ids_and_mask(name: str, sample: str, byte_tokenizers: Callable[[str], Any]) -> None:
    tokenizer = byte_tokenizers(name)
    encoder = Encoder(tokenizer, Template.named(name))
    messages = {"long": CONVERSATION, "short": SHORT, "empty": EMPTY}[sample]
    encoded = encoder.conversation(messages)
    ids: list[int] = []
    learn: list[bool] = []
    for text, learnt in EXPECTED[name][sample]:
        piece = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += piece
        learn += [learnt] * len(piece)
    assert list(encoded.ids) == ids
    assert list(encoded.learn) == learn


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_training_and_generation_see_the_same_tokens(
    name: str, byte_tokenizers: Callable[[str], Any]
) -> None:
    encoder = Encoder(byte_tokenizers(name), Template.named(name))
    prompt, answer = CONVERSATION[:-1], CONVERSATION[-1:]
    whole = encoder.conversation(CONVERSATION)
    assert (*encoder.prompt(prompt), *encoder.answer(prompt, answer)) == whole.ids
    assert encoder.decode(encoder.answer(prompt, answer)) == " 6!"


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_one_bos_and_the_stop_token_come_from_the_template(
    name: str, byte_tokenizers: Callable[[str], Any]
) -> None:
    tokenizer = byte_tokenizers(name)
    encoder = Encoder(tokenizer, Template.named(name))
    assert encoder.stop_ids == (tokenizer.convert_tokens_to_ids(STOP[name]),)
    expected = None if BOS[name] is None else tokenizer.convert_tokens_to_ids(BOS[name])
    assert encoder.bos_id == expected
    ids = encoder.conversation(CONVERSATION).ids
    assert expected is None or (ids[0] == expected and ids.count(expected) == 1)
    assert ids[-1] == encoder.stop_id


def test_a_tokenizer_of_another_family_is_refused(byte_tokenizers: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match=r"'llama3'.*<\|eot_id\|>.*special token"):
        Encoder(byte_tokenizers("tiny"), Template.named("llama3"))


def test_control_tokens_in_data_are_refused(byte_tokenizers: Callable[[str], Any]) -> None:
    encoder = Encoder(byte_tokenizers("tiny"), Template.named("tiny"))
    with pytest.raises(UsageError, match=r"row 'x'.*<\|end\|>"):
        encoder.conversation([{"role": "user", "content": "a<|end|>b"}, *SHORT[1:]], "row 'x'")


def test_a_template_that_rewrites_prompts_is_refused(byte_tokenizers: Callable[[str], Any]) -> None:
    text = "<|bos|>{{ messages|length }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    encoder = Encoder(
        byte_tokenizers("tiny"), Template(name="counting", text=text.replace("{{ messages|length }}", ""))
    )
    shifty = Template(name="shifty", text=text.replace("<|bos|>", "<|bos|>{% if messages %}", 1).replace(
        "{% for", "{% endif %}{% for", 1))  # fmt: skip
    with pytest.raises(UsageError, match="renders a prompt differently"):
        Encoder(encoder.tokenizer, shifty).conversation(SHORT)


def test_an_unknown_template_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="chatml, llama3, tiny"):
        Template.named("alpaca")


def test_the_last_turn_must_be_the_assistants(byte_tokenizers: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match="last turn"):
        Encoder(byte_tokenizers("tiny"), Template.named("tiny")).conversation(SHORT[:1])
