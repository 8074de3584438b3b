"""Training and generation on the CPU with a small random model: fixed costs, and ours against the plain libraries.

Ours and the plain library's runs are taken in turn, several times, in one process; ratios are medians of the pairs.

    OMP_NUM_THREADS=1 python benchmarks/training_and_generation.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from budgetctl.console import SilentReporter
from budgetctl.engines.protocol import AdapterFolder, Decoding, Prompt
from budgetctl.engines.transformers import TransformersEngine
from budgetctl.models.encoding import Encoder
from budgetctl.models.templates import Template
from budgetctl.models.tiny import TinyConfig, build_model, build_tokenizer
from budgetctl.training.config import PftSettings, SftSettings
from budgetctl.training.job import TrainingJob
from budgetctl.training.run import train

ROWS, PROMPTS, NEW_TOKENS, BATCH = 96, 96, 48, 32
PLAIN = {
    "per_device_train_batch_size": 16, "num_train_epochs": 2, "bf16": False, "gradient_checkpointing": False,
    "use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1,
    "max_length": None, "lr_scheduler_type": "cosine",
}  # fmt: skip
LORA = LoraConfig(
    r=32, lora_alpha=32, task_type="CAUSAL_LM",
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
)  # fmt: skip


def rows() -> list[dict[str, Any]]:
    dice = random.Random(0)
    made = []
    for index in range(ROWS):
        a, b, c = (dice.randrange(2, 60) for _ in range(3))
        made.append({
            "prompt_id": str(index),
            "prompt": [{"role": "user", "content": f"Tom has {a} pens, finds {b} and loses {c}. How many are left?"}],
            "chosen": [{"role": "assistant", "content": f"{a}+{b}={a + b}, {a + b}-{c}={a + b - c}\n#### {a + b - c}"}],
            "rejected": [{"role": "assistant", "content": f"{a}+{b}={a + b + 1}\n#### {a + b + 1}"}],
        })  # fmt: skip
    return made


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


class Bench:
    """The model, the data, and one way each to train and to generate."""

    def __init__(self, root: Path) -> None:
        self.root, self.base, self.count = root, root / "base", 0
        config = TinyConfig()
        tokenizer = build_tokenizer(config)
        build_model(config, len(tokenizer)).save_pretrained(self.base)
        tokenizer.save_pretrained(self.base)
        self.rows = rows()
        sft = [
            {"prompt_id": row["prompt_id"], "messages": [*row["prompt"], *row["chosen"]]} for row in self.rows
        ]
        for name, records in (("sft", sft), ("pref", self.rows)):
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), root / f"{name}.parquet")
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records[:8]), root / f"{name}-8.parquet")
        self.template = Template.named("tiny")
        self.parent = self.ours("sft", SftSettings())

    def ours(self, data: str, settings: Any, parent: Path | None = None) -> Path:
        self.count += 1
        out, scratch = (self.root / f"{self.count}" / name for name in ("files", "scratch"))
        out.mkdir(parents=True)
        scratch.mkdir()
        train(
            TrainingJob(self.base, parent, self.root / f"{data}.parquet", self.template, 0, out, scratch, "cpu", 16,
                        600.0, 1, SilentReporter(), lambda: False),
            settings,
        )  # fmt: skip
        return out

    def plain_tokenizer(self) -> Any:
        tokenizer = AutoTokenizer.from_pretrained(self.base)
        tokenizer.chat_template = self.template.text
        return tokenizer

    def plain_sft(self) -> None:
        data = Dataset.from_list(
            [{"prompt": row["prompt"], "completion": row["chosen"]} for row in self.rows]
        )
        model = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        arguments = SFTConfig(output_dir=str(self.root / "plain"), learning_rate=2e-4, **PLAIN)
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=data,
            processing_class=self.plain_tokenizer(),
            peft_config=LORA,
        )
        self.run_plain(trainer)

    def plain_dpo(self) -> None:
        """DPO as TRL asks for it: the SFT adapter merged into the base, a new adapter over it."""
        keys = ("prompt", "chosen", "rejected")
        data = Dataset.from_list([{key: row[key] for key in keys} for row in self.rows])
        base = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, self.parent).merge_and_unload()
        arguments = DPOConfig(output_dir=str(self.root / "plain"), learning_rate=2e-5, **PLAIN)
        trainer = DPOTrainer(
            model=model,
            args=arguments,
            train_dataset=data,
            processing_class=self.plain_tokenizer(),
            peft_config=LORA,
        )
        self.run_plain(trainer)

    def run_plain(self, trainer: Any) -> None:
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        trainer.save_model(str(self.root / "plain"))

    def prompts(self) -> list[Prompt]:
        encoder = Encoder(self.plain_tokenizer(), self.template)
        return [Prompt(row["prompt_id"], tuple(encoder.prompt(row["prompt"]))) for row in self.rows[:PROMPTS]]

    def our_generation(self, engine: TransformersEngine) -> None:
        decoding = Decoding(max_new_tokens=NEW_TOKENS)
        adapter = AdapterFolder("a" * 64, self.parent)
        list(engine.generate(self.prompts(), decoding, (2,), adapter))

    def plain_generation(self, model: Any) -> None:
        prompts = self.prompts()
        for start in range(0, len(prompts), BATCH):
            batch = [prompt.ids for prompt in prompts[start : start + BATCH]]
            width = max(map(len, batch))
            ids = torch.tensor([[0] * (width - len(one)) + list(one) for one in batch])
            mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in batch])
            model.generate(
                ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=NEW_TOKENS,
                eos_token_id=2,
                pad_token_id=0,
            )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        engine = TransformersEngine(bench.base, "cpu", "float32", batch=BATCH)
        base = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, bench.parent).eval()
        one_step = {"sft": SftSettings(epochs=0.1), "dpo": PftSettings(epochs=0.1)}
        work: dict[str, Callable[[], object]] = {
            "sft, ours": lambda: bench.ours("sft", SftSettings()),
            "sft, plain TRL": bench.plain_sft,
            "dpo, ours": lambda: bench.ours("pref", PftSettings(), bench.parent),
            "dpo, plain TRL": bench.plain_dpo,
            "sft, one step of 8 rows": lambda: bench.ours("sft-8", one_step["sft"]),
            "dpo, one step of 8 pairs": lambda: bench.ours("pref-8", one_step["dpo"], bench.parent),
            "generation, ours": lambda: bench.our_generation(engine),
            "generation, model.generate": lambda: bench.plain_generation(model),
            "generation, a new engine each time": lambda: bench.our_generation(
                TransformersEngine(bench.base, "cpu", "float32", batch=BATCH)
            ),
        }
        for action in work.values():
            action()  # first calls import and warm up
        for _ in range(rounds):
            for name, action in work.items():
                taken.setdefault(name, []).append(seconds(action))
    for name, times in taken.items():
        print(json.dumps({"what": name, "median_s": round(statistics.median(times), 3), "min_s": round(min(times), 3),
                          "max_s": round(max(times), 3), "rounds": rounds}))  # fmt: skip
    for ours, plain in (("sft, ours", "sft, plain TRL"), ("dpo, ours", "dpo, plain TRL"),
                        ("generation, ours", "generation, model.generate")):  # fmt: skip
        ratios = [slow / fast for fast, slow in zip(taken[ours], taken[plain], strict=True)]
        print(json.dumps({"ratio": f"{plain} / {ours}", "median": round(statistics.median(ratios), 2),
                          "min": round(min(ratios), 2), "max": round(max(ratios), 2)}))  # fmt: skip


if __name__ == "__main__":
    main()
