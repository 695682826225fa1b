# Everything a newcomer needs: `make demo` and `make test` set up their own environment first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ORACLES := $(VENV)/oracles/.ready
OUT ?= runs/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

help:  ## Show what each target does.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Create .venv and install the library, MetaPix and the packaged clips into it.

$(STAMP): pyproject.toml examples/metapix/pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed but was not found; name yours with make PYTHON=..." >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch torchvision
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,perceptual]" --editable examples/metapix
	# Only the package's video files are used; its own dependencies are not needed for them.
	$(BIN)/python -m pip install --quiet --no-deps pose2sim==0.10.49
	# PySceneDetect asks for opencv-python, whose files would lie over those of opencv-contrib-python, which mediapipe asks for.
	$(BIN)/python -m pip install --quiet --no-deps scenedetect==0.7.2
	$(BIN)/python -m pip install --quiet tqdm platformdirs
	touch $(STAMP)

demo: $(STAMP)  ## Train, score and retarget a real person; ends in a table, runs/demo/report.html and a video.
	$(BIN)/metapix demo --out $(OUT)

# Libraries that the tests compare with. learn2learn does not compile on Python 3.11: the plain Python of its release is enough.
$(ORACLES): $(STAMP)
	rm -rf $(VENV)/oracles && mkdir -p $(VENV)/oracles
	$(BIN)/python -m pip download --quiet --no-deps --no-binary learn2learn --dest $(VENV)/oracles learn2learn==0.2.0
	tar -xzf $(VENV)/oracles/learn2learn-0.2.0.tar.gz -C $(VENV)/oracles --strip-components=1 learn2learn-0.2.0/learn2learn
	touch $(ORACLES)

lint: $(STAMP)  ## Check style (ruff) and types (mypy).
	$(BIN)/ruff check gan_meta examples benchmarks tests
	$(BIN)/ruff format --check gan_meta examples benchmarks tests
	MYPYPATH=examples/metapix $(BIN)/mypy

test: lint $(ORACLES)  ## Lint, then run all tests.
	$(BIN)/python -m pytest -n 2

bench: $(STAMP)  ## Repeat the demo's comparison over five seeds (about half an hour).
	$(BIN)/python benchmarks/starts.py

clean:  ## Remove the environment; results in runs/ stay.
	rm -rf $(VENV)
