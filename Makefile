# Every verb of the project. `make help` lists them; each one sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RAY := .venv-ray
export DAGSTER_DISABLE_TELEMETRY := 1
export FEAST_USAGE := False
export PYTHONWARNINGS ?= ignore
# A training whose threads spin while they wait takes 30 s instead of 3 s when anything else uses one of two cores.
export OMP_WAIT_POLICY ?= passive

.PHONY: help setup setup-ray demo examples drill drills sample ui test test-fast test-graph test-integration test-live test-reproducibility lint types lock stop clean

help: ## list the verbs
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv from the hashed lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; set PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

setup-ray: $(RAY)/.ready ## make .venv-ray, the environment of the server on Ray, from its own lock

$(RAY)/.ready: deploy/ray/requirements.lock
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r deploy/ray/requirements.lock
	$(RAY)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## play the life of a model on real flights (about 5 minutes)
	$(BIN)/mlops demo

sample: setup ## the whole graph on a few days, and the digest of all it makes (about a minute)
	$(BIN)/mlops sample

ui: setup ## Dagster's web UI, daemon and sensors, with the model server and the registry beside them
	$(BIN)/mlops up

test: lint types test-fast test-graph test-integration ## every test that needs no running Dagster

test-fast: setup ## unit, property and house tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile --durations=15 -m "not graph and not integration and not live" mlops_assets_tests

test-graph: setup ## the assets, sensors and commands on twins that lived three weeks, in process
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile --durations=15 -m "graph and not integration and not live" mlops_assets_tests

test-integration: setup ## tests against real parts on loopback
	$(BIN)/pytest -q -n 2 --dist loadfile --durations=15 -m "integration" mlops_assets_tests

test-live: setup ## dagster dev, daemon and server as processes; sensors really fire
	$(BIN)/pytest -q --durations=15 -m "live" mlops_assets_tests

test-reproducibility: setup ## the sample with one thread and with two: equal digests of data, training sets and models
	@mkdir -p state
	for n in 1 2; do MLOPS_STATE=state/sample-$$n OMP_NUM_THREADS=$$n $(BIN)/mlops sample --threads $$n --json \
		> state/sample-$$n.line && $(BIN)/python -m json.tool state/sample-$$n.line state/sample-$$n.json || exit 1; done
	diff state/sample-1.json state/sample-2.json && cat state/sample-1.json

lint: setup ## ruff and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --config setup.cfg

types: setup ## pyright on the floors below assets
	$(BIN)/pyright

drill: setup ## practise incidents on a copy of the running system: make drill NAMES="registry_down inverted_labels"
	$(BIN)/mlops drill $(NAMES)

drills: setup ## every incident on copies of a small system made for it; writes docs/drills.md
	$(BIN)/mlops drill --all --on base --write docs/drills.md

examples: setup ## cards of two versions and their difference into docs/examples/ (after `make demo`)
	rm -rf docs/examples && mkdir -p docs/examples
	for version in 1 2; do $(BIN)/mlops card export $$version docs/examples/version-$$version; done
	$(BIN)/mlops card diff 1 2 > docs/examples/difference.txt

bench-%: setup ## measure beside peers: writes docs/benchmarks/
	$(BIN)/python -m benchmarks.$*

COMPILE := uv pip compile --generate-hashes --no-emit-index-url --no-header --quiet --python-version 3.11
lock: ## resolve pyproject.toml anew into the four locks (needs uv)
	$(COMPILE) pyproject.toml --group dev --output-file requirements.lock
	$(COMPILE) pyproject.toml --constraint requirements.lock --no-annotate --output-file deploy/pipeline.lock
	$(COMPILE) --group server --constraint requirements.lock --no-annotate --output-file deploy/server.lock
	$(COMPILE) --group ray --constraint requirements.lock --no-annotate --output-file deploy/ray/requirements.lock

stop: ## end the servers that were started
	-@test -x $(BIN)/mlops && $(BIN)/mlops stop

clean: stop ## take the state away
	rm -rf state
