# `make repro` and `make test` need Python 3.11 or newer, git and nothing else: both make their own environment.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: help install repro smoke test test-all check lint bench bench-gpu stress audit docs site show clean

help:
	@echo "make install LOCKED=1   a new environment with the very versions of the committed results (requirements.lock)"
	@echo "make repro   run the default benchmark, print its answer and tables; other experiments: experiments/README.md"
	@echo "make show    print the tables of the last run"
	@echo "make smoke   run every experiment's graph in small, on embedded images and models"
	@echo "make test    run the tests: every promise, for some of its values"
	@echo "make test-all  run all tests: every promise for all its values (each experiment, network, attack of a library)"
	@echo "make bench   measure speed beside other libraries, agreement with a plain loop, scaling; an hour on two cores"
	@echo "make bench-gpu  gradients a second of large networks on an NVIDIA GPU, and agreement with the CPU; eight minutes"
	@echo "make stress  kill, fill disks and feed broken files for an hour; rewrites the table in docs/reliability.md"
	@echo "make audit   look for known holes in the versions of both locks (pip-audit)"
	@echo "make docs    tutorials, guides, reference and the library's API as a site, in .crossfool/site"
	@echo "make site    the leaderboard as a page, in .crossfool/leaderboard; BEFORE=REVISION adds changes of ranks since then"
	@echo "make check   ruff, mypy and the tests"
	@echo "make clean   remove what can be made again (not the DVC cache)"

install: .venv/installed

# pip would compile every module that it installs, most of them torch's, and take half of its processor time for it;
# Python compiles the few that are imported, once, where it may keep them.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := pip install --quiet --no-compile

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(INSTALL) $(if $(LOCKED),--requirement requirements.lock) --editable .
	touch $@

.venv/tested: .venv/installed tests/requirements-peers.txt
	$(INSTALL) $(if $(LOCKED),--requirement requirements.lock --requirement requirements-extras.lock) --editable '.[test]'
	$(INSTALL) --no-deps --requirement tests/requirements-peers.txt
	touch $@

repro: install
	crossfool repro .
	crossfool show .

smoke: install
	crossfool smoke

show: install
	crossfool show .

# Files stay together, for their fixtures, and begin in the order of tests/conftest.py: the longest first.
PYTEST := pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: .venv/tested
	$(PYTEST) -m "not exhaustive"

test-all: .venv/tested
	$(PYTEST)

lint: .venv/tested
	ruff check .
	ruff format --check .
	mypy

check: lint test

# The machine has to have nothing else to do meanwhile.
bench: .venv/tested
	mkdir -p .crossfool/bench
	python benchmarks/throughput.py --json .crossfool/bench/throughput.json --markdown .crossfool/bench/throughput.md
	python benchmarks/plot.py .crossfool/bench/throughput.json .crossfool/bench/throughput.png
	python benchmarks/agreement.py --json .crossfool/bench/agreement.json --markdown .crossfool/bench/agreement.md
	python benchmarks/scaling.py --json .crossfool/bench/scaling.json --markdown .crossfool/bench/scaling.md
	python benchmarks/startup.py --markdown .crossfool/bench/startup.md
	python benchmarks/threads.py --markdown .crossfool/bench/threads.md
	python benchmarks/engines.py --json .crossfool/bench/engines.json --markdown .crossfool/bench/engines.md
	python benchmarks/decoding.py --markdown .crossfool/bench/decoding.md
	@echo "results in .crossfool/bench"

bench-gpu: .venv/tested
	mkdir -p .crossfool/bench
	python benchmarks/gpu.py --json .crossfool/bench/gpu.json

stress: .venv/tested
	python stress/run.py --write

# Known holes in the pinned versions; asks PyPI's advisory database. One has no mended release: docs/reliability.md.
audit: .venv/installed
	$(PYTHON) -m venv .crossfool/audit
	.crossfool/audit/bin/pip install --quiet pip-audit
	.crossfool/audit/bin/pip-audit --requirement requirements.lock --requirement requirements-extras.lock \
		--requirement tests/requirements-peers.txt --no-deps --disable-pip --ignore-vuln CVE-2025-69872

docs: .venv/installed
	pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet
	@echo 'the site: .crossfool/site/index.html; with its search: python -m http.server --directory .crossfool/site'

site: .venv/installed
	python tools/leaderboard_site.py $(if $(BEFORE),--before $(BEFORE))

clean:
	rm -rf .venv .crossfool .pytest_cache .mypy_cache .ruff_cache
