# Two commands do everything: `make demo` and `make test`. All that they need lands inside this checkout
# (.venv, build) and in the user's own cache folder.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
ARGS ?=
# Tests wait for real systems much of their time: one more than two cores have work for.
WORKERS ?= 3
# Tests on a real Kubernetes: each worker has a control plane of its own, which is half a gigabyte and much of a core.
CLUSTERS ?= 2

.PHONY: help
help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

.venv/.demo: requirements/demo.txt pyproject.toml scripts/setup.sh
	@rm -f .venv/.dev
	@scripts/setup.sh "$(PYTHON)" requirements/demo.txt $@

.venv/.dev: requirements/dev.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh "$(PYTHON)" requirements/dev.txt $@
	@touch .venv/.demo

.PHONY: demo
demo: .venv/.demo  ## the whole platform on this machine, with a recorded flight on it (ARGS=--once: until the first anomaly)
	@.venv/bin/upcall demo $(ARGS)

.PHONY: test
test: .venv/.dev  ## all tests, the real systems among them
	@.venv/bin/python tests/browser.py || true
	@.venv/bin/upcall fetch kafka kafka@4.1 cassandra spark windows aircraft
	.venv/bin/pytest -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: long
long: .venv/.dev  ## the tests that take minutes and have a shorter sibling in `make test`, one after the other
	@.venv/bin/upcall fetch kafka kafka@4.1 cassandra cassandra@4.1 spark spark@4.0 windows aircraft
	UPCALL_LONG_TESTS=1 .venv/bin/pytest -n 0 -m long $(ARGS)

.PHONY: test-root
test-root: .venv/.dev  ## what is different for root: users of their own for services, limits, files of others
	@.venv/bin/upcall fetch kafka cassandra spark windows aircraft
	.venv/bin/pytest -n $(WORKERS) --dist loadfile -m root $(ARGS)

.PHONY: kubernetes
kubernetes: kubernetes-played kubernetes-real kubernetes-report  ## all of it against a real Kubernetes: tests with played nodes, as root with real ones, figures

.PHONY: kubernetes-played
kubernetes-played: .venv/.dev  ## its real control plane with played nodes; built once, which takes Go and minutes
	@PYTHONPATH=tests/kubernetes .venv/bin/python -m lab.building >/dev/null
	@PYTHONPATH=tests/kubernetes .venv/bin/python -m lab.building_helm >/dev/null
	UPCALL_KUBERNETES=1 .venv/bin/pytest -n $(CLUSTERS) --dist loadfile $(call noted,played) tests/kubernetes --ignore=tests/kubernetes/containers $(ARGS)

.PHONY: kubernetes-real
kubernetes-real: .venv/.dev  ## the same with three real nodes and containers, as root; says why where it is left out
	@PYTHONPATH=tests/kubernetes .venv/bin/python -m lab.building >/dev/null
	UPCALL_KUBERNETES=1 .venv/bin/pytest -n 0 $(call noted,real) tests/kubernetes/containers $(ARGS)

# What tests note of themselves is the report's, where they ran on the same commit.
noted = --junitxml=build/kubernetes/$(1).xml -o junit_family=xunit1 -o junit_suite_name=$$(git rev-parse HEAD)

.PHONY: kubernetes-report
kubernetes-report: .venv/.dev  ## what is promised of Kubernetes, each figure measured (CELLS=a,b; writes build/kubernetes.json)
	@PYTHONPATH=tests/kubernetes .venv/bin/python -m lab.building >/dev/null
	@.venv/bin/python -m benchmarks.kubernetes $(ARGS)

.PHONY: faults
faults: .venv/.dev  ## two minutes at full rate while the parts are killed; `make test` has a smaller one
	UPCALL_FULL_RATE=1 .venv/bin/pytest -s tests/real/test_fault_run.py $(ARGS)

.PHONY: quick
quick: .venv/.dev  ## the fast tests alone
	.venv/bin/pytest -n $(WORKERS) --dist loadfile -m "not real and not browser" $(ARGS)

.PHONY: explore
explore: .venv/.dev  ## every reachable state of small worlds of the ledger, the bigger ones too, and many random ones (minutes)
	.venv/bin/python -m upcall.operations.checking.explore
	UPCALL_EXPLORE=1 .venv/bin/pytest tests/operations/test_properties.py

.PHONY: lint
lint: .venv/.dev  ## formatter, linter, types, architecture
	.venv/bin/ruff format --check src tests examples benchmarks scripts
	.venv/bin/ruff check src tests examples benchmarks scripts
	.venv/bin/mypy
	.venv/bin/mypy --config-file tests/mypy.ini tests
	.venv/bin/lint-imports
	.venv/bin/python scripts/check_names.py

.PHONY: lock
lock: .venv/.dev  ## pin versions and hashes anew
	@for extra in demo:all dev:dev docs:docs; do \
	  .venv/bin/uv pip compile -q pyproject.toml --extra $${extra#*:} --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements/$${extra%:*}.txt; done

.PHONY: docs
docs: build/docs/.made  ## the documentation as a site, with the pages that are made from the code (build/docs/site/index.html)
	@PYTHONPATH=scripts build/docs/venv/bin/python -m docs_site build/docs/pages
	@build/docs/venv/bin/sphinx-build -q -W --keep-going -b html -c scripts/docs_site build/docs/pages build/docs/site
	@echo "build/docs/site/index.html"

build/docs/.made: requirements/docs.txt pyproject.toml | .venv/.dev
	@.venv/bin/uv venv -q --allow-existing --python .venv/bin/python build/docs/venv
	@.venv/bin/uv pip sync -q --python build/docs/venv/bin/python --require-hashes requirements/docs.txt
	@.venv/bin/uv pip install -q --python build/docs/venv/bin/python --no-deps --editable .
	@touch $@

.PHONY: drain
drain: .venv/.dev  ## two nodes drained under load, Kafka is asked (writes build/drain.json)
	@.venv/bin/python -m benchmarks.drain $(ARGS)

.PHONY: operations
operations: .venv/.dev  ## each operation of a service's life under load (ROUNDS=1: of all; CELLS=a,b; writes build/operations.json)
	@.venv/bin/python -m benchmarks.operations $(ARGS)

.PHONY: availability
availability: .venv/.dev  ## the same events by four ways of consent, under load (ROUNDS=1: all; writes build/availability.json, .svg)
	@.venv/bin/python -m benchmarks.availability $(ARGS)

.PHONY: detect
detect: .venv/.dev  ## detection on labelled faults of other seeds and another flight (writes build/detect.json)
	@.venv/bin/python -m benchmarks.detect $(ARGS)

.PHONY: source
source: .venv/.dev  ## speed of generating, packing, unpacking (writes build/source.json)
	@.venv/bin/python -m benchmarks.source $(ARGS)

.PHONY: turns
turns: .venv/.dev  ## what an event costs the master, with little and with much on record (writes build/turns.json)
	@.venv/bin/python -m benchmarks.turns $(ARGS)

.PHONY: crash-points
crash-points: .venv/.dev  ## master and host die at every point of every change of a service (REAL=1: at seeded instants, of a real Kafka)
	@.venv/bin/python -m benchmarks.$(if $(REAL),real_,)crash_points $(ARGS)

.PHONY: attack
attack: .venv/.dev  ## another user and a hostile task attack a running cluster; needs root (writes build/attack.json)
	@.venv/bin/python -m benchmarks.attack $(ARGS)

.PHONY: idle
idle: .venv/.dev  ## what the platform itself takes while nothing happens (writes build/idle.json)
	@.venv/bin/python -m benchmarks.idle $(ARGS)

.PHONY: newcomer
newcomer: .venv/.dev  ## a first message and a first job from the wheel alone, without root (COLD=1: empty caches; writes build/newcomer.json)
	@.venv/bin/python scripts/dist.py >/dev/null
	@PATH=$$PWD/.venv/bin:$$PATH .venv/bin/python -m benchmarks.newcomer $(ARGS)

.PHONY: pytest-plugin
pytest-plugin: .venv/.dev  ## what a person's tests wait for with the plug-in of pytest (writes build/pytest_plugin.json)
	@.venv/bin/upcall fetch kafka cassandra spark
	@.venv/bin/python -m benchmarks.pytest_plugin $(ARGS)

.PHONY: dist
dist: .venv/.dev  ## a wheel in dist/, the same bytes each time: `uv tool install dist/upcall-*.whl` (pipx, pip) needs no checkout
	@.venv/bin/python scripts/dist.py $(ARGS)

.PHONY: clean
clean:  ## removes what was made in this checkout
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
