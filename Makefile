# Tailgate. `make` alone explains itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Set-up compiles nothing: what is run is compiled once and kept, whatever the shell prefers. Else every process does it.
unexport PYTHONDONTWRITEBYTECODE

# What a run looks like. Each can be set on the command line: make bench USERS=200 DURATION=5
MODE ?= ab
USERS ?= 1000
DURATION ?= 15
SCENARIO ?= steady
SEED ?= 42
PORT ?=
REVS ?=
BENCH_FLAGS ?=
TEST_FLAGS ?=

SLO ?= p99<1s,failed<1%
RUN ?= latest

# A flag for a variable that was set by hand; else the command has its own default.
given = $(if $(findstring default,$(origin $1))$(findstring file,$(origin $1)),,--$2 '$($1)')
LOAD_FLAGS = $(call given,DURATION,duration) $(call given,SCENARIO,scenario) $(call given,SEED,seed) $(if $(PORT),--port $(PORT)) $(if $(filter-out ab,$(MODE)),--mode $(MODE))

.PHONY: help install install-dev bench capacity ablate baseline compare gate serve dash screenshots test test-slow lint typecheck perf lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "  Variables: MODE=ab|async|sync|blocking USERS DURATION (s, measured, per block) SCENARIO SEED PORT REVS=main~3..main"

# Set-up is done once: again only when a lock file is newer than the stamp of its last install.
.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: $(PYTHON) was not found. Try make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: $(PYTHON) is older. Try make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Setting up .venv (once, about a minute): pinned packages from requirements.lock ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@
	@echo "Set-up done."

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@echo "Adding what tests and checks need (once): requirements-dev.lock ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

install: .venv/.installed ## Make .venv with the pinned packages (the other targets do it when needed)

install-dev: .venv/.installed-dev

bench: .venv/.installed ## Throughput and latency, sync against async, on 1000 users; writes a report
	@$(BIN)/python -m loadtests bench --mode $(MODE) --users $(USERS) --duration $(DURATION) --scenario $(SCENARIO) --seed $(SEED) $(if $(REVS),--revs '$(REVS)') $(if $(PORT),--port $(PORT)) $(BENCH_FLAGS)

capacity: .venv/.installed ## The most users within SLO="p99<1s,failed<1%", the knee, and sizes for many more
	@$(BIN)/python -m loadtests capacity --slo '$(SLO)' $(LOAD_FLAGS) $(CAPACITY_FLAGS)

ablate: .venv/.installed ## What each policy earns and costs, by switching it off
	@$(BIN)/python -m loadtests ablate $(call given,USERS,users) $(LOAD_FLAGS) $(ABLATE_FLAGS)

baseline: .venv/.installed ## The server against a handler that does nothing, for the gate on any machine
	@$(BIN)/python -m loadtests baseline $(call given,USERS,users) $(LOAD_FLAGS) $(BASELINE_FLAGS)

compare: .venv/.installed ## Two saved runs, B against A, with a verdict: A=id B=id
	@$(BIN)/python -m reports compare '$(A)' '$(B)'

# make itself answers every failure with 2; a build that wants 3, 4 and 5 apart calls the command.
gate: .venv/.installed ## Judge a saved run by SLO=... (RUN=id, BASELINE=file, GATE_FLAGS="--junit gate.xml")
	@$(BIN)/python -m reports gate '$(RUN)' $(if $(findstring --file,$(GATE_FLAGS)),$(call given,SLO,slo),--slo '$(SLO)') $(if $(BASELINE),--baseline '$(BASELINE)') $(GATE_FLAGS)

serve: .venv/.installed ## The reference server, on loopback
	@$(BIN)/python -m server $(if $(PORT),--port $(PORT)) $(if $(filter-out ab,$(MODE)),--mode $(MODE)) $(SERVE_FLAGS)

dash: .venv/.installed ## Browse reports, live and saved
	@$(BIN)/python -m dash_app $(if $(PORT),--port $(PORT)) $(DASH_FLAGS)

screenshots: .venv/.installed-dev ## The README's pictures, from the latest run or RUN=id
	@$(BIN)/python -m docs.screenshots $(RUN) $(SCREENSHOT_FLAGS)

# Three processes on two cores: many tests wait for a server or a browser. The slow ones measure, and want the cores.
test: .venv/.installed-dev ## The test suite; three minutes at most on two cores
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow" $(TEST_FLAGS)

test-slow: .venv/.installed-dev ## The tests that need long live runs
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m slow $(TEST_FLAGS)

lint: .venv/.installed-dev ## ruff: style, imports, docstrings
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

typecheck: .venv/.installed-dev ## mypy, strict
	@$(BIN)/mypy

perf: .venv/.installed-dev ## What the hot path costs, as ratios against a bare handler in the same run
	@$(BIN)/python -m tests.perf $(PERF_FLAGS)

lock: .venv/.installed-dev ## Make both lock files again from pyproject.toml
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet pip-tools
	@.venv-lock/bin/pip-compile $(LOCK_FLAGS) --all-extras -o requirements-dev.lock pyproject.toml
	@sed -n 's/^\([A-Za-z0-9_.-]*==[^ ]*\).*/\1/p' requirements-dev.lock > .venv-lock/pins.txt
	@.venv-lock/bin/pip-compile $(LOCK_FLAGS) --extra sdk -c .venv-lock/pins.txt -o requirements.lock pyproject.toml
	@rm -rf .venv-lock

LOCK_FLAGS = --quiet --upgrade --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --no-annotate --no-header

clean: ## Remove .venv and caches; saved runs stay
	@rm -rf .venv .venv-lock build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
