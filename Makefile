# Two commands: `make demo` shows the main job, `make test` runs everything that judges a change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
REQUIRE := $(CURDIR)/.ci/require

.PHONY: demo demo-broken test soak check bench docs lock clean help

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

demo: $(VENV)/.demo  ## install into .venv, run every example as a test, say where the results are
	$(BIN)/pytest --nbci examples
	@echo
	@echo "Executed notebooks, pages and records: examples/.nbci/results"
	@echo "Past runs in the MLflow UI:  $(BIN)/mlflow ui --backend-store-uri sqlite:///examples/.nbci/mlflow.db"

demo-broken: $(VENV)/.demo  ## run one notebook for each way to fail, to see how it reads
	-$(BIN)/pytest $(wildcard examples/broken/*.ipynb examples/broken/*/*.ipynb)

test: check $(VENV)/.minio  ## static checks, then all tests with coverage
	$(BIN)/python -m compileall -q pytest_nbci  # hundreds of processes import it
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile -m "not pipeline and not soak"
	$(BIN)/pytest -m pipeline tests/pipeline
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --show-missing

soak: $(VENV)/.minio  ## what repeats or takes long: kill storms, reruns, floods; nothing is skipped
	NBCI_TEST_REQUIRE_ALL=1 $(BIN)/pytest -v -m soak tests/soak

check: $(VENV)/.dev  ## lint, types, layers, spelling, packaging
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml
	rm -rf dist && $(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	$(BIN)/check-wheel-contents dist
	$(BIN)/pytest -q -p no:cacheprovider tests/test_layers.py

bench: $(VENV)/.dev  ## compare with the other ways to run notebooks; takes an hour, wants an idle machine
	$(BIN)/python benchmarks/speed.py --thousand

docs: $(VENV)/.dev  ## write the generated pages of docs/
	$(BIN)/python docs/generate.py

lock: $(VENV)/.dev  ## resolve the versions that make installs
	$(PIP) install uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	  pyproject.toml --all-extras --group test --group check examples/requirements.txt -o requirements.lock

clean:           ## remove what make made
	rm -rf $(VENV) examples/.nbci .coverage* dist

$(BIN)/python:
	@$(REQUIRE) python $(PYTHON)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml requirements.lock examples/requirements.txt | $(BIN)/python
	$(PIP) install -c requirements.lock -e '.[ui,xdist]' -r examples/requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install -c requirements.lock --upgrade 'pip>=25.1'
	$(PIP) install -c requirements.lock --group test --group check
	@touch $@

# Without Go, the tests that need MinIO are skipped and say so.
$(VENV)/.minio: $(VENV)/.dev .ci/install-minio
	.ci/install-minio || [ -z "$$NBCI_TEST_REQUIRE_ALL" ]
	@touch $@
