# make run    the app in your browser            make test   everything that is checked before a change goes in
# make setup  only the environment               make lint   ruff and mypy
# make bench  time, memory and quality numbers   make clean  remove the environment and caches
#
# Needs python3 (3.10 or newer) with its venv module; everything else is installed into $(VENV).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-test chromium run test lint bench clean

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WORKERS ?= 2

help:
	@sed -n '1,5s/^# \{0,1\}//p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "$(PYTHON) is older than 3.10 or missing. Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "python3 has no venv module. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# torch and torchvision go first, from one index, so that the pair fits (a torchvision beside a torch of another
# build does not import) and so that sam2, a source distribution, can build against the installed torch: an isolated
# build would download torch a second time. SAM2_BUILD_CUDA=0 leaves out its optional CUDA extension (no nvcc needed).
$(VENV)/.installed: requirements.txt | $(BIN)/python
	@echo "Installing requirements.txt (a few minutes the first time)"
	@$(PIP) --upgrade pip setuptools wheel
	@grep -E '^torch(vision)?[<>=~]' requirements.txt | xargs $(PIP)
	@SAM2_BUILD_CUDA=0 $(PIP) --no-build-isolation -r requirements.txt
	@touch $@

$(VENV)/.installed-test: tests/requirements.txt $(VENV)/.installed
	@echo "Installing tests/requirements.txt"
	@$(PIP) -r tests/requirements.txt
	@touch $@

$(VENV)/.installed-readers: tests/readers.txt $(VENV)/.installed-test
	@echo "Installing tests/readers.txt beside the environment"
	@$(PIP) --upgrade --no-deps --target $(VENV)/readers -r tests/readers.txt
	@touch $@

setup: $(VENV)/.installed

setup-test: $(VENV)/.installed-test $(VENV)/.installed-readers

chromium:
	@tests/install_chromium.sh

run: setup
	@$(BIN)/python app.py

lint: $(VENV)/.installed-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# One pytest run for unit and browser tests, so that its closing line counts all of them. Each worker computes on one
# thread: two workers on two cores would otherwise fight over them.
test: setup-test chromium lint
	@WORKBENCH_REQUIRE_BROWSER=1 WORKBENCH_REQUIRE_READERS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --timeout 300 -m "not gpu"

bench: setup-test
	@$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/screenshots
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
