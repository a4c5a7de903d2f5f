# Thin over hatch: every target is one hatch command. A fresh machine needs Python >= 3.11, git and make, no more:
# the first target to run puts hatch into .venv, and hatch puts its environments into .hatch. Nothing else is touched.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
HATCH := .venv/bin/hatch
export HATCH_DATA_DIR ?= $(CURDIR)/.hatch

.PHONY: help demo test check python bench chaos simulate matrix diagrams clean

help: ## List the targets.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: $(HATCH) ## Run the reservations example on SQLite with a real qcluster; watch it live.
	@$(HATCH) run demo

test: $(HATCH) ## Run every suite on SQLite, and on PostgreSQL and MariaDB when they answer.
	@$(HATCH) run suite $(ARGS)

check: $(HATCH) ## Lint, types (mypy strict) and import contracts.
	@$(HATCH) run check:all

python: $(HATCH) ## Run Python where everything is installed: make python ARGS=examples/plain_python/order.py
	@$(HATCH) run python $(ARGS)

bench: $(HATCH) ## Measure against real peers; prints ratios.
	@$(HATCH) run bench:compare $(ARGS)

chaos: $(HATCH) ## The long form of the crash tests: real clusters and processes, killed for minutes.
	@AUTOMATION_LONG=1 $(HATCH) run suite --only clusters events:integration/test_crashes.py workflows:integration/test_histories.py $(ARGS)

simulate: $(HATCH) ## The long form of the simulated schedules: many seeds, and every mutant of the engine killed.
	@AUTOMATION_LONG=1 AUTOMATION_DELIVERIES=$${AUTOMATION_DELIVERIES:-10000000} $(HATCH) run suite --only workflows:simulation --databases sqlite $(ARGS)

matrix: $(HATCH) ## Run the suite on every Python and Django of the matrix that this machine has.
	@.venv/bin/python tools/matrix.py $(ARGS)

diagrams: $(HATCH) ## Write docs/state_machines.md again from the transition tables.
	@$(HATCH) run diagrams

clean: ## Remove the environments and caches that these targets made.
	rm -rf .venv .hatch .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(HATCH):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python ..." >&2; exit 1; }
	@echo "Setting up hatch in .venv (once)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check "hatch>=1.18,<2"
