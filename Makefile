# Every target makes .venv first if it is missing or requirements.txt has changed.
PYTHON ?= python3
PROFILE ?= miniature
DATASET ?=
DATA_DIR ?=
MODEL ?=
NB ?=
SET ?=
FRESH ?=
BENCH ?= *
INDEX ?=
PICTURES ?=
PORT ?= 7860
ADDRESS ?= 127.0.0.1
ALLOW_HOST ?=
RUNS ?= $(patsubst %/metrics.json,%,$(wildcard runs/*/metrics.json))
FOLDER ?=
TO ?=
SOURCE ?=
RAY ?=
FORM ?= transformers
ACTIVATION ?=
GRID ?=
ROWS ?=
SEEDS ?= 0 1 2
VERSION ?=
DRY ?=
REPO ?=
ARGS ?=
TORCH ?=

VENV := .venv
READY := $(VENV)/ready
SETTINGS = $(if $(SET)$(DATASET),--set $(SET) $(if $(DATASET),"DATASET=$(DATASET)"))
RUN := $(VENV)/bin/python
# It leaves the model that other notebooks then need not train: where it is to be run, it is the first.
LONGEST := nbs/04_finetune_clip.ipynb
# An extra that only the site needs; the pins of everything else stay as they are.
SPHINX = $(RUN) -c "import myst_nb, sphinx_book_theme, sphinx_copybutton, sphinx_design" 2>/dev/null || \
  { echo "Installing Sphinx into $(VENV): once, about 90 MB."; $(RUN) -m pip install --quiet --disable-pip-version-check \
  --constraint requirements.txt --no-build-isolation --editable ".[site]"; }
QUIET_LAB := --LabApp.app_settings_dir=.jupyter --KernelManager.transport_encryption=auto
# As in a container; Jupyter refuses root else.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
# Before a package of your own that is called utils, too.
export PYTHONPATH := $(CURDIR):$(CURDIR)/data$(if $(PYTHONPATH),:$(PYTHONPATH))
# A training step on the CPU frees its work space and asks for it again. Linux's C library would give it back to the
# system each time, for 25,000 empty pages in return; so it keeps up to a GiB, in one heap and in large pages.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1073741824
# What one notebook has compiled the next one reads back, small programs too.
lab: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/runs/compiled
lab: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.1

.DEFAULT_GOAL := help
.PHONY: help check course sweep test quick demo embed convert lab student grade slides compare results bench lint notebooks imports wheels site release address

help: ## List the targets
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
	@echo "The first of them installs; with TORCH=cpu a torch without CUDA, in less than half the disk, on Linux."
	@echo "The course takes PROFILE=, DATASET=, DATA_DIR=, MODEL=, NB=04, SET='NAME=VALUE ...' and FRESH=1."
	@echo "PROFILE is a name of nbs/profiles/ or the path of a .yaml file of your own."
	@echo "The page takes PICTURES=folder and MODEL=, or the PROFILE= of a run; INDEX=, PORT=, ADDRESS= and ALLOW_HOST=."
	@echo "The copies for a class take TO= and PROFILE=, which is workshop there if you name none."
	@echo "Their answers are graded with FOLDER= and TO=grades.csv."
	@echo "A model is converted with ACTIVATION=quick_gelu or gelu, where its file does not tell which."
	@echo "Vectors are embedded with MODEL= and RAY=auto, HOST:PORT or local; ARGS=--scenes cuts rasters into tiles."
	@echo "The sweep takes PROFILE=, DATASET=, DATA_DIR=, MODEL=, SET=, GRID=, ROWS='baseline bs128x8-lr5e-6-adam' and SEEDS='0 1 2'."

check: $(READY) ## Say what this machine has and lacks for the course, and what to do about it
	@$(RUN) -m utils.check

course: $(READY) ## Run every notebook with a profile: 5 to 10 minutes for the default, offline
	@$(RUN) -m utils.course --profile "$(PROFILE)" --data-dir "$(DATA_DIR)" --model "$(MODEL)" \
	  --notebook "$(NB)" $(if $(FRESH),--fresh) $(SETTINGS)

sweep: $(READY) ## Run the ten published runs, or the rows of GRID=mine.yaml, over SEEDS, into one table: an hour or more
	@$(RUN) -m utils.course.sweep --profile "$(PROFILE)" --data-dir "$(DATA_DIR)" --model "$(MODEL)" \
	  $(if $(GRID),--grid "$(GRID)") --rows $(ROWS) --seeds $(SEEDS) $(SETTINGS)

test: $(READY) ## Run the tests and check the committed outputs of the notebooks: 9 to 15 minutes
	@echo "Running the tests, and every notebook that make course has not run as it is now: 7 to 15 minutes on two cores."
	@# Drawn once by all cores, and not by each of the two workers.
	@$(RUN) -m standins.scenes
	@stale="$$($(RUN) tests/tools/stale_notebooks.py)" && \
	$(RUN) -m pytest $$(echo "$$stale" | grep --only-matching $(LONGEST)) tests \
	  $$(echo "$$stale" | sed 's#$(LONGEST)##') nbs/solutions -n 2 --dist loadscope --no-loadscope-reorder --nbval-lax --nbval-current-env \
	  $(if $(REPORTS),--junitxml "$(REPORTS)/tests.xml")

quick: $(READY) ## Run the tests that neither train, translate, run notebooks nor open the page: about a minute
	$(RUN) -m pytest tests -n 2 --dist loadscope -m "not (trains or notebooks or translates or page or processes or real_data)"

demo: $(READY) ## Serve the page to search the images in PICTURES=folder, or those of the course after it
	@$(RUN) -m utils.demo --run "runs/$(PROFILE)" --pictures "$(PICTURES)" --index "$(INDEX)" --model "$(MODEL)" \
	  --host "$(ADDRESS)" --port "$(PORT)" \
	  $(foreach name,$(ALLOW_HOST),--allow-host "$(name)")

embed: $(READY) ## Embed the images in SOURCE=folder into Parquet shards in TO=folder, on all machines of RAY=auto
	@$(RUN) -m utils.search.embed "$(SOURCE)" --to "$(TO)" --model "$(MODEL)" --address "$(RAY)" $(ARGS)

convert: $(READY) ## Write MODEL=mine into the folder TO=new as FORM=transformers, open_clip or onnx, for others to open
	@$(RUN) -m utils.clip.convert "$(MODEL)" --to "$(TO)" --form "$(FORM)" --activation "$(ACTIVATION)"

lab: $(READY) ## Open JupyterLab on the notebooks; ARGS='--no-browser --port 8900' are its own
	@$(RUN) -m jupyter lab nbs $(QUIET_LAB) $(AS_ROOT) $(ARGS)

student: PROFILE = workshop
student: $(READY) ## Write copies of the notebooks for a class: shorter trainings, no outputs, no solutions
	@$(RUN) -m utils.course.handout "$(or $(TO),runs/student)" --profile "$(PROFILE)"

grade: $(READY) ## Try the answers in a class's copies, FOLDER=class/, into the table TO=runs/grades.csv
	@$(RUN) -m utils.course.grade "$(FOLDER)" $(if $(TO),--to "$(TO)")

slides: $(READY) ## Write each notebook's figures and headings as slides into TO=runs/slides
	@$(RUN) -m utils.course.slides "$(or $(TO),runs/slides)"

compare: $(READY) ## Set the metrics of RUNS='runs/a runs/b' side by side in one table
	@$(RUN) -m utils.course.compare $(RUNS) $(if $(TO),--to "$(TO)")

results: $(READY) ## Put the newest figures of runs/ into docs/results.md
	@$(RUN) -m utils.evaluation docs/results.md

bench: $(READY) ## Measure speed and memory on this machine, or one subject of it with BENCH=translation
	@for file in tests/benchmarks/bench_$(BENCH).py; do \
	  echo; echo "# $$file"; $(RUN) $$file || exit 1; done

lint: $(READY) ## Check the style of code and notebooks, spelling and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/codespell
	$(RUN) -m mypy

notebooks: $(READY) ## Execute the notebooks in place, as they are committed
	@$(RUN) tests/tools/refresh_notebooks.py

imports: $(READY) ## Draw into CONTRIBUTING.md which room imports which
	@$(RUN) tests/tools/draw_imports.py

wheels: $(READY) ## Save the packages in TO=runs/wheels, for machines of this kind that have no network
	@mkdir -p "$(or $(TO),runs/wheels)"
	@$(RUN) -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
	  --find-links "$(or $(TO),runs/wheels)" --dest "$(or $(TO),runs/wheels)" -r requirements.txt
	@echo "Without a network, where that folder is: PIP_NO_INDEX=1 PIP_FIND_LINKS=that/folder make course"

site: $(READY) ## Build runs/site, or TO=folder: all notebooks and pages and a reference
	@$(SPHINX)
	@$(RUN) tests/tools/build_site.py "$(or $(TO),runs/site)" --data-dir "$(DATA_DIR)"

release: $(READY) ## Make VERSION=0.2.0 ready: named everywhere, with site, archive and notes; DRY=1 writes nothing
	@$(if $(DRY),,$(SPHINX))
	@$(RUN) tests/tools/publish.py "$(VERSION)" $(if $(DRY),--dry-run)

address: $(READY) ## Name REPO=owner/name as the repository wherever it is named, for a fork
	@$(RUN) tests/tools/release.py "$(REPO)"

$(READY): requirements.txt
	@# NMSLib has no wheel for 3.14 on macOS.
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; most = 13 if sys.platform == "darwin" else 14; \
	  sys.exit(None if (3, 11) <= v <= (3, most) else "Python %d.%d cannot run the course: \
	install 3.11 to 3.%d and name it, as in make PYTHON=python3.12" % (*v, most))'
	@echo "Installing the pinned packages into $(VENV): once, about 3 minutes, $(if $(TORCH),3,7) GB of disk."
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian: apt install python3-venv, then try again."; exit 1; }
	@# uv knows where the builds of torch without CUDA are, pip would have to be told.
	@$(if $(TORCH),$(RUN) -m pip install --quiet --disable-pip-version-check uv && \
	  $(RUN) -m uv pip install --quiet --python $(RUN) --torch-backend $(TORCH) -r requirements.txt, \
	  $(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)
	@echo "Installed."
