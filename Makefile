# Everything runs in a virtual environment of its own; the first target that needs it makes it.
#   make PYTHON=python3.13 ...  chooses the interpreter; VENV=... the place; JOBS=... the processes
#   that tests run in

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
N ?= 1000
SOAK_N ?= 25000
SEED ?=
# Processes that share the files of tests; a part of them is run by one.
JOBS ?= $(if $(ARGS),0,2)

PY := $(VENV)/bin/python
INSTALL := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
	$(PY) -m pip install -qq

.DEFAULT_GOAL := help
.PHONY: help demo test check conformance django transparency orm bench fuzz soak format wheel clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## the record shop, bare and wrapped, under the same load (ARGS=--serve keeps it up)
	@$(PY) examples/demo.py $(ARGS)

test: $(VENV)/.dev ## the whole test suite (ARGS="-k tape -x")
	@$(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(VENV)/.dev ## style, types and the arrows between modules
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PY) -m pyright --pythonpath $(PY)
	@$(VENV)/bin/lint-imports --no-logo

conformance: $(VENV)/.dev ## the public HTTP cache tests on real servers; needs Node.js (ARGS="--only wsgi")
	@$(PY) -m tests.conformance $(ARGS)

django: $(VENV)/.dev ## Django's own cache tests on SuiteCache; needs the network once (ARGS=driver)
	@$(PY) -m tests.django_suite $(ARGS)

transparency: $(VENV)/.dev ## the frameworks' own tests, wrapped as bare (ARGS="--only flask")
	@$(PY) -m tests.transparency $(ARGS)

orm: $(VENV)/.dev ## Django's and SQLAlchemy's own ORM tests, rows kept as bare (ARGS="--only django --on sqlite")
	@$(PY) -m tests.orm_suites $(ARGS)

bench: $(VENV)/.dev $(VENV)-peers/.peers ## what the suite costs, against the bare app and its peers
	@$(PY) -m benchmarks $(ARGS)
	@$(PY) -m benchmarks.drivers
	@$(PY) -m benchmarks.observing
	@$(PY) -m benchmarks.statements
	@$(PY) -m benchmarks.rows
	@$(PY) -m benchmarks.django_rows
	@$(PY) -m benchmarks.batches
	@$(VENV)-peers/bin/python -m benchmarks.peers
	@$(PY) -m benchmarks.prepared

fuzz: $(VENV)/.dev ## every property test with N new cases each (N=1000 SEED=random)
	@seed="$(SEED)"; seed="$${seed:-$$($(PY) -c 'import secrets; print(secrets.randbits(32))')}"; \
	echo "fuzz: N=$(N) SEED=$$seed"; \
	N=$(N) SEED=$$seed $(PY) -m pytest -m "hypothesis or fuzz" --timeout=3600 $(ARGS) \
	|| { echo "again: make fuzz N=$(N) SEED=$$seed"; exit 1; }

soak: ## every bar at full size; takes hours
	@$(MAKE) --no-print-directory fuzz N=$(SOAK_N)
	@$(MAKE) --no-print-directory fuzz N=250000 ARGS=tests/fuzz/test_mutations.py
	@$(MAKE) --no-print-directory fuzz N=500000 ARGS=tests/fuzz/test_keys_apart.py
	@$(MAKE) --no-print-directory orm
	@$(MAKE) --no-print-directory bench
	@$(PY) -m benchmarks.advice

format: $(VENV)/.dev ## mend what ruff can mend
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

wheel: $(VENV)/.dev ## build the wheel into dist/
	@$(PY) -m hatchling build -t wheel

clean: ## forget the environment and everything built
	@rm -rf $(VENV) $(VENV)-peers dist build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) says: $$($(PYTHON) -V 2>&1 | tail -n 1)."; \
		echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: its venv or ensurepip module is missing."; \
		echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)-peers/.peers: $(VENV)/.python pyproject.toml benchmarks/peers.txt
	@echo "Installing what the database wing is compared with into $(VENV)-peers (once) ..."
	@$(PYTHON) -m venv $(VENV)-peers
	@$(subst $(PY),$(VENV)-peers/bin/python,$(INSTALL)) \
		-e '.[django,sqlalchemy,sql,redis]' -r benchmarks/peers.txt
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	@echo "Installing what the demo needs into $(VENV) (once; half a minute or so) ..."
	@$(INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml
	@echo "Installing what the tests need into $(VENV) (once; a minute or two) ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.demo
