# One recipe for each thing that a person does.
.PHONY: setup demo test lint format bench docs lock soak wheel
setup:  ## make .venv and install
	scripts/setup test
demo:  ## hub and five nodes on this machine
	scripts/demo
test:  ## everything that CI runs
	scripts/test
lint:
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports
format:
	.venv/bin/ruff format . && .venv/bin/ruff check --fix .
bench:  ## every benchmark, short
	for script in benchmarks/*.py; do .venv/bin/python $$script --quick --json -; done
soak:  ## long runs that CI leaves out
	.venv/bin/python -m pytest -m soak
docs:  ## regenerate the reference pages that are generated
	.venv/bin/python scripts/generate_docs.py
lock:  ## pin every requirement, with hashes
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/base.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra test -c requirements/base.lock pyproject.toml -o requirements/test.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -c requirements/test.lock requirements/build.in -o requirements/build.lock
wheel:  ## build it
	.venv/bin/python -m build --wheel --no-isolation
