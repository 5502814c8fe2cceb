# The commands of this project; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export NEARLINE_HOME ?= $(CURDIR)/.nearline
export UV_LINK_MODE ?= copy
# Each of a run's processes would otherwise compile what it imports, wherever Python is told
# to write no bytecode: a tenth of a small run.
export UV_COMPILE_BYTECODE ?= 1
SHOP := $(NEARLINE_HOME)/shop
# Files whole, since their tests share what is slow to build, and in the order of folders:
# those that take longest come first.
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Up to yesterday: online, visitors are forgotten after 90 days.
DEMO_START = $(shell $(PYTHON) -c 'from datetime import date, timedelta; print(date.today() - timedelta(days=30))')

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-services lint format bench dagster docs requirements clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Nearline needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet "uv>=0.8"

$(VENV)/.base: requirements/base.txt pyproject.toml | $(BIN)/uv
	@echo "Installing what Nearline runs on (about 170 packages, some minutes on a slow line)"
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements/base.txt
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	@echo "Installing what the tests and checks need"
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.base ## Install Nearline into .venv/
	@mkdir -p $(NEARLINE_HOME)

setup-dev: $(VENV)/.dev setup ## Install Nearline and what tests and checks need

demo: setup ## Make a shop, run everything on it, compare with its truth
	@$(BIN)/nearline simulate --visitors 3000 --days 30 --start $(DEMO_START) --seed 7 --effect 0.3 --out $(SHOP) --force
	@$(BIN)/nearline ingest $(SHOP)/events --format nearline
	@$(BIN)/nearline run
	@$(BIN)/nearline truth $(SHOP)

test: setup-dev ## Run the tests that need no server
	@$(PYTEST) -m "not services"

test-services: setup-dev ## Install a browser, Redis, Memcached, nginx, Java and Kafka, and run the tests that need them
	@tests/services/install.sh
	@$(PYTEST) -m services

lint: setup-dev ## Check style, types and SQL
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@cd dbt_project && ../$(BIN)/sqlfluff lint --config ../pyproject.toml --disable-progress-bar models tests

format: setup-dev ## Put the code in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup-dev ## Measure a run, the door, growing history, identity, sources, features, recommendations, propensity, triggers, decisions and experiments; rewrite docs/benchmarks*.md
	@$(BIN)/python -m tests.benchmarks.run
	@tests/services/install.sh
	@$(BIN)/python -m tests.benchmarks.door
	@$(BIN)/python -m tests.benchmarks.history
	@$(BIN)/python -m tests.benchmarks.features
	@$(BIN)/python -m tests.benchmarks.recommendations
	@$(BIN)/python -m tests.benchmarks.propensity
	@$(BIN)/python -m tests.benchmarks.triggers
	@$(BIN)/python -m tests.benchmarks.decisions
	@$(BIN)/python -m tests.benchmarks.experiments

dagster: setup ## Open the asset graph at http://localhost:3000
	@$(BIN)/python -c 'from orchestration.run import prepare_environment; from nearline.settings import load_settings; prepare_environment(load_settings())'
	@DAGSTER_HOME=$(NEARLINE_HOME)/dagster $(BIN)/dagster dev

docs: setup ## Write the dbt documentation to dbt_project/target/static_index.html
	@cd dbt_project && ../$(BIN)/dbt docs generate --static

requirements: $(BIN)/uv ## Compile the pinned requirements anew
	@$(BIN)/uv pip compile pyproject.toml requirements/dev.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet -o requirements/dev.txt
	@$(BIN)/uv pip compile pyproject.toml -c requirements/dev.txt --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet -o requirements/base.txt

clean: ## Remove what was built, keep the data under .nearline/
	@rm -rf $(VENV) dbt_project/target dbt_project/logs build *.egg-info
