# `make demo` and `make test` install what is missing and run; nothing else is needed beside Swift.
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find Sources python/src -type f) Package.swift setup.py pyproject.toml \
  python/vqswift/__init__.py
# With or without oneDNN: one of the two stands in the environment.
INSTALLED := $(VENV)/.installed-$(or $(VQSWIFT_ONEDNN),auto)
# SwiftPM obeys CC and CXX, and gcc does not understand its flags.
unexport CC CXX

.PHONY: demo test swift-test py-test plain-test test-older-cpus test-peers torture torture-short bench peers install system docs \
  test-docs notebooks site-tools swift-docs wheel try-wheel lint types clean

demo: install
	$(PYTHON) -m vqswift demo

test: swift-test py-test

swift-test: system
	swift test

# Tests that time something, or fill the machine, run alone.
ALONE := $(addprefix pytests/,$(addsuffix .py,processes/test_interrupts processes/test_process_end \
  processes/test_termination processes/test_threads project/test_benchmarks \
  quantizers/test_few_vectors quantizers/test_search_extremes))

# Of two processes at once each takes one thread; tests that compare numbers of threads set them.
py-test: install
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n 2 pytests --ignore=pytests/peers --ignore=pytests/site \
	  $(addprefix --ignore=,$(ALONE))
	$(PYTHON) -m pytest -q $(ALONE)

# What uses oneDNN, without it; the kernels stay built.
plain-test: system
	VQSWIFT_ONEDNN=0 swift test --filter '^VQ(Tensor|NN|Models)Tests'

# The kernels on emulated older CPUs.
test-older-cpus: install
	scripts/test-older-cpus

# Agreement with torch, faiss, scikit-learn and vector-quantize-pytorch, which it installs.
test-peers: peers
	$(PYTHON) -m mypy --strict python/vqswift
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n 2 pytests/peers

# The campaigns against faults of torture/README.md: hours. TORTURE="--only calls --minutes 10" bounds them.
torture: peers
	scripts/torture $(TORTURE)

# A few cases of each.
torture-short: peers
	scripts/torture --short $(TORTURE)

# All benchmarks and the table of benchmarks/README.md; BENCH has further arguments.
bench: peers
	$(PYTHON) -m benchmarks.all $(BENCH)

# The site, in `site`; warnings are errors.
docs: site-tools
	$(PYTHON) -m mkdocs build

# It once more, elsewhere: its links, what the reference has, that no page loads from another host; notebooks.
test-docs: site-tools
	$(PYTHON) -m pytest -q pytests/site

# The notebooks' outputs.
notebooks: site-tools
	$(PYTHON) -m jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False docs/notebooks/*.ipynb

site-tools: install
	$(PIP) "vqswift[docs]"

# The reference of the Swift modules, in `site/swift`: after `make docs`, which empties `site`.
swift-docs: system
	scripts/build-swift-docs site/swift

# The manylinux wheel and the source archive, in `dist`.
wheel: install
	$(PIP) "vqswift[wheel]"
	scripts/build-wheel dist

# The wheel in bare environments, on an emulated Haswell, and with PyTorch by its extra; TRY has other
# arguments of the script.
TRY ?= --torch dist/vqswift-*.whl
try-wheel:
	scripts/try-wheel $(TRY)

install: $(INSTALLED)

peers: install
	$(PIP) "vqswift[peers]"

system:
	@scripts/install-system-packages

$(VENV)/.created: | system
	python3 -m venv $(VENV)
	@touch $@

$(INSTALLED): $(VENV)/.created $(SOURCES)
	$(PIP) --editable ".[train,test]"
	@rm -f $(VENV)/.installed-* && touch $@

# What is for PyTorch is checked where PyTorch is: with the peers.
lint: install
	$(PIP) "vqswift[dev]"
	swift format lint --strict --recursive Sources Tests examples/swift/Sources \
	  examples/swift/Package.swift Package.swift
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy --strict --exclude '^python/vqswift/torch/' python/vqswift
	$(VENV)/bin/clang-format --dry-run -Werror python/src/*.[ch] pytests/boundary/c/*.c examples/c/*.c \
	  Sources/CPlatform/*.c Sources/CPlatform/include/*.h Sources/CVQSwift/include/*.h

# The other type checker, which brings an engine of 280 MB.
types: install
	$(PIP) basedpyright
	$(VENV)/bin/basedpyright --pythonpath $(PYTHON)

clean:
	rm -rf .build build dist site $(VENV) python/vqswift/*.so
