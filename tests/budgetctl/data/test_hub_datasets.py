"""Hub datasets without a hub: frozen revisions, the local cache, copied folders, and what an error says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from budgetctl.data import presets
from budgetctl.data.columns import Columns
from budgetctl.data.hub_fetch import FrozenRevisions
from budgetctl.data.requests import eval_data, preference_data, sft_data, supply_of
from budgetctl.data.sources import HubDataset
from budgetctl.data.supply import refresh
from budgetctl.errors import UsageError
from budgetctl.stages.stage import payload_of

COMMIT, LATER = "a" * 40, "b" * 40
ROWS = [{"prompt": f"q{n}", "correct": [f"a{n}", f"b{n}"], "reference_answer": "1"} for n in range(30)]
TESTS = [{"question": f"t{n}", "answer": f"so\n#### {n}"} for n in range(9)]


def dataset(revision="main", epoch=0):
    return HubDataset(
        repository="o/n", revision=revision, epoch=epoch, columns=Columns(prompt="p", answer="a")
    )


def test_a_branch_stays_what_it_was_at_the_first_fetch(tmp_path):
    revisions = FrozenRevisions(tmp_path)
    assert revisions.commit(dataset()) is None
    assert revisions.freeze(dataset(), COMMIT) == COMMIT
    assert revisions.freeze(dataset(), LATER) == COMMIT
    assert FrozenRevisions(tmp_path).commit(dataset()) == COMMIT


def test_a_refresh_gives_a_new_epoch_and_leaves_the_old_one(tmp_path):
    revisions = FrozenRevisions(tmp_path)
    revisions.freeze(dataset(), COMMIT)
    assert revisions.refresh("o/n", "main") == 1 == revisions.epoch("o/n", "main")
    assert revisions.commit(dataset(epoch=1)) is None
    revisions.freeze(dataset(epoch=1), LATER)
    assert (revisions.commit(dataset()), revisions.commit(dataset(epoch=1))) == (COMMIT, LATER)


def test_a_declared_commit_needs_no_freezing(tmp_path):
    assert FrozenRevisions(tmp_path).commit(dataset(COMMIT)) == COMMIT


def test_keys_depend_on_the_declaration_and_need_no_network():
    supply = supply_of("tuluif")
    key = payload_of(sft_data(supply, 100, 0)).key
    assert key == payload_of(sft_data(supply_of("tuluif"), 100, 0)).key
    moved = supply.sft.model_copy(update={"epoch": 1})
    assert payload_of(sft_data(type(supply)("tuluif", moved, supply.pref, supply.eval), 100, 0)).key != key


def test_a_refresh_moves_every_dataset_of_a_task_and_its_keys(tmp_path):
    revisions = FrozenRevisions(tmp_path)
    before = sft_data(supply_of("tuluif", revisions=revisions), 100, 0)
    assert refresh([supply_of("tuluif")], revisions) == [
        "allenai/tulu-3-pref-personas-instruction-following",
        "allenai/tulu-3-sft-personas-instruction-following",
        "google/IFEval",
    ]
    after = sft_data(supply_of("tuluif", revisions=revisions), 100, 0)
    assert before.identity.source.epoch == 0
    assert after.identity.source.epoch == 1
    assert payload_of(before).key != payload_of(after).key


def write(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / name)


@pytest.fixture
def copied(tmp_path):
    """A folder with copies of the three datasets that gsm8k uses."""
    root = tmp_path / "copied"
    write(root / "gsm8k-gpt4ogenerations" / "data", "train-00000-of-00001.parquet", ROWS)
    pairs = [{"prompt": "q", "chosen": "c", "rejected": "r"}]
    write(root / "gsm8k-gpt4opreferences" / "data", "train-00000-of-00001.parquet", pairs)
    write(
        root / "gsm8k" / "main", "train-00000-of-00001.parquet", [{"question": "q3", "answer": "#### 3"}] * 2
    )
    write(root / "gsm8k" / "main", "test-00000-of-00001.parquet", TESTS)
    return root


def test_copied_folders_serve_in_the_hubs_place(copied):
    supply = supply_of("gsm8k", copied)
    assert len(list(supply.sft.rows("sft", "train", supply.located))) == 60
    assert len(list(supply.eval.rows("eval", "test", supply.located))) == 9
    batches = list(supply.sft.batches("sft", "train", supply.located))
    assert sum(batch.num_rows for batch in batches) == 60


def test_a_missing_copy_is_named(copied):
    (copied / "gsm8k").rename(copied / "other")
    supply = supply_of("gsm8k", copied)
    with pytest.raises(UsageError, match="has no folder gsm8k with the files of openai/gsm8k"):
        sft_data(supply, 5, 0)


def test_only_what_rows_are_made_of_must_be_there(copied):
    (copied / "gsm8k-gpt4opreferences").rename(copied / "other")
    supply = supply_of("gsm8k", copied)
    sft_data(supply, 5, 0)
    eval_data(supply, "test", None)
    with pytest.raises(UsageError, match="has no folder gsm8k-gpt4opreferences"):
        preference_data(supply, 5, 0)


def test_what_lies_beside_local_files_is_read_there_and_the_rest_is_fetched(copied):
    (copied / "gsm8k-gpt4ogenerations").rename(copied / "other")
    (copied / "mine.jsonl").write_text('{"q": "x", "a": "y"}\n')
    own = {
        "sft": {"files": {"train": ["mine.jsonl"]}, "columns": {"prompt": "q", "answer": "a"}},
        "pref": {"hub": "someone/pairs", "columns": {"prompt": "q", "chosen": "c", "rejected": "r"}},
    }
    supply = supply_of("gsm8k", copied, own)
    assert supply.eval.name in supply.located
    assert supply.pref.name not in supply.located
    preference_data(supply, 5, 0, n_sft=4)


def test_a_split_without_files_says_how_they_are_called(copied):
    supply = supply_of("gsm8k", copied)
    for path in (copied / "gsm8k" / "main").glob("test*"):
        path.unlink()
    with pytest.raises(
        UsageError, match=r"no files of the split 'test': openai/gsm8k keeps it in files named test\.jsonl"
    ):
        list(supply.eval.rows("eval", "test", supply.located))


def test_what_is_set_aside_takes_the_place_of_the_hubs_own_split(copied):
    columns = {"prompt": "question", "reference": "answer", "answer": "answer"}
    own = {"hub": "openai/gsm8k", "folder": "main", "columns": columns}
    train = [{**row, "question": f"q{n}"} for n, row in enumerate(TESTS * 9)]
    write(copied / "gsm8k" / "main", "train-00000-of-00001.parquet", train)

    def counts(**more):
        supply = supply_of("gsm8k", copied, {"eval": {**own, **more}})
        return {
            split: len(list(supply.eval.rows("eval", split, supply.located)))
            for split in ("train", "dev", "test")
        }

    assert counts() == {"train": 81, "dev": 0, "test": 9}
    aside = counts(set_aside={"dev": 0.2, "test": 0.2})
    assert sum(aside.values()) == 81
    assert min(aside.values()) > 5
    kept = counts(set_aside={"dev": 0.2})
    assert (kept["train"] + kept["dev"], kept["test"]) == (81, 9)


def test_ifeval_has_no_dev_rows_of_its_own(tmp_path):
    assert list(presets.IFEVAL.rows("eval", "dev", {})) == []
    assert eval_data(supply_of("tuluif"), "test", None).identity.source == presets.IFEVAL


def command(tmp_path, *words, cache):
    return subprocess.run(
        [sys.executable, "-m", "budgetctl", "data", "gsm8k", "--store", str(tmp_path / "store"), *words],
        env={**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_unreachable_hub_gives_a_sentence(tmp_path):
    run = command(tmp_path, "--kind", "eval", "--offline", cache=tmp_path / "empty")
    assert run.returncode == 1
    assert "cannot get openai/gsm8k at main from the hub (offline: only its cache was asked)" in run.stderr
    assert "name it with --path" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_hubs_cache_serves_offline_and_its_commit_is_recorded(tmp_path):
    cache = tmp_path / "cache"
    for name, folder, file, rows in (
        ("openai--gsm8k", "main", "train-00000-of-00001.parquet", [{"question": "q3", "answer": "#### 3"}]),
        ("openai--gsm8k", "main", "test-00000-of-00001.parquet", TESTS),
        ("mohit-raghavendra--gsm8k-gpt4ogenerations", "data", "train-00000-of-00001.parquet", ROWS),
    ):
        place = cache / f"datasets--{name}"
        write(place / "snapshots" / COMMIT / folder, file, rows)
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / "main").write_text(COMMIT)
    run = command(tmp_path, "--kind", "sft", "--size", "40", "--offline", cache=cache)
    assert run.returncode == 0, run.stderr
    key = run.stdout.strip()
    manifest = next((tmp_path / "store" / "artifacts").glob(f"*/{key}/manifest.json"))
    assert json.loads(manifest.read_text())["metrics"]["commit of openai/gsm8k"] == COMMIT
    card = json.loads((manifest.parent / "files" / "card.json").read_text())
    assert (card["rows"], card["prompts"] < 40, card["licence"]) == (40, True, None)
    assert card["source"]["revision"] == "main"
    frozen = FrozenRevisions(tmp_path / "store")
    assert frozen.commit(presets.GSM8K) == frozen.commit(presets.GSM8K_SFT) == COMMIT
