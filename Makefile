# `make` lists the targets. Needs Python 3.11 or 3.12 (with its venv module), make and git; the rest comes from the
# hash-pinned lock, installed in .venv.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(VENV)/uv/bin/uv
COMMAND := $(BIN)/speechalign
LOCKS := requirements.lock requirements/build.lock requirements/uv.lock

# The stages call `python`, which must be this environment's.
export PATH := $(abspath $(BIN)):$(PATH)
# Quiet and local: no usage reports, and one process per server instead of ten.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db

.DEFAULT_GOAL := help
.PHONY: help env packages demo smoke repro study report results ui prefect test lint format bootstrap lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r target text; \
	  do printf '  make %-10s %s\n' "$$target" "$$text"; done

env: $(COMMAND) ## install everything in .venv, once

packages: $(STAMP) # what the project needs, without the project

# The project itself, built with the setuptools just installed: no index is asked.
$(COMMAND): $(STAMP) pyproject.toml
	@$(UV) pip install --quiet --offline --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

# Some commands named python only print a version manager's hint: each candidate is run before it is chosen.
$(STAMP): $(LOCKS)
	@ok='import sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})'; \
	for python in $(PYTHON) python3.12 python3.11 python3 python; do \
	  if "$$python" -c "$$ok" 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "make env: expected Python 3.11 or 3.12 as python3.12, python3.11, python3 or python on PATH, found" \
	    "$$(python3 --version 2>&1 | head -n 1). Install one, or name it: make env PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	if ! $(BIN)/python -c "$$ok" 2>/dev/null; then \
	  echo "env: $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv --clear --without-pip $(VENV) || exit 1; \
	fi; \
	if ! "$$found" -m venv --clear $(VENV)/uv; then \
	  echo "make env: this Python cannot make environments; on Debian and Ubuntu install its python3-venv package" >&2; \
	  exit 1; \
	fi
	@$(VENV)/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
	  --requirement requirements/uv.lock
	@# Compiled here, or every stage's first run would do it: half a minute.
	@UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=300 $(UV) pip sync --python $(BIN)/python --compile-bytecode \
	  --require-hashes --build-constraints requirements/build.lock requirements.lock
	@# Without git (an unpacked archive, an image) DVC must be told not to look for it.
	@if [ -e .git ]; then :; else $(BIN)/dvc config --quiet --local core.no_scm true; fi
	@touch $@

demo: env ## run the whole loop: synthetic speech to registered policies
	@$(COMMAND) run

smoke: env ## every stage once on tiny settings, in a folder of its own
	@$(BIN)/python -m benchmarks.demo --profile smoke --iterations 1

repro: env ## run the same work through `dvc repro`
	@$(BIN)/python -m flows.dvc_lock
	@$(BIN)/dvc repro

study: env ## the experiments: methods and controls on three seeds (about 90 minutes; a stopped one resumes)
	@$(COMMAND) study

report: env ## open the report in a browser
	@test -f reports/index.html || { echo "reports/index.html does not exist yet; run \`make demo\` first" >&2; exit 1; }
	@$(BIN)/python -m webbrowser -t "file://$(CURDIR)/reports/index.html"

results: env ## write the tables of README.md and docs/ from the runs kept in results/
	@$(BIN)/python -m results write

ui: env ## MLflow's pages on 127.0.0.1:5000
	@case "$(MLFLOW_TRACKING_URI)" in http*) \
	  echo "MLflow's pages are at $$(echo "$(MLFLOW_TRACKING_URI)" | sed -e 's#//[^/@]*@#//#' -e 's#?.*##')" ;; *) \
	  $(BIN)/python -m tasks.common.tracking || exit 1; \
	  echo "the runs: http://127.0.0.1:5000/#/experiments/1?workflowType=machine_learning"; \
	  $(BIN)/mlflow ui --backend-store-uri "$(MLFLOW_TRACKING_URI)" --host 127.0.0.1 --port 5000 ;; esac

prefect: env ## Prefect's server and pages on 127.0.0.1:4200
	@# Leases on disk: kept in memory, those of running flows would be lost with a restart.
	@PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem \
	  PREFECT_HOME="$(CURDIR)/.prefect" $(BIN)/prefect server start --host 127.0.0.1 --port 4200

test: env lint ## lint, types and all tests, two files at a time
	@# One thread per process: two processes with two threads each slow one another.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: env ## ruff (rules and format) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: env ## fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bootstrap: env ## train the embedded checkpoints again (about two hours)
	@$(BIN)/dvc repro bootstrap/dvc.yaml
	@$(BIN)/python -m bootstrap.export

# --universal: one lock for 3.11 and 3.12. Versions stay unless a range forbids them; UPGRADE=1 takes the newest.
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url $(if $(UPGRADE),--upgrade)
lock: env ## resolve pyproject.toml into requirements.lock (UPGRADE=1: newest versions)
	@$(COMPILE) requirements/uv.in --output-file requirements/uv.lock
	@$(COMPILE) requirements/build.in --output-file requirements/build.lock
	@$(COMPILE) --extra dev pyproject.toml --build-constraints requirements/build.lock --output-file requirements.lock
	@# Versions already in the output file are kept: those of the lock above.
	@cp requirements.lock requirements/gate.lock
	@$(COMPILE) requirements/gate.in --output-file requirements/gate.lock

clean: ## remove data, runs, reports and tracking; keep .venv and DVC's cache
	rm -rf data runs reports .code study/.code bootstrap/.code mlruns mlartifacts mlflow.db .pytest_cache .mypy_cache .ruff_cache
