# Needs Python 3.11 or newer with pip (22.3 or newer), and make. Everything else goes into .venv here.
# Another Python: make test PYTHON=python3.13

PYTHON  ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV    := .venv
BIN     := $(VENV)/bin
OUT     ?= out
FIRST   ?= 0
COUNT   ?= 20000
JOBS    ?= 1
LOG     := $(VENV)/install.log
READY   := $(VENV)/.ready-$(VERSION)

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint types notebooks notebooks-check figures bench bench-instructions fuzz fuzz-parsers mutants mutants-code clean

help: ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY)-run ## the same mail under each TLS setting, then the example scenario; results in out/ (ten seconds)
	$(BIN)/tlssim modes --out $(OUT)
	$(BIN)/tlssim run data/examples/scenario.toml --out $(OUT)/run

test: $(READY)-test ## everything: tests, lint, types, floors; PYTEST_ARGS= adds options (about 5 minutes)
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

lint: $(READY)-test ## style and floors
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

types: $(READY)-test ## mypy --strict
	$(BIN)/mypy

notebooks: $(READY)-test ## run every notebook in place; seconds of each are printed
	$(BIN)/python tests/notebooks.py run

notebooks-check: $(READY)-test ## run copies of the notebooks and compare with the committed outputs
	$(BIN)/python tests/notebooks.py check

figures: $(READY)-run ## make the pictures of figures/ and the numbers of the README anew
	$(BIN)/python figures/make.py

bench: $(READY)-test ## measure what things cost, on a quiet machine
	$(BIN)/python -m pytest -m bench -s tests/benchmarks

fuzz: $(READY)-test ## both engines on COUNT= random worlds from FIRST= on, in JOBS= processes (20,000: about 15 minutes)
	$(BIN)/python -m tests.twins $(FIRST) $(COUNT) $(JOBS)

bench-instructions: $(READY)-test ## count the instructions of a message beside the baseline; WRITE=1 sets a new one (about 2 minutes)
	$(BIN)/python -m tests.benchmarks.instructions $(if $(WRITE),write)

fuzz-parsers: $(READY)-test ## wrong inputs for every parser, COUNT= of each from FIRST= on (20,000 of each: about 7 minutes)
	$(BIN)/python -m tests.fuzz all $(FIRST) $(COUNT)

mutants: $(READY)-test ## change each cell of the senders' tables and see whether a test notices (about 5 minutes)
	$(BIN)/python -m tests.mutants $(SENDERS)

mutants-code: $(READY)-mutants ## change the code of the policy core and see whether a test notices (about half an hour)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mutmut run --max-children 1
	$(BIN)/mutmut results

clean: ## remove everything that was made here, .venv too
	rm -rf $(VENV) $(OUT) dist build mutants .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find sim tests figures -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -----------------------------------------------------------------------------------------------
# pip works from outside (`--python`), so neither ensurepip nor a pip inside .venv is needed, and the user's own pip
# settings hold. The build backend comes first, pinned like the rest, so nothing is fetched to build this package.

PIP     := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check --no-input
INSTALL := $(PIP) install --progress-bar off --constraint constraints.txt

EXTRAS_run  := [cluster,store]
EXTRAS_test := [test,lint]
EXTRAS_mutants := [test,lint,mutants]

$(READY)-run $(READY)-test $(READY)-mutants: $(READY)-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: '$(PYTHON)' is not Python 3.11 or newer; try: make $* PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (22, 3))' || { \
	  echo "make: '$(PYTHON) -m pip' is missing or older than 22.3" >&2; exit 1; }
	@[ "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$(VERSION)" ] || { \
	  echo "making $(VENV) with $$($(PYTHON) --version)"; \
	  $(PYTHON) -m venv --clear --without-pip $(VENV); } || { \
	  echo "make: '$(PYTHON) -m venv' failed: see the lines above" >&2; exit 1; }
	@echo "installing the packages for 'make $*' into $(VENV) (once, about a minute)"
	@{ $(INSTALL) hatchling && $(INSTALL) --no-build-isolation --editable '.$(EXTRAS_$*)'; } >$(LOG) 2>&1 || { \
	  tail -n 25 $(LOG) >&2; \
	  echo "make: installing the packages for 'make $*' failed; pip's reason stands above, all of it in $(LOG)." >&2; \
	  echo "make: 'make $*' tries again. The settings pip used: $(PYTHON) -m pip config list" >&2; exit 1; }
	@$(BIN)/python -m sim.delivery.warm
	@touch $@
