"""The study's datasets: who trains what, who judges, and which columns hold it.

Names, columns and splits as their dataset cards give them (tulu-3-*-personas-instruction-following by Ai2,
gsm8k-gpt4o* by the study's authors, openai/gsm8k, google/IFEval).
"""

from __future__ import annotations

from budgetctl.data.columns import Columns
from budgetctl.data.sources.files import SetAside
from budgetctl.data.sources.hub import HubDataset

LICENCES = {
    "allenai/tulu-3-sft-personas-instruction-following": "ODC-BY-1.0",
    "allenai/tulu-3-pref-personas-instruction-following": "ODC-BY-1.0",
    "openai/gsm8k": "MIT",
    "google/IFEval": "Apache-2.0",
}
"""As the dataset cards declare them; a dataset that is not listed has none that we know of."""

TULU_SFT = HubDataset(
    repository="allenai/tulu-3-sft-personas-instruction-following",
    columns=Columns(messages="messages"),
    splits={"train": "train"},
)
TULU_PREFERENCES = HubDataset(
    repository="allenai/tulu-3-pref-personas-instruction-following",
    columns=Columns(prompt="prompt", chosen="chosen", rejected="rejected"),
    splits={"train": "train"},
)
IFEVAL = HubDataset(
    repository="google/IFEval",
    columns=Columns(prompt="prompt", reference=("key", "prompt", "instruction_id_list", "kwargs")),
    splits={"test": "train"},
)
"""All 541 prompts are test rows; there are no dev rows unless a recipe names another source for them."""
GSM8K_SFT = HubDataset(
    repository="mohit-raghavendra/gsm8k-gpt4ogenerations",
    columns=Columns(prompt="prompt", answer="correct"),
    splits={"train": "train"},
)
"""Several correct answers a question: a budget counts answers, the card also counts questions."""
GSM8K_PREFERENCES = HubDataset(
    repository="mohit-raghavendra/gsm8k-gpt4opreferences",
    columns=Columns(prompt="prompt", chosen="chosen", rejected="rejected"),
    splits={"train": "train"},
)
GSM8K = HubDataset(
    repository="openai/gsm8k",
    folder="main",
    columns=Columns(prompt="question", reference="answer", answer="answer"),
    set_aside=SetAside(dev=0.05),
    splits={"train": "train", "test": "test"},
)
