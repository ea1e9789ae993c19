# The one door to the project. Bare `make` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Cargo and Go where their installers leave them, behind whatever PATH says.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin
# A cargo of another home folder's rustup (a HOME that is new, say) finds its toolchains beside itself.
ifeq ($(RUSTUP_HOME)$(wildcard $(HOME)/.rustup),)
RUSTUP_BESIDE_CARGO := $(wildcard $(abspath $(dir $(shell command -v cargo))../../.rustup))
ifneq ($(RUSTUP_BESIDE_CARGO),)
export RUSTUP_HOME := $(RUSTUP_BESIDE_CARGO)
endif
endif

# In CI the lock file is law; at a desk, cargo may add the line a new dependency needs.
LOCKED := $(if $(CI),--locked)
# The same packages and features everywhere, so that nothing is built twice. What ships has no fail points: a build without
# debug assertions refuses them.
ALL := $(LOCKED) --workspace --features failpoints
CARGO_BUILD := cargo build $(ALL) --bins
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug
OPERATOR := $(PROGRAMS)/tfc-token-operator
TESTBED := tests/testbed/build.sh

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do \
		printf '  %-14s %s\n' "$$target" "$$text"; done

.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust with rustup, see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing (on Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }

.PHONY: build
build: tools ## Build the operator and the test programs (debug)
	$(CARGO_BUILD)

.PHONY: check
check: build ## Formatting, lints, generated files, unit tests; needs no control plane
	cargo fmt --all --check
	cargo clippy $(ALL) --all-targets -- -D warnings
	cargo clippy $(LOCKED) --workspace --bins -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(ALL) --quiet --no-deps --document-private-items
	@generated=$$(mktemp -d); trap 'rm -rf "$$generated"' EXIT; \
		$(OPERATOR) crds --output-dir "$$generated"; \
		diff -ru crds "$$generated" || { echo "crds/ is not what the code says: run make generate" >&2; exit 1; }
	cargo test $(ALL) --lib --bins

.PHONY: test
test: check testbed ## Everything: check, then the tests that need a control plane
	TESTBED_BIN="$$($(TESTBED) --path)" cargo test $(ALL) --test '*'
	@$(MAKE) --no-print-directory bench-short

# The operator and the tool are built one after the other: together they would share features, and what ships has its own.
SHIPS := $(or $(CARGO_TARGET_DIR),target)/release
BENCH_FLAGS = --testbed "$$($(TESTBED) --path)" --out $(or $(CARGO_TARGET_DIR),target)/bench \
	$(if $(ROLES),--roles $(ROLES)) $(if $(MANY),--many $(MANY)) $(if $(MOST),--most $(MOST)) $(if $(MINUTES),--rest-minutes $(MINUTES))

.PHONY: bench
bench: tools testbed ## Measure the operator that ships beside the machine's own limit, about 45 min (BENCH="issue restart": these alone; ROLES, MANY, MOST, MINUTES: the scale)
	cargo build $(LOCKED) --release --package tfc-token-operator
	cargo build $(LOCKED) --release --package tfc-bench
	$(SHIPS)/tfc-bench --operator $(SHIPS)/tfc-token-operator $(BENCH_FLAGS) $(BENCH)

.PHONY: bench-short
bench-short: build testbed ## The same with 500 roles in 2 min: bars that are ratios and counts alone, no seconds and no megabytes
	$(PROGRAMS)/tfc-bench --operator $(OPERATOR) $(BENCH_FLAGS) --short --roles 500 --many 500 spread issue rates restart

.PHONY: soak
soak: build testbed ## Histories drawn anew, and the operator killed 100 times in a burst, round after round until something does not hold
	while true; do \
		seed=$$(date +%s); \
		HISTORIES=1000000 HISTORY_SEED=$$seed cargo test $(ALL) --lib -- --nocapture plan::tests::world; \
		MODEL_HISTORIES=100000 MODEL_FIRST=$$seed cargo test $(ALL) --test model -- --nocapture; \
		SOAK_KILLS=100 SOAK_SEED=$$seed TESTBED_BIN="$$($(TESTBED) --path)" cargo test $(ALL) --test it -- --nocapture faults::burst; \
	done

.PHONY: generate
generate: ## Write crds/ and the reference in docs/ from the Rust types
	UPDATE_GENERATED=1 cargo test $(ALL) --lib api::tests

.PHONY: testbed
testbed: ## Build a real control plane for the tests, once per machine (about 9 min on two cores)
	@$(TESTBED)

.PHONY: testbed-path
testbed-path: ## Print the folder of the control plane's programs
	@$(TESTBED) --path

.PHONY: demo
demo: build testbed ## See a token issued, used, rotated and revoked (KEEP=1 leaves it running; TFC_ADDRESS, TFC_TOKEN: a real TFC)
	@$(PROGRAMS)/demo --operator $(OPERATOR) --testbed "$$($(TESTBED) --path)" $(if $(KEEP),--keep)
