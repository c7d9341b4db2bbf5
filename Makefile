# `make demo`, `make test` and `make check` each set up everything they need; the second call starts at once.
#
#   make demo                     the main job on a synthetic cohort, results in runs/demo
#   make test                     all tests with branch coverage
#   make check                    format, lint, types, import contracts
#   make demo TORCH_BACKEND=cpu   CPU build of torch (on Linux the default build carries CUDA)
#   make demo PYTHON=python3.12   another interpreter, 3.11 or 3.12

PYTHON ?= python3
VENV ?= .venv
TORCH_BACKEND ?=
# One more than the two cores it is measured on: tests of real federations, browsers and databases mostly wait.
TEST_JOBS ?= 3
UV_VERSION := $(shell sed -n 's/^uv==//p' constraints.txt)

export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

BIN := $(VENV)/bin
# The backend is part of the stamp's name: asking for another build of torch installs it.
STAMP := $(VENV)/.installed-$(or $(TORCH_BACKEND),default)
UV_INSTALL = VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install $(if $(TORCH_BACKEND),--torch-backend=$(TORCH_BACKEND) --reinstall-package torch)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check format constraints clean

help:
	@sed -n 's/^# \{0,1\}//;1,7p' Makefile

setup: $(STAMP)

$(BIN)/uv: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || { \
	  echo "concilium needs Python 3.11 or 3.12, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Install one of them and name it: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "uv==$(UV_VERSION)"
	@touch $@

$(STAMP): $(BIN)/uv pyproject.toml constraints.txt
	$(if $(TORCH_BACKEND),@rm -f $(VENV)/.installed-*)
	$(UV_INSTALL) -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP)
	$(BIN)/concilium simulate --study studies/demo.toml --synthetic --out runs/demo --against-local-only --resume

test: $(STAMP)
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Versions from the registry alone: a wheel found elsewhere may carry a local label such as `+cpu`.
constraints: $(BIN)/uv
	UV_FIND_LINKS= $(BIN)/uv pip compile pyproject.toml --extra dev --extra ray --python-version 3.11 \
	  --python-platform linux --no-annotate --no-header --upgrade --quiet --output-file constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
