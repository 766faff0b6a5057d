# `make train`, `make test`: each sets up .venv first. PYTHON=python3.12 chooses another interpreter.
PYTHON ?= python3
VENV   ?= .venv
NEWEST := .venv-newest
PRESET  ?= full
ENV     ?= HalfCheetah
FAMILY  ?= pointnav
STEPS   ?= 1500000
SEEDS   ?= 0 1 2 3 4
WORKERS ?= 2
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: setup train imitation few-shot retrieval paper test test-newest lint bench clean

setup: $(READY)  ## the environment, .venv

train: $(READY)  ## the machine and a VAE on the built-in strokes, then the table and the report
	$(BIN)/python scripts/train_generative.py --preset strokes --model vae
	$(BIN)/python scripts/train_generative.py --preset strokes --model km
	$(BIN)/python scripts/evaluate.py runs/strokes-km-0 runs/strokes-vae-0

imitation: $(READY)  ## the memory against its rivals on one expert: ENV, DEMOS=FILE.npz, STEPS, SEEDS, WORKERS, RECORD, FLAGS
	for n in 1 10; do $(BIN)/python scripts/gail_benchmark.py --env $(ENV) $(DEMOS:%=--demos %) \
		--trajectories $$n --steps $(STEPS) --seeds $(SEEDS) --workers $(WORKERS) \
		$(RECORD:%=--record %) $(FLAGS) || exit; done
	$(BIN)/python scripts/novelty.py --env $(ENV) $(DEMOS:%=--demos %)
	$(BIN)/python scripts/benchmark.py discriminator

few-shot: $(READY)  ## a new expert from 16 pairs: FAMILY, PRESET=debug in two minutes
	$(BIN)/python scripts/few_shot.py --family $(FAMILY) --preset $(PRESET)

test: $(READY)  ## every test but the slow and the CUDA ones
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-newest: $(NEWEST)/.ready  ## the tests of rl/, agents/ and envs/ on the newest gymnasium and SB3
	$(NEWEST)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder tests/rl tests/agents tests/envs

lint: $(READY)  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## times beside their floor
	$(BIN)/python scripts/benchmark.py memory
	$(BIN)/python scripts/benchmark.py step
	$(BIN)/python scripts/benchmark.py discriminator

retrieval: $(READY)  ## old memories and new in one experiment; PRESET=debug in a minute
	$(BIN)/python scripts/retrieval.py --preset $(PRESET)

paper: $(READY)  ## every experiment of the paper, overnight; PRESET=debug in minutes; DATASET, DATA_DIR, WORKERS, RECORD, PARTS
	$(BIN)/python scripts/paper.py --preset $(PRESET) $(DATASET:%=--dataset %) \
		--workers $(WORKERS) $(DATA_DIR:%=--data-dir %) $(RECORD:%=--record %) $(if $(PARTS),--parts $(PARTS))

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,rl]' --group dev
	touch $@

$(NEWEST)/.ready: pyproject.toml constraints.txt
	$(MAKE) setup VENV=$(NEWEST) READY=$(NEWEST)/.pinned
	$(NEWEST)/bin/python -m pip install --quiet --no-deps 'gymnasium>=1.4,<2' 'stable-baselines3>=2.9,<3'
	touch $@

clean:  ## the environment and the caches; never the runs
	rm -rf $(VENV) $(NEWEST) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
