# Lowtide's commands. Needs make, a POSIX shell and Python 3.11 to 3.14; everything else goes into .venv.
.POSIX:
.PHONY: help setup run up down test check clean

PORT = 8080
WORKERS = 3
PYTEST_ARGS =
BIN = .venv/bin

help:
	@echo 'make run      the demo: baseline, then a run that waits for a clean grid, and their comparison (PORT=8080)'
	@echo 'make up       start Airflow with its UI on loopback and leave it running (PORT=8080)'
	@echo 'make down     stop what make up started'
	@echo 'make setup    create .venv and install the pinned dependencies (the other targets do this by themselves)'
	@echo 'make test     all tests, in three processes (PYTEST_ARGS="tests/config" for some, WORKERS=0 for one process)'
	@echo 'make check    lint, formatting, types, architecture'
	@echo 'make clean    stop Airflow, remove .airflow and caches; .venv, .data and artifacts stay'

# The first Python of a version that is tried sets .venv up.
setup:
	@for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then \
	    exec "$$python" -m local.bootstrap; \
	  fi; \
	done; \
	echo 'No Python 3.11 to 3.14 was found on PATH; install one (Debian, Ubuntu: apt install python3 python3-venv) and run make again.' >&2; \
	exit 2

# exec: a signal that make passes on must reach the runner itself, not a shell in between.
run: setup
	@exec $(BIN)/python -m local run --port $(PORT)

up: setup
	@exec $(BIN)/python -m local up --port $(PORT)

down:
	@if [ -x $(BIN)/python ]; then exec $(BIN)/python -m local down; else echo 'No Airflow is running here.'; fi

test: setup
	@exec $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy include/lowtide plugins dags local benchmarks
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/architecture

clean:
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m local down; fi
	rm -rf .airflow .import_linter_cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
