# make demo       set up, then run the pipeline on the embedded data
# make test       set up, then run all tests
# make test-fast  set up, then run those that are not marked slow, for work in progress
# make check      linters and types
# make messages   regenerate tests/messages.txt, the list of all messages
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.installed

# DVC starts the stages through PATH, so the environment must come first there.
export PATH := $(BIN):$(PATH)

.PHONY: setup demo test test-fast check messages clean
.DEFAULT_GOAL := demo

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "yolopipe needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -d .git || { echo "this folder is no git clone; DVC needs one. Try: git clone"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	dvc repro
	@echo "look at:  plots/evaluate/predictions.png   and   yolopipe inspect-labels"
	@if git diff --quiet HEAD -- params.yaml dvc.yaml yolopipe && ! git diff --quiet HEAD -- metrics dvc.lock; then \
	  echo "note: metrics differ slightly from the committed ones, since training rounds differently on another kind of processor; git checkout metrics dvc.lock restores them"; fi

# A file stays in one process: its fixtures, trained networks among them, are made once.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow' --hypothesis-profile=fast

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

messages: setup
	$(BIN)/python tests/test_messages.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
