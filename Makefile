# Makes the virtual environment and calls the same commands that `cardiolearn --help` lists.
# Windows: the README has the same commands for PowerShell.

PYTHON ?= python3
BIN := .venv/bin
CARDIOLEARN := $(BIN)/cardiolearn
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
NOTEBOOKS := $(wildcard notebooks/*.ipynb course/learner/*.ipynb)
SCANS := $(wildcard ../shared/real)

# Threads that wait must not burn the cores that others need.
export OMP_WAIT_POLICY ?= PASSIVE
ifneq ($(SCANS),)
export CARDIOLEARN_SCANS ?= $(abspath $(SCANS))
endif

.DEFAULT_GOAL := help
.PHONY: help course test browser lab reproduce learner clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

course: .venv/runtime.stamp  ## run all lessons in the classroom profile and write the report
	$(CARDIOLEARN) run --profile classroom; status=$$?; $(CARDIOLEARN) report && exit $$status

test: .venv/dev.stamp  ## lint, types, unit tests, notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(NOTEBOOKS),$(BIN)/nbstripout --keep-id --verify $(NOTEBOOKS))
	$(BIN)/mypy
	$(BIN)/python -m pytest

browser: .venv/dev.stamp  ## use every lesson, as a learner does, in a real browser (Chromium must be installed)
	$(BIN)/python -m pytest tests/browser --every-lesson -rs

lab: .venv/runtime.stamp  ## open the lessons, without solutions, in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/course/learner

reproduce: .venv/runtime.stamp  ## train everything from scratch (hours; goes on where it was interrupted)
	$(CARDIOLEARN) run --profile reproduce --out runs/reproduce --resume
	$(CARDIOLEARN) report runs/reproduce

learner: .venv/runtime.stamp  ## write course/learner from the solved notebooks
	$(CARDIOLEARN) learner

clean:  ## remove the environment and caches, keep runs
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A failed or interrupted pip leaves no stamp, so the next make repeats it.
.venv/runtime.stamp: EXTRAS := .
.venv/dev.stamp: EXTRAS := .[dev]
.venv/%.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing $(EXTRAS) (some minutes the first time)"
	@$(PIP) install --quiet -c constraints.txt -e "$(EXTRAS)"
	@touch $@

# Some systems ship python without ensurepip; their own pip then fills the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cardiolearn needs Python >= 3.11, $(PYTHON) is $$($(PYTHON) --version 2>&1); try make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { $(PYTHON) -m venv --without-pip --clear .venv && $(PYTHON) -m pip --python $@ install --quiet pip; }
