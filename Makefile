# `make` lists the targets. Every target sets up what it needs; nothing else must be installed first
# but Python 3.11 or newer, Go, and make.
MAKEFLAGS += --warn-undefined-variables
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON  ?= python3
CLUSTER ?= local
IMAGES  ?=
KILLS   ?= 20

# What may be reused is kept outside the checkout, so that `make clean` does not reach it.
export ELASTICJOB_CACHE ?= $(HOME)/.cache/elasticjob
TRAINING := $(ELASTICJOB_CACHE)/training
NEEDS    := examples/digits/requirements.txt
BIN      := .venv/bin
PYTEST   := $(BIN)/python -m pytest
PLAYS    := $(patsubst %,tests/e2e/test_%.py,control_plane surroundings wants)
PEERS    := $(ELASTICJOB_CACHE)/peers
BENCH    := PYTHONPATH=$(PEERS) $(BIN)/python -m benchmarks

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is \
  Python " + sys.version.split()[0] + "; 3.11 or newer is needed: make PYTHON=python3.x ...")'

ifeq ($(and $(filter 1,$(words $(CLUSTER))),$(filter $(CLUSTER),local current kind)),)
$(error CLUSTER=$(CLUSTER) is not known: it is local (this machine), current (your kubectl context) or kind)
endif

ifneq ($(IMAGES),)
ifneq ($(CLUSTER),current)
$(error IMAGES is for CLUSTER=current; with CLUSTER=$(CLUSTER) the images are built here)
endif
endif

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ the two commands

demo: preflight-$(CLUSTER) setup-$(CLUSTER)  ## run an ElasticJob on a real Kubernetes (CLUSTER=local|current|kind)
	@$(BIN)/python -m examples.demo --cluster=$(CLUSTER) $(if $(IMAGES),--image-prefix=$(IMAGES))

test: preflight-local setup-local  ## run every check and test; at the end, say what ran and what did not
	@$(BIN)/python -m tests.run check fast servers cluster

##@ parts of them

demo-down: preflight-$(CLUSTER) .venv/.ready  ## remove all that `make demo` made, but the cache
	@$(BIN)/python -m examples.demo down --cluster=$(CLUSTER)

check: .venv/.ready  ## format, lint, types, import contracts
	@$(BIN)/python -m tests.run check

test-fast: .venv/.ready $(TRAINING)/.ready  ## everything that needs no server, in under a minute
	@$(BIN)/python -m tests.run check fast

test-e2e: setup-local  ## the end-to-end tests on a local cluster
	@$(BIN)/python -m tests.run e2e

test-kills: setup-local  ## kill a worker KILLS times (20) at random moments of one training
	@ELASTICJOB_E2E_KILLS=$(KILLS) $(PYTEST) --capture=no tests/e2e -k random_moments

test-network: setup-network  ## network policies enforced on a local cluster: nobody else reaches a job's pods (2 min)
	@ELASTICJOB_E2E_NETWORK=1 $(PYTEST) --capture=no tests/e2e/test_network.py

test-events: setup-local  ## the events that take long: an operator killed in a loop, a hung API server, a drain (10 min)
	@ELASTICJOB_E2E_EVENTS=1 $(PYTEST) --capture=no $(PLAYS)

scoreboard: .venv/.ready $(TRAINING)/.ready  ## sixteen situations, torch's rendezvous and ours side by side (15 min)
	@$(BIN)/python -m benchmarks.scoreboard

bench: setup-bench  ## measure against torch, and the operator at scale (40 min); writes build/bench.json
	@$(BENCH) --chart=docs/growth.svg

bench-quick: setup-bench  ## the same with fewer and smaller cases, and without a cluster (4 min)
	@$(BENCH) --quick

crds: .venv/.ready  ## write crds/, and the chart's copy, anew from the models
	@$(BIN)/python -m elasticjob_operator crd > crds/elasticjobs.yaml
	@cp crds/elasticjobs.yaml charts/elasticjob/files-crds/

format: .venv/.ready  ## format the code
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix-only .

clean:  ## remove what was made in the checkout; the cache stays
	rm -rf .venv build dist

##@ set-up

# Before a long set-up, say whether the demo can run here at all.
preflight-local:
	@$(CHECK_PYTHON)
	@$(PYTHON) -m localcluster.preflight

preflight-current preflight-kind:

setup-local: .venv/.ready
	@$(MAKE) -s --no-print-directory -j2 $(TRAINING)/.ready binaries

setup-current setup-kind: .venv/.ready

# One test has network policies enforced; its agent is not part of a cluster.
setup-network: setup-local
	@$(BIN)/python -m localcluster build kube-router > /dev/null

# What torch's own backends for etcd need is kept apart: nothing of ours may come to use it.
setup-bench: setup-local
	@$(BIN)/python -m localcluster build kwok > /dev/null
	@test -d $(PEERS) || $(BIN)/pip install --quiet --target $(PEERS) python-etcd==0.4.5

binaries: .venv/.ready
	@$(BIN)/python -m localcluster build > /dev/null

.venv/.ready: pyproject.toml
	@echo "Setting up .venv: the operator, and the tools for its tests (about 1 min)"
	@$(CHECK_PYTHON)
	@test -w . || { echo "$(CURDIR) cannot be written to: make sets up .venv there" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "On Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/pip install --quiet --editable '.[operator,dev]'
	@# torch is 5 GB: the tests use the copy that the pods use.
	@$(BIN)/python -c 'import pathlib, sys, sysconfig; \
	  pathlib.Path(sysconfig.get_path("purelib"), "training.pth").write_text( \
	  "$(TRAINING)/lib/python%d.%d/site-packages" % sys.version_info[:2])'
	@touch $@

$(TRAINING)/.ready: $(NEEDS)
	@cmp -s $(NEEDS) $(TRAINING)/requirements.txt || { \
	  echo "Setting up the training environment: torch and scikit-learn, 5 GB (about 3 min)"; \
	  mkdir -p $(ELASTICJOB_CACHE) && rm -rf $(TRAINING) && $(PYTHON) -m venv $(TRAINING) && \
	  $(TRAINING)/bin/pip install --no-cache-dir --progress-bar off --requirement $(NEEDS) && \
	  cp $(NEEDS) $(TRAINING)/requirements.txt; }
	@touch $@

.PHONY: help demo demo-down test check test-fast test-e2e test-kills test-network test-events scoreboard crds format clean \
  bench bench-quick setup-bench preflight-local preflight-current preflight-kind \
  setup-local setup-current setup-kind setup-network binaries
