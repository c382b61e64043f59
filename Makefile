# `make` alone lists the targets. Every target sets itself up in .venv, from nothing but Python 3.11 or 3.12.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup train test check bench slow docs wheel extras hashes audit-dependencies audit-secrets audit-workflows notebooks

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 12) else "robonav_ray needs Python 3.11 or 3.12; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[human,multiagent,test,dev,bench]'
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps pyrvo
	@touch $@

setup: $(VENV)/.dev ## install everything, development tools included

train: $(VENV)/.core ## train the four-stage curriculum, then evaluate and draw it (ARGS="seed=1 --time-limit 20m")
	$(BIN)/robonav train preset=navigation $(ARGS)

test: $(VENV)/.dev ## run the default test suite (some seven minutes on 2 cores)
	$(BIN)/python tests/lanes.py $(ARGS)

$(VENV)/.docs: $(VENV)/.core
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs ## build the site of the documentation into build/docs, warnings are errors
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html docs build/docs

slow: $(VENV)/.dev ## run the slow proofs
	$(BIN)/python -m pytest -m "slow" $(ARGS)

$(VENV)/.notebooks: $(VENV)/.dev
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[notebooks]'
	@touch $@

notebooks: $(VENV)/.notebooks ## run the notebooks in clean kernels, on fakes of Colab and Kaggle (some six minutes)
	$(BIN)/python -m pytest -m notebooks -s tests/notebooks $(ARGS)

check: $(VENV)/.dev ## format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## measure the speed of every part (minutes)
	$(BIN)/python -m proofs bench_worlds
	$(BIN)/python -m proofs bench_rollout
	$(BIN)/python -m proofs bench_replay
	$(BIN)/python -m proofs bench_learner
	$(BIN)/python -m proofs bench_curriculum --seeds 3
	$(BIN)/python -m proofs bench_tune asha

wheel: $(VENV)/.dev ## build the wheel into dist/, install it into an empty environment, and run the README's commands there
	rm -rf dist build/empty
	$(BIN)/python -m pip wheel -q --no-deps -w dist .
	$(PYTHON) -m venv build/empty
	build/empty/bin/python -I -m pip install -q --require-hashes -r constraints-hashed.txt
	build/empty/bin/python -I -m pip install -q -c constraints.txt "$$(echo dist/*.whl)[deploy]"
	build/empty/bin/python -I -m pip check
	ROBONAV_WHEEL_BIN=$(CURDIR)/build/empty/bin $(BIN)/python -m pytest -m slow tests/e2e/test_wheel.py $(ARGS)

extras: ## install each extra alone into an empty environment, and import what it is for (ARGS="report deploy")
	$(PYTHON) scripts/delivery/install_extras.py $(ARGS)

AUDIT := build/audit/bin

$(AUDIT)/.tools: constraints.txt
	$(PYTHON) -m venv build/audit
	$(AUDIT)/python -m pip install -q -c constraints.txt detect-secrets pip-audit uv zizmor
	@touch $@

hashes: $(AUDIT)/.tools ## write constraints-hashed.txt anew, after a change of constraints.txt or pyproject.toml
	PATH="$(CURDIR)/$(AUDIT):$$PATH" $(AUDIT)/python scripts/delivery/hash_constraints.py

audit-dependencies: $(AUDIT)/.tools ## ask which pinned packages have known holes
	$(AUDIT)/pip-audit --no-deps --disable-pip -r constraints.txt

audit-secrets: $(AUDIT)/.tools ## look for secrets in all that was ever committed
	$(AUDIT)/python scripts/delivery/audit_secrets.py

audit-workflows: $(AUDIT)/.tools ## look for what is wrong in the workflows
	$(AUDIT)/zizmor --offline .github
