# `make` lists the targets. The first target that you use creates .venv; PYTHON=... sets its interpreter.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
BENCH_VENV := .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
REQUIREMENTS := requirements.txt requirements-dev.txt constraints.txt
PYTHON ?=
ARGS ?=
CELL ?=
MODEL ?=
WEIGHTS ?=
ID ?=
N ?= 100000
ROUNDS ?= 50
MINUTES ?=

.PHONY: help import demo up test test-long lint lint-python lint-types lint-protos lint-docker lint-compose \
        lint-rules lint-lua data train reproduce reproduce-table ship bench bench-table bench-cost bench-banks \
        chaos fuzz soak pictures sheets token protos docs

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Demonstrate the whole system: counterfactuals, a training job, metrics (1 to 5 minutes once installed)
	@$(PY) -m deploy.demo

up: $(STAMP) ## Run all services in the foreground; Ctrl-C stops them
	@$(PY) -m deploy.local

# Tests run in several processes: three for each core, as many tests wait. Each computes with one thread, since
# threads that share a core wait for each other.
test test-long: export OMP_NUM_THREADS ?= 1
test test-long: TEST = $(PY) -m pytest --numprocesses $$(( $$(nproc) < 5 ? 3 * $$(nproc) : 12 )) --dist loadfile --no-loadscope-reorder

test: $(STAMP) ## Run the quick tests; ARGS="-k name" selects some
	@$(TEST) -m "not long" $(ARGS)

test-long: $(STAMP) ## Run the long tests
	@$(TEST) -m long $(ARGS)

lint: lint-python lint-types lint-protos lint-docker lint-compose lint-rules lint-lua ## Check code, types, protos, images, compose file, rules, scripts

lint-python: $(STAMP)
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check

lint-types: $(STAMP)
	@$(PY) -m mypy

lint-protos: $(STAMP)
	@$(VENV)/bin/buf lint protos

lint-docker: $(STAMP)
	@$(VENV)/bin/hadolint deploy/docker/*.Dockerfile

lint-compose: $(STAMP)
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml

# promtool is part of Prometheus, which pip cannot install. CI has it.
lint-rules:
	@if command -v promtool > /dev/null; then \
	  promtool check config --lint-fatal deploy/prometheus/prometheus.yml > /dev/null && \
	  promtool test rules deploy/prometheus/tests/*.yml > /dev/null; \
	elif [ -n "$${CI:-}" ]; then \
	  echo "error: promtool is missing; apt-get install prometheus" >&2; exit 1; \
	else \
	  echo "promtool is not on PATH: the Prometheus rules were not checked (apt-get install prometheus)"; \
	fi

# luacheck comes from the system's package manager; CI has it.
lint-lua:
	@if command -v luacheck > /dev/null; then \
	  luacheck -q trainer/jobs/lua; \
	elif [ -n "$${CI:-}" ]; then \
	  echo "error: luacheck is missing; apt-get install lua-check" >&2; exit 1; \
	else \
	  echo "luacheck is not on PATH: the Lua scripts were not checked (apt-get install lua-check)"; \
	fi

data: $(STAMP) ## Download the full MNIST and the textures of Wildlife MNIST into var/data
	@$(PY) -m cgn.data.download

import: $(STAMP) ## Import the authors' weights as a model; ARGS="--help" shows how
	@$(PY) -m cgn.imports.import_weights $(ARGS)

# The worker sets the same for its runs (trainer/worker/attempt.py).
train reproduce: export OMP_WAIT_POLICY ?= passive

train: $(STAMP) ## Train a CGN without the services; ARGS="--help" shows the options
	@$(PY) -m trainer train_cgn $(ARGS)

reproduce: $(STAMP) ## Compute missing results in docs/results; CELL=colored/cgn/0: one of them again; MODEL=name: with another CGN
	@$(PY) -m trainer.reproduce $(if $(CELL),--cell '$(CELL)') $(if $(MODEL),--model '$(MODEL)') \
	  $(if $(WEIGHTS),--weights '$(WEIGHTS)') $(ARGS)

reproduce-table: $(STAMP) ## Write docs/results/table2.json from the existing results
	@$(PY) -m trainer.reproduce --table $(ARGS)

ship: $(STAMP) ## Copy the CGNs of the results into models/; ARGS="v3" is their version
	@$(PY) -m trainer.reproduce.ship $(ARGS)

bench: $(if $(filter-out 5 5/%,$(ID)),$(STAMP),$(BENCH_STAMP)) ## Compare the speed with other implementations (20 minutes); ID=4: one row
	@$(PY) -m benchmarks $(if $(ID),--id '$(ID)') $(ARGS)

bench-table: $(STAMP) ## Write the tables of speed and cost from docs/results
	@$(PY) -m benchmarks.page

bench-cost: $(STAMP) ## Compare the cost of training a CGN with the authors' recipe
	@$(PY) -m benchmarks.training_cost $(ARGS)

bench-banks: $(STAMP) ## Measure cost and savings of recombining banks of rows; ARGS="--help" shows the options
	@$(PY) -m benchmarks.recombination $(ARGS)

chaos: $(STAMP) ## Inject random faults into ROUNDS training jobs; ARGS="--seed 1" draws other faults
	@$(PY) -m tests.chaos --rounds $(ROUNDS) $(ARGS)

soak: $(STAMP) ## Run mixed load with faults and check every response; MINUTES=60 sets the duration (default 10)
	@$(PY) -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

pictures: $(STAMP) ## Draw docs/images: data sets, mechanisms, counterfactuals, training
	@CGN_DATA_DIR= $(PY) -m deploy.pictures $(ARGS)

fuzz: $(STAMP) ## Send invalid input to both servers; N=100000 sets the number, ARGS="--seed 1" draws other input
	@$(PY) -m tests.fuzz $(N) $(ARGS)

token: $(STAMP) ## Create a token for a caller; ARGS="name --role generate" >> tokens.toml
	@$(PY) -m services.edge.new_token $(ARGS)

sheets: $(STAMP) ## Draw sheets of a model: mechanisms, counterfactuals; ARGS="wildlife_mnist --random 24"
	@$(PY) -m deploy.sheets $(ARGS)

protos: $(STAMP) ## Generate cgn_api/ from protos/
	@$(PY) -m grpc_tools.protoc --proto_path=protos --python_out=. --pyi_out=. --grpc_python_out=. \
	  protos/cgn_api/v1/*.proto

docs: $(STAMP) ## Generate docs/settings.md, the page of environment variables
	@$(PY) -m deploy.settings_page

# Of pip's output, only large downloads and errors are shown.
$(STAMP): $(REQUIREMENTS)
	@python="$(PYTHON)"; \
	for candidate in python3.11 python3.12 python3 python; do \
	  [ -z "$$python" ] || break; \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	    2> /dev/null; then python="$$candidate"; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "error: no Python 3.11 or 3.12 with venv found; install one (Debian: python3.11-venv) or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))'; then \
	  echo "error: PYTHON=$$python must run and be Python 3.11 or 3.12" >&2; exit 1; \
	fi; \
	if ! [ -x $(PY) ]; then \
	  echo "creating $(VENV) with $$("$$python" --version)" >&2; \
	  "$$python" -m venv $(VENV); \
	fi
	@echo "installing the pinned packages into $(VENV); torch is large, the first time takes some minutes" >&2
	@PYTHONUNBUFFERED=1 $(PY) -m pip install --disable-pip-version-check --no-input --progress-bar off \
	  -r requirements.txt -r requirements-dev.txt \
	  | awk '/^ *(Downloading|Using cached) .* MB\)/ { sub(/-.*/, "", $$2); print "  " $$0; fflush() } \
	         /^Installing collected/ { print "  unpacking all of them"; fflush() }' >&2
# So that this environment's Python finds the project's packages from any folder.
	@$(PY) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "cgn-serving.pth").write_text("$(CURDIR)\n")'
	@touch $@

# The compared servers pin other versions of our dependencies. They share torch and the other packages.
$(BENCH_STAMP): $(STAMP) requirements-bench.txt
	@$(PY) -m venv $(BENCH_VENV)
	@$(PY) -c 'import pathlib, sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(BENCH_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	@$(BENCH_VENV)/bin/python -m pip install --disable-pip-version-check --no-input -q -r requirements-bench.txt
	@touch $@
