# make demo: the whole run on the rendered demo data. make test: all tests. Both make .venv first, once.
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc 2>/dev/null || echo 2)
PYTEST ?= -n 2 --dist loadfile --no-loadscope-reorder
OPTIONS ?= # more of Snakemake's, for make demo and make resume
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) $(OPTIONS)

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # what one Python has compiled of the sources, the next ones read
.PHONY: help demo resume ablation models test quick lint docs clean install install-dev install-docs

help:
	@echo "make demo     run the whole workflow on the demo data, from videos to tables and results/report.html"
	@echo "make resume   go on after an interrupted run, also one that was killed"
	@echo "make ablation what each part of AEM-Net is worth, on a longer demo (hours on two cores; docs/spotting.md)"
	@echo "make models   train the models that travel with the package (src/microexp/models), with their cards"
	@echo "make test     all tests;  make quick: without those that take long;  make lint: style, words, types, workflow"
	@echo "make gpu      what a GPU brings, in less than eight minutes, as a table (PYTHON=… names another Python)"
	@echo "make docs     the documentation as a site, site/index.html"
	@echo "make clean    remove results, ablation, models, logs and Snakemake's notes (not .venv, not weights)"

demo: install
	$(SNAKEMAKE)
	@$(MAKE) --no-print-directory results-are-here

resume: install
	$(SNAKEMAKE) --unlock --quiet all
	$(SNAKEMAKE) --rerun-incomplete
	@$(MAKE) --no-print-directory results-are-here

ablation: install
	mkdir -p ablation
	$(SNAKEMAKE) --directory ablation --configfile benchmarks/spotting_ablation.yaml
	$(BIN)/python benchmarks/spotting_ablation.py --config benchmarks/spotting_ablation.yaml \
	  --results ablation/results --out ablation/variants --jobs $(CORES)

models: install
	$(BIN)/python tools/train_action_units.py
	$(BIN)/python tools/train_spotting.py --work models --cores $(CORES)

.PHONY: results-are-here
results-are-here:
	@echo
	@echo "Tables:"
	@for table in results/tables/*.md; do echo "  $$table"; done
	@echo "Report: results/report.html"

test: install-dev
	$(BIN)/python -m pytest $(PYTEST)

quick: install-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -q --durations=10 --durations-min=2 \
	  -m "not long and not slurm and not conda and not kill"

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/python tools/words.py
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# From the source tree, with whatever torch there is: PYTHON, else .venv's Python, else python3.
.PHONY: gpu
gpu:
	$(or $(PYTHON),$(wildcard $(BIN)/python),python3) benchmarks/gpu.py --out gpu.md

docs: install-docs
	$(BIN)/python tools/docs_pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Documentation: site/index.html"

clean:
	rm -rf ablation models false_alarms logs site .snakemake .pytest_cache .mypy_cache .ruff_cache .coverage
	find results -mindepth 1 ! -name README.md -delete

# --- the environment: a stamp stands only after a whole installation, so that an interrupted one is repeated

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev
install-docs: $(VENV)/installed-docs

$(VENV)/installed: constraints.txt pyproject.toml $(VENV)/made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[workflow]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[workflow,dev]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[workflow,docs]'
	@touch $@

$(VENV)/made:
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then touch $@; exit 0; fi; \
	for python in "$(PYTHON)" python3.11 python3.12 python3.13 python3.14 python3 python; do \
	  [ -n "$$python" ] || continue; \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || continue; \
	  "$$python" -c 'import os, shutil, sys, sysconfig as s; c = s.get_config_var("CC"); sys.exit( \
	    sys.version_info >= (3, 14) and not (c and shutil.which(c.split()[0]) and \
	    os.path.exists(os.path.join(s.get_path("include"), "Python.h"))))' || { \
	    echo "Python 3.14 needs a C compiler and Python.h (python3.14-dev) here: for it, immutables, which Snakemake" \
	    "asks for, has no wheel. Or: make PYTHON=python3.13" >&2; exit 1; }; \
	  echo "making $(VENV) with $$python"; "$$python" -m venv --clear $(VENV) && touch $@ && exit 0; exit 1; \
	done; \
	echo "microexp needs Python 3.11 to 3.14 on PATH, with venv, or: make PYTHON=/path/to/python3" >&2; exit 1
