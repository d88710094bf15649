# Each target sets up .venv by itself. PYTHON=/path/to/python3 make … chooses the interpreter.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AIRFLOW := 3.3.2
CONSTRAINTS := constraints/airflow-$(AIRFLOW).txt
OLDER := 2.11.2 3.1.8 3.2.2
# Versions that Airflow 3.2.2 allows and cannot run with: "needs a discriminator field", and no 'svcs_registry'.
BELOW_3.2.2 := 'fastapi<0.146' 'svcs<26'

# The tests start Airflow dozens of times. Without byte code on disk, each start compiles it again, for five seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up test check matrix bench docs fmt build constraints clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target words; do printf 'make %-12s %s\n' "$$target" "$$words"; done

$(READY): pyproject.toml $(CONSTRAINTS) scripts/install.sh
	@sh scripts/install.sh $(VENV) $(CONSTRAINTS) dev
	@touch $@

demo: $(READY) ## run the nightly reconfiguration of 200 simulated devices, and show what each of them received
	@$(BIN)/python -u -m scripts.demo

up: $(READY) ## run Airflow with a simulator beside it, until Ctrl-C
	@$(BIN)/python -u -m scripts.up

test: $(READY) ## run every test
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: $(READY) ## style, types, and which module may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy scripts noxfile.py
	@$(BIN)/lint-imports

matrix: $(READY) ## run the tests that touch Airflow on older ones and on every Python; ONLY=ends, or 2.11.2, or 3.3.2-py3.12
	@$(BIN)/nox $(if $(ONLY),--tags $(ONLY))

bench: $(READY) ## measure, beside peers, and write docs/benchmarks.md
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --constraint $(CONSTRAINTS) --editable '.[dev,bench]'
	@$(BIN)/python -W ignore -m tests.benchmarks

docs: $(READY) ## build the documentation into docs/_build, warnings are errors
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --jobs auto --quiet docs docs/_build
	@echo "docs/_build/index.html"

fmt: $(READY) ## format the code, and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

build: $(READY) ## build the wheel and the source distribution into dist/
	@$(BIN)/python -m hatchling build --clean

constraints: $(READY) ## write constraints/ again, with today's newest versions
	@$(call pin,$(AIRFLOW),--extra dev --extra bench)
	@$(foreach airflow,$(OLDER),$(call pin,$(airflow),--extra test) &&) true

# $(call pin,AIRFLOW,EXTRAS) writes what is installed with one Airflow.
define pin
{ echo '# What is installed with Airflow $(1), exactly, on Python 3.11 to 3.13. Written by: make constraints'; \
	printf '%s\n' 'apache-airflow==$(1)' $(BELOW_$(1)) | $(BIN)/uv pip compile --quiet --upgrade --universal \
	--python-version 3.11 $(2) --no-annotate --no-header pyproject.toml -; } > constraints/new && mv constraints/new constraints/airflow-$(1).txt
endef

clean: ## remove everything that make has made, the virtual environment included
	rm -rf $(VENV) .venvs .airflow dist docs/_build .mypy_cache .ruff_cache .import_linter_cache
