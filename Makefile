# Two targets do all the set-up: `make run` serves the playground, `make test` passes the tests on a fresh machine.

HOST ?= 127.0.0.1
PORT ?= 8000
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check bench clean

run: .make/install
	$(BIN)/realtime serve --host $(HOST) --port $(PORT)

test: .make/test-tools check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n 2 -q tests

# Style, types and layers: what needs no running.
check: .make/install-test
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .make/install-test .make/peers/installed
	$(BIN)/python -m benchmarks

.venv/bin/python:
	$(PYTHON) -m venv .venv

.make/install: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@mkdir -p .make && touch $@

.make/install-test: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q "pip>=25.1"
	$(BIN)/python -m pip install -q -c constraints.txt -e . --group test
	@mkdir -p .make && touch .make/install $@

# Chromium for the playground, Node for the JavaScript client and for the upstream that others wrote.
.make/test-tools: tests/tools.sh tests/aimock/package-lock.json .make/install-test
	sh tests/tools.sh
	@mkdir -p .make && touch $@

# Servers to compare with. One that cannot be installed is a row that says so, so failing here fails nothing.
.make/peers/installed: benchmarks/peers.sh | .make/install-test
	-sh benchmarks/peers.sh && touch $@

clean:
	rm -rf .venv .make build dist *.egg-info tests/aimock/node_modules
