.DEFAULT_GOAL := help
.PHONY: help setup demo test faults check format lock bench clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := demo,dev
STAMP := $(VENV)/.installed

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asr-sweep needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

setup: $(STAMP) ## Install everything into .venv

demo: $(STAMP) ## Sweep whisper-tiny.en and a small CTC model, and write reports/demo and reports/demo_ctc
	$(BIN)/python -m bench run experiment=demo
	$(BIN)/python -m bench run experiment=demo_ctc

test: $(STAMP) ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist worksteal

faults: $(STAMP) ## Do harm to studies: kills, full disks, damaged files, hostile input; takes hours
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m faults -n 0

check: $(STAMP) ## Run the linter, the formatter check, the type checker and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(STAMP) ## Write requirements.lock: what pip would install on this machine, with hashes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --report - --constraint constraints.txt '.[demo]' | $(BIN)/python tools/lock.py > requirements.lock

bench: $(STAMP) ## Measure the harness, check what it measures, and compare its core with what else people run; needs an idle machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.manifest
	$(BIN)/python -m benchmarks.engines
	$(BIN)/python -m benchmarks.harness
	$(BIN)/python -m benchmarks.scheduling
	$(BIN)/python -m benchmarks.measurement
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.resume
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.bound
	$(BIN)/python -m benchmarks.statistics

clean: ## Remove .venv and what tools left behind; results and reports stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
