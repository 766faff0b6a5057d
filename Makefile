# `make train`, `make test`: each sets up .venv first. PYTHON=python3.12 chooses another interpreter.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: setup train test lint bench clean

setup: $(READY)  ## the environment, .venv

train: $(READY)  ## the machine and a VAE on the built-in strokes, then the table and the report
	$(BIN)/python scripts/train_generative.py --preset strokes --model vae
	$(BIN)/python scripts/train_generative.py --preset strokes --model km
	$(BIN)/python scripts/evaluate.py runs/strokes-km-0 runs/strokes-vae-0

test: $(READY)  ## every test but the slow and the CUDA ones
	$(BIN)/python -m pytest

lint: $(READY)  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## times beside their floor
	$(BIN)/python scripts/benchmark.py memory
	$(BIN)/python scripts/benchmark.py step

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train]' --group dev
	touch $@

clean:  ## the environment and the caches; never the runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
