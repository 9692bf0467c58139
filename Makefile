# Everything that is built, downloaded or installed goes to .cache/ and bin/; `make clean` removes both.
# System packages (fuse3, and for tests chromium and gcc) are installed with apt-get when you are root; otherwise one line
# says which command installs them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

CACHE := $(CURDIR)/.cache
BIN := bin/jupyter-drive
RUN_VENV := $(CACHE)/run-venv
TEST_VENV := $(CACHE)/venv
LINTER := $(CACHE)/bin/golangci-lint
VERSITYGW := $(CACHE)/bin/versitygw
NODE_MODULES := integration/node/node_modules
LAB := jupyterapi/labapp/dist/lab.tar.zst

# Passed to `jupyter-drive up` by `make run`.
ARGS ?=

# Tests find the pinned Python and its packages first.
TESTRUN := PATH="$(TEST_VENV)/bin:$$PATH" JUPYTER_DRIVE_TEST_PYTHON="$(TEST_VENV)/bin/python" go run ./integration/testrun

.PHONY: help
help: ## print what the targets do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: run
run: $(RUN_VENV)/.installed build | need-run ## serve a sample drive: install what is missing, build, mount, print the address
	exec $(BIN) up --python $(RUN_VENV)/bin/python $(ARGS)

.PHONY: build
build: ui ## build bin/jupyter-drive with the front end in it
	@go build -trimpath -ldflags='-s -w' -o $(BIN) ./cmd/jupyter-drive

.PHONY: ui
ui: $(LAB) ## fetch and pack the JupyterLab front end

$(LAB): $(shell find jupyterapi/labapp -path '*/dist' -prune -o -type f -print) | need-python
	@go run ./jupyterapi/labapp/internal/pack
	@touch $@

.PHONY: test
test: test-tools $(LINTER) ## all that CI runs; the last line counts what passed, failed and was skipped
	@$(TESTRUN) lint unit integration browser

.PHONY: lint
lint: $(LINTER) ## check style, layers and comments
	@$(TESTRUN) lint

.PHONY: unit
unit: test-tools ## unit tests with the race detector
	@$(TESTRUN) unit

.PHONY: integration
integration: test-tools ## the built program against real clients and servers
	@$(TESTRUN) integration

.PHONY: browser
browser: test-tools ## JupyterLab in a headless browser, on our server and on a stock one
	@$(TESTRUN) browser

.PHONY: quick
quick: test-tools $(LINTER) ## lint of what changed since BASE (HEAD) and unit tests without the race detector
	@$(TESTRUN) changed quick

.PHONY: conformance
conformance: test-tools $(CACHE)/cargo/bin/pjdfstest ## the full counts: Jupyter's own tests, pjdfstest, the long runs
	@JUPYTER_DRIVE_TEST_FULL=1 $(TESTRUN) conformance

.PHONY: bench
bench: test-tools ## tables beside the peers that can be installed
	@PATH="$(TEST_VENV)/bin:$$PATH" go run ./integration/bench
	@go run ./integration/bench buckets
	@PATH="$(TEST_VENV)/bin:$$PATH" go run ./integration/bench crdt

.PHONY: fuzz
fuzz: ## run each fuzz target for a bounded time
	@$(TESTRUN) fuzz

.PHONY: clean
clean: ## remove what was built and downloaded
	@rm -rf $(CACHE) bin $(NODE_MODULES) $(LAB)

# What the targets above need.

.PHONY: need-python need-run need-test
need-python:
	@.ci/need python3-venv 'python3 -c "import ensurepip, venv"'

need-run:
	@.ci/need fuse3 'command -v fusermount3'

need-test: need-python need-run
	@.ci/need gcc 'command -v cc' libc6-dev 'test -e /usr/include/stdlib.h' nodejs 'command -v node' npm 'command -v npm' \
	  chromium 'command -v chromium || command -v chromium-browser || command -v google-chrome' \
	  git 'command -v git' rsync 'command -v rsync' vim 'command -v vim'

.PHONY: test-tools
test-tools: ui $(TEST_VENV)/.installed $(NODE_MODULES)/.installed $(VERSITYGW) | need-test

$(RUN_VENV)/.installed: integration/python/kernel.txt
$(TEST_VENV)/.installed: integration/python/test.txt integration/python/kernel.txt
$(RUN_VENV)/.installed $(TEST_VENV)/.installed: | need-python
	@echo "installing $< into $(@D)" >&2
	@rm -rf $(@D)
	@python3 -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(NODE_MODULES)/.installed: integration/node/package-lock.json | need-test
	@echo "installing Node packages" >&2
	@npm ci --prefix integration/node --ignore-scripts --silent
	@touch $@

$(LINTER): .ci/tools/go.mod .ci/tools/go.sum
	@echo "building golangci-lint (two minutes on two cores)" >&2
	@go build -C .ci/tools -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(VERSITYGW): integration/servers/go.mod integration/servers/go.sum
	@echo "building versitygw (three minutes on two cores)" >&2
	@go build -C integration/servers -trimpath -ldflags='-s -w' -o $@ github.com/versity/versitygw/cmd/versitygw

$(CACHE)/cargo/bin/pjdfstest:
	@.ci/need cargo 'command -v cargo'
	@echo "building pjdfstest" >&2
	@cargo install --quiet pjdfstest --version 0.2.2 --locked --root $(CACHE)/cargo
