# Everything a newcomer needs: `make demo` and `make test` set up their own environment first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ORACLES := $(VENV)/oracles/.ready
OUT ?= runs/demo
ALGORITHM ?= reptile
LOWEST_PYTHON ?= python3.10
PYTHONS ?= python3.12 python3.13
# The library's tests that need nothing but the library; the others compare with packages that have no old versions to go with.
LOWEST_TESTS := $(addprefix tests/,$(addsuffix .py,test_checking test_checkpoint test_losses test_pair test_sources test_tasks test_trainer \
	training/test_outer_step models/test_dcgan models/test_pix2pix models/test_registry)) tests/game tests/algorithms

.DEFAULT_GOAL := help
.PHONY: help setup demo glyphs test lint docs dist lowest pythons soak bench bench-gpu bench-starts clean

help:  ## Show what each target does.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Create .venv and install the library, MetaPix and the packaged clips into it.

$(STAMP): pyproject.toml examples/metapix/pyproject.toml examples/fewshot_glyphs/requirements.txt constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed but was not found; name yours with make PYTHON=..." >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch torchvision
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,perceptual,onnx,hub,docs]" --editable examples/metapix -r examples/fewshot_glyphs/requirements.txt
	# Only the package's video files are used; its own dependencies are not needed for them.
	$(BIN)/python -m pip install --quiet --no-deps pose2sim==0.10.49
	# PySceneDetect asks for opencv-python, whose files would lie over those of opencv-contrib-python, which mediapipe asks for.
	$(BIN)/python -m pip install --quiet --no-deps scenedetect==0.7.2
	$(BIN)/python -m pip install --quiet tqdm platformdirs
	touch $(STAMP)

demo: $(STAMP)  ## Train, score and retarget a real person; ends in a table, runs/demo/report.html and a video.
	$(BIN)/metapix demo --out $(OUT)

glyphs: $(STAMP)  ## Few-shot fonts with a GAN of one's own: a table and runs/glyphs.png (ALGORITHM=reptile, fomaml or maml).
	mkdir -p runs
	$(BIN)/python examples/fewshot_glyphs/glyphs.py --algorithm $(ALGORITHM) --out runs/glyphs.png

# Libraries that the tests compare with. learn2learn does not compile on Python 3.11: the plain Python of its release is enough.
$(ORACLES): $(STAMP)
	rm -rf $(VENV)/oracles && mkdir -p $(VENV)/oracles
	$(BIN)/python -m pip download --quiet --no-deps --no-binary learn2learn --dest $(VENV)/oracles learn2learn==0.2.0
	tar -xzf $(VENV)/oracles/learn2learn-0.2.0.tar.gz -C $(VENV)/oracles --strip-components=1 learn2learn-0.2.0/learn2learn
	touch $(ORACLES)

lint: $(STAMP)  ## Check style (ruff) and types (mypy).
	$(BIN)/ruff check gan_meta examples benchmarks tests docs/_site
	$(BIN)/ruff format --check gan_meta examples benchmarks tests docs/_site
	MYPYPATH=examples/metapix $(BIN)/mypy
	$(BIN)/mypy examples/fewshot_glyphs/glyphs.py

test: lint $(ORACLES)  ## Lint, then run all tests.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2  # a thread for each of the two processes, and the same sums in all of them

soak: $(STAMP)  ## The long tests: a million damaged files and 100,000 guided ones, 100 kills, 2,000 iterations (an hour or two).
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[soak]"
	GAN_META_SOAK=1 $(BIN)/python -m pytest tests/distributed
	$(BIN)/python -m tests.soak.memory 2000
	$(BIN)/python -m tests.soak.fuzz 1000000
	$(BIN)/python -m tests.soak.guided 100000

docs: $(STAMP)  ## Build the documentation into site/, strictly and offline.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

dist: $(STAMP)  ## Build wheels and source archives of the library and of MetaPix into dist/.
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --outdir dist examples/metapix

lowest: dist  ## Install the wheel with the oldest allowed versions on Python 3.10 and run the library's tests with it.
	rm -rf $(VENV)/lowest
	$(LOWEST_PYTHON) -m venv $(VENV)/lowest
	$(VENV)/lowest/bin/pip install --quiet --constraint constraints-lowest.txt dist/gan_meta-*.whl pytest pytest-xdist hypothesis
	cp -r tests $(VENV)/lowest/tests
	cd $(VENV)/lowest && bin/python -m pytest -q -n 2 $(LOWEST_TESTS)

pythons: dist  ## Install the wheel on other Pythons (PYTHONS=...), with the newest versions, and run the library's tests with each.
	for python in $(PYTHONS); do \
		rm -rf $(VENV)/other && $$python -m venv $(VENV)/other && \
		$(VENV)/other/bin/pip install --quiet dist/gan_meta-*.whl pytest pytest-xdist hypothesis && \
		cp -r tests $(VENV)/other/tests && \
		(cd $(VENV)/other && OMP_NUM_THREADS=1 bin/python -m pytest -q -n 2 $(LOWEST_TESTS)) || exit 1; \
	done

bench: $(STAMP)  ## Time the claims about speed on a CPU (a quarter of an hour) into runs/bench/results.json.
	$(BIN)/python benchmarks/all.py

bench-gpu: $(STAMP)  ## The same at GPU sizes, on a GPU (ten minutes).
	$(BIN)/python benchmarks/all.py --plan gpu --json runs/bench/results-gpu.json

bench-starts: $(STAMP)  ## Repeat the demo's comparison over five seeds (about half an hour).
	$(BIN)/python benchmarks/starts.py

clean:  ## Remove the environment; results in runs/ stay.
	rm -rf $(VENV)
