# `make` alone lists the targets. Everything happens in .venv, made from the locked requirements.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# One worker per core, each with servers of its own; override with TEST_ARGS="-n 0 -k name".
TEST_ARGS ?= -n auto --dist loadfile
export PYTHONPATH := operator:.

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/installed: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; set PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing into .venv ..."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: .venv/installed ## Install the operator and all tools into .venv

.PHONY: test
test: lint ## Run everything that CI runs: lint, types, layers, all tests on real servers
	$(BIN)/pytest $(TEST_ARGS)

.PHONY: unit
unit: install ## Run only the tests that need no server
	$(BIN)/pytest tests/unit

.PHONY: lint
lint: install ## Check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --verbose | tail -n 12

.PHONY: format
format: install ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: generate
generate: install ## Generate crds/ from the models
	$(BIN)/gdso crds --output-dir crds

.PHONY: lock
lock: install ## Resolve the dependencies anew, with hashes
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv
	for extra in runtime dev; do \
		.venv/lock/bin/uv pip compile --quiet --upgrade --universal --generate-hashes \
			--python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links \
			$$([ $$extra = dev ] && echo --extra dev) \
			pyproject.toml -o requirements/$$extra.txt; \
	done

.PHONY: test-grafanas
test-grafanas: install ## Run the integration tests against every Grafana found and every double
	@set -e; for grafana in $$($(BIN)/python -m tests.servers.grafana_choice); do \
		echo "== $$grafana"; \
		GDSO_TEST_GRAFANA=$$grafana $(BIN)/pytest $(TEST_ARGS) tests/integration; \
	done

.PHONY: bench
bench: install ## Measure side by side with the raw-API floor; prints the ratios
	$(BIN)/python -m tests.bench

.PHONY: demo
demo: install ## Show it: servers, operator, examples, and proof; leaves the servers up
	$(BIN)/python -m tests.demo up

.PHONY: demo-down
demo-down: install ## Stop what the demo left running
	$(BIN)/python -m tests.demo down

.PHONY: clean
clean: ## Remove .venv and caches of tools; servers that were built stay cached
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
