# `make demo` is the whole way once: environment, simulated cells, training, screen, ranked table.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LINGSHU_DATA ?= ../shared/data
export LINGSHU_DATA
# One thread a process: on small machines more threads only get in each other's way, and results stay bit-equal.
export OMP_NUM_THREADS ?= 1

# Tests are spread over so many processes; those that start clusters share one.
PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test fuzz chaos lint types imports s3 bench docs bench-check wheel clean

help:  ## List what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed  ## Make the environment from the pinned constraints

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

demo: install  ## Simulate, train, screen: a ranked table in a few minutes, no data file needed
	$(BIN)/lingshu simulate results/quickstart --seed 0
	$(BIN)/lingshu train campaigns/examples/quickstart/train.yaml
	$(BIN)/lingshu run campaigns/examples/quickstart/screen.yaml --top 15

test: install  ## Run all tests
	$(BIN)/pytest --numprocesses $(PROCESSES) --dist loadgroup

fuzz: install  ## Read 100,000 campaign files as nobody would write them: a spec or problems, never a trace
	FUZZ_INPUTS=100000 FUZZ_MINUTES=60 $(BIN)/pytest -q --timeout 0 tests/fuzz

chaos: install  ## Strike the engine with more than 1,000 faults, kill raylets and whole clusters: nothing lost or doubled
	CHAOS=full $(BIN)/pytest -q --timeout 0 tests/chaos

lint: install  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## Check types, strictly
	$(BIN)/mypy

imports: install  ## Check which package may import which
	$(BIN)/lint-imports

s3: install  ## Run the Papalexi campaign into a bucket of a real S3 server on this machine, and read it back
	$(BIN)/python -m benchmarks.s3

bench: install  ## Measure the figures of docs/benchmarks.md, the ablations apart (some hours on two cores)
	$(BIN)/python -m benchmarks.all

bench-check: install  ## Measure the guarded ratios again; a loss of more than a fifth fails
	$(BIN)/python -m benchmarks.check

docs: install  ## Build the documentation, warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheel: install  ## Build sdist and wheel, and run the quickstart from the wheel in an empty environment
	.ci/wheel $(CURDIR)/$(BIN)/python

clean:  ## Remove the environment and all results
	rm -rf $(VENV) results site
