# Everything a newcomer needs: run, test, lint, bench. Each sets up the virtualenv itself.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: run test screenshots sim sweep chaos test-servers test-servers-dozen test-docker test-examples test-k8s test-platforms lint bench docs reference release-dry-run clean

run: $(VENV)/.sample
	cd docker/backend && PATH="$(CURDIR)/$(BIN):$$PATH" pidone ecosystem.toml

# Tests wait for half of their time: twice as many at once as there are CPUs, and files of few long tests not last.
# Byte code is kept, and made before the workers start: each would rewrite the assertions of all files for itself.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.ready
	mkdir -p .cache
	$(BIN)/python -m pytest --collect-only -qq --ignore tests/servers $(ARGS) >.cache/collected || { cat .cache/collected; exit 1; }
	$(BIN)/python -m pytest --numprocesses $(or $(WORKERS),$(shell expr 2 '*' $$(nproc))) --dist loadfile --no-loadscope-reorder --ignore tests/servers $(ARGS)

# The whole runtime in a seeded world: `make sim SEEDS=100000`, and `make sim SEED=n` for one that failed.
sim: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m sim $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),20000)) $(ARGS)

# A real runtime, once for each system call, errno and occurrence; goes on where it was left: `make sweep JOBS=4`.
# `ARGS=--share` is the fixed tenth of CI, `--fresh` begins anew, `--show openat:EMFILE:3` tells all about one.
sweep: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m faults $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

# Some fifty real servers, fetched once; what was seen is written to .cache/servers.md.
test-servers: $(VENV)/.ready
	TEST_DEADLINE_S=$(or $(TEST_DEADLINE_S),120) SERVERS_TABLE=.cache/servers.md $(BIN)/python -m pytest tests/servers $(ARGS)

# A dozen of them, with fewer rounds: three minutes on two quiet cores.
test-servers-dozen: $(VENV)/.ready
	TEST_DEADLINE_S=$(or $(TEST_DEADLINE_S),120) $(BIN)/python -m pytest tests/servers $(ARGS)

# Eight apps that nothing spares, and what is left of it afterwards: `make chaos SECONDS=600`, `ARGS="--seed 7"`.
chaos: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m faults.chaos --seconds $(or $(SECONDS),120) $(ARGS)

# The pictures of the documentation, of real runs; needs Chromium.
screenshots: $(VENV)/.ready
	PYTHONPATH=tests:. $(BIN)/python -m pictures docs/pictures

# Real containers; starts an engine and makes base images where there are none.
test-docker: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m docker.session $(ARGS)

# `docker build` of all ten examples, and the line that proves each.
test-examples: $(VENV)/.ready
	EXAMPLES=all PYTHONPATH=tests $(BIN)/python -m docker.session tests/docker/test_examples.py $(ARGS)

# A real cluster; makes one of a single node, for as long as the tests run. CLUSTER=current takes yours.
test-k8s: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m k8s.session $(ARGS)

# The core suite on other machines, kernels, libcs, Pythons and rights; writes the table of docs/platforms.md.
# Takes an hour, and root; `ARGS=--list` names the cells, `ARGS="'arm64'"` plays one.
test-platforms: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m platforms.session $(ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	rm -rf .cache/dist && $(BIN)/hatchling build --directory .cache/dist
	$(BIN)/check-wheel-contents .cache/dist && $(BIN)/twine check --strict .cache/dist/*

bench: $(VENV)/.ready
	$(BIN)/python -m bench $(ARGS)

# The documentation as a site in .cache/site; a link or an anchor that leads nowhere fails.
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

# The pages that are made of what the code says: keys, commands, events, metrics, exit codes, the manual page.
reference: $(VENV)/.ready
	$(BIN)/python .ci/reference.py

# All that a tag does, short of publishing. The wheels need Debian's musl-tools and gcc-aarch64-linux-gnu with
# libc6-dev-arm64-cross, images an engine with buildx; what is missing is told and left out.
release-dry-run: $(VENV)/.ready
	$(BIN)/python .ci/release.py dry-run

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# `run` needs no linters, so it does not wait for them.
$(VENV)/.sample: pyproject.toml runtime/bin/launcher.c runtime/bin/native.h docker/backend/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable . --requirement docker/backend/requirements.txt
	$(BIN)/python -m compileall -q runtime
	touch $@

$(VENV)/.ready: $(VENV)/.sample
	$(BIN)/pip install --quiet --editable '.[dev,servers]'
	$(BIN)/python -m compileall -q runtime
	touch $@

$(VENV)/.docs: $(VENV)/.sample
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@
