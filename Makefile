# Every target stands alone in a clean clone: it makes or installs what it needs, or says exactly what to install.
# Only Python >= 3.11 and make are presumed. ARGS is handed to the program a target runs.

PYTHON ?=
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help venv demo test check format lint types layers stubs contract proto bench test-clients audit clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

venv: $(STAMP) ## make .venv with the package (editable) and the development tools

$(STAMP): pyproject.toml scripts/venv.sh scripts/need.sh
	@scripts/venv.sh "$(PYTHON)"
	@touch $@

demo: $(STAMP) ## show it live on a demo mailbox (ARGS=--once ends by itself)
	@scripts/need.sh dovecot || echo "going on with pymap instead, which cannot show keywords" >&2
	@$(BIN)/mailsync demo $(ARGS)

# Tests wait more than they compute: a process more than CI has cores. A file's tests share one, and so their fixtures.
test: $(STAMP) ## run the whole test suite, with a real Dovecot (ARGS="-k name")
	@scripts/need.sh dovecot promtool
	$(BIN)/pytest --quiet --durations=10 --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

check: format lint types layers stubs contract ## format, lint, types, import layers, generated code, contract

format: $(STAMP) ## is the code formatted?
	$(BIN)/ruff format --check .

lint: $(STAMP) ## does the linter agree?
	$(BIN)/ruff check .

types: $(STAMP) ## do the types hold?
	$(BIN)/mypy

layers: $(STAMP) ## do imports follow the layers?
	$(BIN)/lint-imports --no-logo

stubs: $(STAMP) ## are the generated stubs those of the .proto files?
	scripts/stubs-current.sh

contract: $(STAMP) ## is the contract well formed, and compatible with the last one?
	$(BIN)/buf lint
	$(BIN)/buf breaking proto --against proto/baseline.binpb

proto: $(STAMP) ## regenerate the stubs from proto/
	proto/generate.sh

bench: $(STAMP) ## measure against the raw wire (ARGS="--quick", ARGS="--json")
	@scripts/need.sh dovecot
	$(BIN)/python -m benchmarks $(ARGS)

test-clients: $(STAMP) ## run the clients' own tests against the real server
	@scripts/need.sh dovecot
	scripts/test-clients.sh

audit: $(STAMP) ## look the dependencies up in an advisory database (needs the network)
	scripts/audit.sh $(ARGS)

clean: ## remove the environment, caches and build results
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
