# One command runs it (`make run`), one tests it (`make test`). Both need Python >= 3.11 and nothing else.

VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help install run test coverage test-long test-matrix lint lock bench bench-peers

# The first Python that will do. PYTHON=/path/to/python overrides.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3.14 python3 python; do \
	command -v $$name >/dev/null 2>&1 && \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && \
	echo $$name && break; done)

# The local shape, whatever database is set; and the tests' settings, which have keys and need no database.
LOCAL := MAILCONF_LOCAL=1
CHECKED := DJANGO_SETTINGS_MODULE=tests.settings

# Where it is set Python compiles again in each process: four that run tests, hundreds that these start.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make run          start everything on this machine; Ctrl-C stops it"
	@echo "make test         run the tests"
	@echo "make coverage     run the tests and count the lines they reach"
	@echo "make install      make the environment in $(VENV) alone, with the tools of development"
	@echo "make lint         check style, types, imports, templates and migrations"
	@echo "make test-long    run the tests that take minutes"
	@echo "make test-matrix  run the tests on Python 3.13 with Django 6.1"
	@echo "make lock         write requirements.lock and requirements-dev.lock anew"
	@echo "make bench        measure"
	@echo "make bench-peers  install what the measurements compare with, in an environment of its own"

# A stamp is newer than its lock when the environment holds what the lock says.
$(VENV)/run.stamp: requirements.lock
	@test -n "$(PYTHON)" || { echo "mailconf needs Python 3.11 or newer with venv and ensurepip\
	 (Debian: apt install python3-venv). Name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "Installing the tools of development …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/dev.stamp

# exec: the one process that make waits for is the one that hears Ctrl-C.
run: $(VENV)/run.stamp
	@$(LOCAL) exec $(BIN)/python manage.py up

test: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest -n 4 --dist worksteal -m "not long" $(ARGS)

# Apart from the tests: counting lines doubles their time.
coverage: $(VENV)/dev.stamp
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n 4 --dist worksteal -m "not long" $(ARGS)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report --format=total --precision=1 | sed 's/^/coverage %: /'

test-long: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest -m long $(ARGS)

# The other end of what is supported: the newest Django on another Python.
MATRIX_PYTHON ?= $(shell for name in python3.13 $$HOME/.pyenv/versions/3.13.*/bin/python3.13; do \
	command -v $$name >/dev/null 2>&1 && $$name -c 'import venv, ensurepip' >/dev/null 2>&1 && \
	echo $$name && break; done)

test-matrix:
ifeq ($(MATRIX_PYTHON),)
	@echo "test-matrix was NOT run: there is no python3.13 on this machine."
else
	@test -x .venv-matrix/bin/python || $(MATRIX_PYTHON) -m venv .venv-matrix
	@.venv-matrix/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@.venv-matrix/bin/python -m pip install --quiet --disable-pip-version-check "django>=6.1,<6.2"
	@.venv-matrix/bin/python -m pytest -n 2 -m "not long and not browser" $(ARGS)
endif

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@git ls-files -z 'templates/*.html' '*/templates/*.html' | xargs -0 -r $(BIN)/djade --check --target-version 5.2
	@$(CHECKED) $(BIN)/python manage.py makemigrations --check --dry-run
	@$(CHECKED) $(BIN)/python manage.py check

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv (pip install uv)" >&2; exit 1; }
	@$(LOCK) pyproject.toml -o requirements.lock
	@$(LOCK) pyproject.toml --group dev -o requirements-dev.lock

bench: $(VENV)/dev.stamp
	@for name in wire drain scale backlog latency enqueue burst memory pages; do $(BIN)/python -m bench $$name || exit 1; done

# What it is compared with must not meet our own environment: it brings a Django app each.
bench-peers:
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/requirements-peers.txt
