# Two commands on a fresh machine: `make benchmark` and `make test`. Only Python 3.11 to 3.13, make and git are needed.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
SUITE ?= quickstart
# The folder that holds one folder per dataset. By default the embedded twins, made on first use.
DATA ?= data/twins
RUN_FLAGS ?=
# Where `make perf` writes; PERF=leaderboards for the tables that are committed.
PERF ?= runs/perf

BIN := $(VENV)/bin
READY := $(VENV)/.ready
export FER_BENCH_CACHE ?= $(CURDIR)/.cache

.PHONY: help install benchmark data docs leaderboards test test-fast test-all test-slurm test-browser lint format lock perf clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo "  make paper-PAPER  Run the suites of mit, drfer, facet_vlm, ig3d or face_disentanglement, and write its page:"
	@echo "                    as they ship on DATA, or small and on twins where no DATA is named"
	@echo "  Variables: SUITE=quickstart (a suite's name or file), DATA=data/twins (a folder of dataset folders),"
	@echo "  RUN_FLAGS='--set trainer.max_epochs=3' (anything fer-bench run takes), PYTHON=python3, VENV=.venv"

install: $(READY) ## Create the environment, as requirements.lock says

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "fer_bench needs Python 3.11, 3.12 or 3.13; this is " + sys.version.split()[0] + ". Name another with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@# Compiled now, not by every process anew where nothing may be written later (PYTHONDONTWRITEBYTECODE).
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(VENV) --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(VENV) --no-deps -e .
	@touch $@

benchmark: install data ## Run SUITE on DATA and write runs/leaderboards/SUITE.{csv,md,tex,html}
	$(BIN)/fer-bench run $(SUITE) --data $(DATA) $(RUN_FLAGS)

# Only the embedded default is made here; a folder that was named is taken as it is.
data: install
ifeq ($(DATA),data/twins)
	@test -e $(DATA)/bu3dfe/twin.json || $(BIN)/fer-bench data twin bu3dfe --out $(DATA)/bu3dfe
endif

paper-%: install
	$(BIN)/python benchmarks/papers.py $* $(if $(filter-out data/twins,$(DATA)),--data $(DATA)) $(PAPER_FLAGS)

leaderboards: install ## Write all committed pages again, from leaderboards/results and (PREDICTIONS=folder) Ig3D's authors' files
	$(BIN)/python benchmarks/papers.py --pages $(if $(PREDICTIONS),--predictions $(PREDICTIONS))

# Tests of pure functions, file formats and the architecture: no training, no torch.
FAST := $(addprefix tests/,test_errors.py test_floors.py test_markdown.py test_processes.py test_records.py \
	test_terminal.py test_yaml_text.py io metrics predictions stats)

test-fast: install ## Run the tests to run before a commit (under a minute on two cores)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "not slow and not gpu" $(FAST)

test: install ## Run the tests (minutes)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "not slow and not gpu"

test-all: install ## Run all tests, the slow and machine-bound ones too
	$(BIN)/python -m pytest

test-slurm: install ## Start a Slurm of two nodes here (as root, with Debian's slurm-wlm and munge), and run the tests on it
	@folder=$$(mktemp -d) && trap 'tests/slurm/cluster stop "$$folder"; rm -rf "$$folder"' EXIT && \
		started=$$(tests/slurm/cluster start "$$folder") && eval "$$started" && $(BIN)/python -m pytest tests/slurm

test-browser: install ## Test the HTML report in Chromium (Debian's chromium), and compile the LaTeX where there is one
	FER_BENCH_TEST_BROWSER=chromium $(BIN)/python -m pytest tests/leaderboard/html tests/leaderboard/pages/test_latex.py

lint: install ## Check style and types
	$(BIN)/ruff check fer_bench tests benchmarks
	$(BIN)/ruff format --check fer_bench tests benchmarks
	$(BIN)/mypy fer_bench

format: install ## Lay the code out
	$(BIN)/ruff check --fix fer_bench tests benchmarks
	$(BIN)/ruff format fer_bench tests benchmarks

lock: ## Write requirements.lock from pyproject.toml: versions and hashes, no addresses
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --all-extras \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock

perf: export FER_BENCH_PERF = $(PERF)
perf: install ## Time what the suite does often against named peers, and write the tables to PERF
	$(BIN)/python benchmarks/perf.py
	$(BIN)/python benchmarks/perf_representations.py
	$(BIN)/python benchmarks/perf_methods.py
	$(BIN)/python benchmarks/perf_points.py
	$(BIN)/python benchmarks/perf_runner.py

docs: install ## Write docs/ anew: the pages of methods, datasets and protocols, and the README's pictures
	$(BIN)/fer-bench cards --out docs --picture leaderboards/quickstart.csv

clean: ## Delete the environment, the twins, the cache and the runs
	rm -rf $(VENV) data/twins .cache runs
