# Every command for people. Each one sets up what it needs; the first time takes a minute.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# checkov needs other package versions than Prefect.
VENV_CHECKOV := .venv-checkov
# What commands need beside Python; as root on Debian or Ubuntu programs are installed.
SANDBOX := python3-venv git node engine
PROGRAMS := chromium redis-server nginx postgresql docker-compose
# The Python that looks for it: once there is an environment, the one that it was made with.
LOOKING = $(if $(wildcard $(VENV)/ready),$(RUN),$(PYTHON))
# Images that they need: pulled, or replaced by stand-ins that are built once a machine.
IMAGES := node:22-bookworm-slim node:22-bookworm
export KANVARO_CHECKOUT := $(CURDIR)
# Turn all telemetry off.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export NEXT_TELEMETRY_DISABLED := 1
# Many images forbid Python to store compiled modules; compiling them again takes half of the start of
# every server, worker and run.
unexport PYTHONDONTWRITEBYTECODE

# `test-engine`, `test-github` and `test-rest` are the rows of `test`; `test-after` compares their results.
.PHONY: test-engine test-github test-rest test-after help demo test proof check lint types ci secrets-baseline status rollback deploy sandbox sandbox-stop server worker register screenshots bench lock setup python preflight-sandbox preflight-tests

help: ## List these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: preflight-sandbox $(VENV)/ready ## Take a commit of the sample application through the whole pipeline (KEEP=1: keep it running)
	@$(RUN) -m deployments.demo.demo

test: preflight-tests $(VENV)/ready ## Run lint, types, import rules and all tests
	@$(RUN) -m sandbox.host.engine start
	@$(RUN) -m sandbox.images $(IMAGES)
	@rm -rf .called
	@$(MAKE) --no-print-directory --jobs 5 --output-sync=target check test-engine test-github test-rest
	@$(MAKE) --no-print-directory test-after

# Rows of tests run in parallel; each prints its output when it has ended.
test-engine test-github test-rest: test-%:
	$(RUN) -m pytest --row $* $(PYTEST_ARGS)

# It reads the authorization data that come with checkov.
test-rest: $(VENV_CHECKOV)/ready

# Each row records in .called what its flows called in AWS; this compares all calls with their roles.
test-after:
	$(RUN) -m pytest tests/test_permissions.py

proof: preflight-tests $(VENV)/ready ## Run the longer suites: every crash of a delivery and of a rotation, every fault, other package managers
	@$(RUN) -m sandbox.host.engine start
	@$(RUN) -m sandbox.images $(IMAGES)
	$(RUN) -m pytest -m proof $(PYTEST_ARGS)

check: lint types ## Run lint, types and import rules only

lint: $(VENV)/ready $(VENV_CHECKOV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/cfn-lint deployments/aws/*.yaml
	$(RUN) -m deployments.template_rules

types: $(VENV)/ready
	$(VENV)/bin/mypy

# Arguments of make reach the program as environment variables, unchanged and without a shell: make
# itself would expand $$(…) in them.
ci: override export REPOSITORY := $(value REPOSITORY)
ci: override export REVISION := $(value REVISION)
ci: override export REF := $(value REF)
ci: override export DELIVERY := $(value DELIVERY)
ci: preflight-sandbox $(VENV)/ready ## Run the pipeline for any Node application: REPOSITORY=path-or-URL [REVISION=…] [REF=…] [DELIVERY=delivery.toml]
	@$(RUN) -m deployments.demo.laptop

secrets-baseline: override export REPOSITORY := $(value REPOSITORY)
secrets-baseline: $(VENV)/ready ## Accept what the secret scan finds in a repository: REPOSITORY=path (writes its .secrets.baseline)
	@$(RUN) -m deployments.demo.secrets_baseline

status: override export ENVIRONMENT := $(value ENVIRONMENT)
status: $(VENV)/ready ## Show what is live, whether it is healthy, how to roll back: [ENVIRONMENT=production] on the server of PREFECT_API_URL
	@$(RUN) -m deployments.status

rollback deploy: override export ENVIRONMENT := $(value ENVIRONMENT)
rollback deploy: override export REASON := $(value REASON)
rollback deploy: override export BY := $(value BY)
rollback deploy: override export TO := $(value TO)
rollback deploy: override export FORCE := $(value FORCE)
rollback deploy: override export VERSION := $(value VERSION)
rollback deploy: override export PLAN := $(value PLAN)
rollback: $(VENV)/ready ## Bring an earlier version back, and show how it goes: REASON="…" [TO=previous] [ENVIRONMENT=production] [FORCE=yes]
	@$(RUN) -m deployments.by_hand rollback
deploy: $(VENV)/ready ## Deploy a version that passed `ci`: VERSION=… REASON="…" [ENVIRONMENT=production] [PLAN=yes]
	@$(RUN) -m deployments.by_hand deploy

sandbox: preflight-sandbox $(VENV)/ready ## Start the emulators and leave them running until Ctrl-C
	@$(RUN) -m sandbox

sandbox-stop: $(VENV)/ready ## Stop what `KEEP=1 make demo` or `make ci` left running
	@$(RUN) -m deployments.demo.stop

server: override export REDIS_URL := $(value REDIS_URL)
server: $(VENV)/ready ## Start a Prefect server on 127.0.0.1:4200: [DATABASE=sqlite] [REDIS_URL=… PROCESSES=3]
	@$(RUN) -m deployments.server.server

worker: override export QUEUE := $(value QUEUE)
worker: $(VENV)/ready ## Start a worker for the pool `delivery`: [QUEUE=stages]
	@$(RUN) -m deployments.server.worker

register: $(VENV)/ready ## Save blocks and deployments on the server of PREFECT_API_URL (safe to repeat)
	@$(RUN) -m deployments.register

screenshots: $(VENV)/ready ## Take the pictures of docs/ui again: a rollback in Prefect's UI
	@$(RUN) -m sandbox.host.machine chromium
	KANVARO_SCREENSHOTS=docs/ui $(RUN) -m pytest -q tests/deployments/server/test_ui.py -k form

bench: preflight-tests $(VENV)/ready ## Measure against plain alternatives; prints a table, writes benchmarks/latest.json [PARTS="checks attacks"]
	@$(RUN) -m sandbox.host.engine start
	@$(RUN) -m sandbox.images $(IMAGES)
	$(RUN) -m benchmarks $(PARTS)

lock: $(VENV)/ready ## Renew requirements.lock from pyproject.toml, and the other locks beside it
	$(VENV)/bin/uv pip compile --universal --generate-hashes --python-version 3.11 --group dev \
	  --no-header --quiet --output-file requirements.lock pyproject.toml
	@# The subset that a worker needs, in the same versions, for deployments/worker/Dockerfile.
	$(VENV)/bin/uv pip compile --universal --generate-hashes --python-version 3.11 \
	  --constraint requirements.lock --no-header --no-annotate --quiet \
	  --output-file deployments/worker/requirements.lock pyproject.toml
	@# What the workflows for GitHub Actions install, in the same versions.
	$(VENV)/bin/uv pip compile --generate-hashes --python-version 3.12 \
	  --python-platform x86_64-unknown-linux-gnu --constraint requirements.lock \
	  --no-header --no-annotate --quiet \
	  --output-file deployments/github/prefect.lock deployments/github/prefect.in
	$(VENV)/bin/uv pip compile --universal --generate-hashes --python-version 3.11 \
	  --no-header --no-annotate --quiet \
	  --output-file deployments/aws/checkov.lock deployments/aws/checkov.in

setup: $(VENV)/ready

# All that a command needs is looked for, and named or installed, before anything is set up or started.
preflight-sandbox: python
	@$(LOOKING) -m sandbox.host.preflight $(SANDBOX)
preflight-tests: python
	@$(LOOKING) -m sandbox.host.preflight $(SANDBOX) $(PROGRAMS)

python:
	@command -v $(LOOKING) >/dev/null || { echo "error: $(LOOKING) is missing: install Python 3.11 or newer, or set PYTHON=…" >&2; exit 1; }
	@$(LOOKING) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is %d.%d: set PYTHON=…" % sys.version_info[:2])'

$(VENV)/ready: requirements.lock pyproject.toml | python
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is needed: apt-get install python3-venv"; exit 1; }
	@# By the version and the hashes of requirements.lock, and never from source, which runs its build.
	@test -x $(VENV)/bin/uv || $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --only-binary=:all: --require-hashes --requirement <(sed -n '/^uv==/,/[^\]$$/p' requirements.lock)
	@$(VENV)/bin/uv pip sync --quiet --no-build --require-hashes --python $(VENV)/bin/python requirements.lock
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV_CHECKOV)/ready: deployments/aws/checkov.lock | $(VENV)/ready
	@echo "setting up $(VENV_CHECKOV)"
	@$(PYTHON) -m venv --without-pip $(VENV_CHECKOV)
	@$(VENV)/bin/uv pip sync --quiet --no-build --require-hashes --python $(VENV_CHECKOV)/bin/python $<
	@touch $@
