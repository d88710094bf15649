# Each target sets up .venv by itself. PYTHON=/path/to/python3 make … chooses the interpreter.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AIRFLOW := 3.3.2

.DEFAULT_GOAL := help
.PHONY: help demo up test check bench fmt build constraints clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target words; do printf 'make %-12s %s\n' "$$target" "$$words"; done

$(READY): pyproject.toml constraints.txt scripts/install.sh
	@sh scripts/install.sh $(VENV)
	@touch $@

demo: $(READY) ## run the nightly reconfiguration of 50 simulated devices, and show what each of them received
	@$(BIN)/python -u -m scripts.demo

up: $(READY) ## run Airflow with a simulator beside it, until Ctrl-C
	@$(BIN)/python -u -m scripts.up

test: $(READY) ## run every test
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(READY) ## style, types, and which module may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy scripts
	@$(BIN)/lint-imports

bench: $(READY) ## measure, beside peers, and write docs/benchmarks.md
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --constraint constraints.txt --editable '.[dev,bench]'
	@$(BIN)/python -W ignore -m tests.benchmarks

fmt: $(READY) ## format the code, and mend what can be mended by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

build: $(READY) ## build the wheel and the source distribution into dist/
	@$(BIN)/python -m hatchling build --clean

constraints: $(READY) ## write constraints.txt anew, with today's newest versions
	@{ echo '# What make installs, exactly, on Python 3.11 to 3.13. Written by: make constraints'; \
		echo 'apache-airflow==$(AIRFLOW)' | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--extra dev --extra bench --no-annotate --no-header pyproject.toml -; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## remove what make has made, the virtual environment included
	rm -rf $(VENV) .airflow dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
