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
CHART := charts/tfc-token-operator

# The image. Its binary is static, and is the same bytes from whatever folder it is built in.
ARCH ?= amd64
IMAGE_TARGET := $(or $(if $(filter amd64,$(ARCH)),x86_64-unknown-linux-gnu),$(if $(filter arm64,$(ARCH)),aarch64-unknown-linux-gnu))
IMAGE_DIR := $(or $(CARGO_TARGET_DIR),target)/image
IMAGE_BINARY := $(or $(CARGO_TARGET_DIR),target)/$(IMAGE_TARGET)/release/tfc-token-operator
IMAGE_FLAGS := -C target-feature=+crt-static --remap-path-prefix=$(CURDIR)=/build \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
# For another machine than this one: Debian's cross compiler, for the crates that have C in them and as the linker.
ifeq ($(ARCH),$(subst x86_64,amd64,$(subst aarch64,arm64,$(shell uname -m))))
IMAGE_CC := cc
IMAGE_ENV := RUSTFLAGS="$(IMAGE_FLAGS)"
else
IMAGE_CC := $(IMAGE_TARGET:-unknown-linux-gnu=)-linux-gnu-gcc
IMAGE_ENV := RUSTFLAGS="$(IMAGE_FLAGS)" CC_$(subst -,_,$(IMAGE_TARGET))=$(IMAGE_CC) \
	CARGO_TARGET_$(shell echo $(subst -,_,$(IMAGE_TARGET)) | tr a-z A-Z)_LINKER=$(IMAGE_CC)
endif
IMAGE_CARGO := $(IMAGE_ENV) cargo build $(LOCKED) --release --target $(IMAGE_TARGET) --bin tfc-token-operator
# What the operator ships with. The C library's allocator keeps 7 freed blocks of each size at hand; every issuance frees more, and what
# it has to look for instead takes the longer the more roles are in memory (docs/performance.md).
SHIPS_WITH := GLIBC_TUNABLES=glibc.malloc.tcache_count=64
# The program that writes it; the second build of image-reproducible takes the first one's.
PACKER ?= $(PROGRAMS)/operator-image
PACK = SOURCE_DATE_EPOCH=$(EPOCH) $(PACKER) --target $(IMAGE_TARGET) --cc $(IMAGE_CC) --env $(SHIPS_WITH) --output-dir $(IMAGE_DIR)
# What is built, and when it was committed: of the commit alone, so that it can be built again.
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)$(if $(shell git status --porcelain --untracked-files=no 2>/dev/null),-modified)
# Told to the packer alone: build scripts that hear of it run anew with each commit, and with them half of all crates.
EPOCH ?= $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),0)
unexport SOURCE_DATE_EPOCH
# The version that the test of an upgrade upgrades from.
BEFORE := $(shell cat tests/node/before)

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do \
		printf '  %-14s %s\n' "$$target" "$$text"; done

.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust with rustup, see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing (on Debian: apt-get install gcc libc6-dev)" >&2; exit 1; }

.PHONY: image-tools
image-tools: tools
	@[[ -n "$(IMAGE_TARGET)" ]] || { echo "ARCH=$(ARCH) is unknown: amd64 or arm64" >&2; exit 1; }
	@[[ -d $$(rustc --print target-libdir --target $(IMAGE_TARGET)) ]] || \
		{ echo "Rust can't build for $(ARCH) yet: run rustup target add $(IMAGE_TARGET)" >&2; exit 1; }
	@command -v $(IMAGE_CC) >/dev/null || \
		{ echo "$(IMAGE_CC) is missing (on Debian: apt-get install gcc-$(IMAGE_TARGET:-unknown-linux-gnu=)-linux-gnu)" >&2; exit 1; }

$(PROGRAMS)/operator-image: FORCE
	cargo build $(ALL) --bin operator-image
FORCE:

.PHONY: image
image: image-tools $(PACKER) ## Build the image as an OCI archive, and an SBOM beside it (ARCH=arm64: for that)
	$(IMAGE_CARGO)
	$(PACK) --binary $(IMAGE_BINARY) $(if $(REVISION),--revision $(REVISION))

.PHONY: image-before
image-before: image-tools $(PACKER)
	@git cat-file -e $(BEFORE)^{commit} 2>/dev/null || \
		{ echo "commit $(BEFORE) is not here: fetch the whole history (git fetch --unshallow)" >&2; exit 1; }
	@mkdir -p $(IMAGE_DIR)/before
	git archive $(BEFORE) | tar -x -C $(IMAGE_DIR)/before
	cd $(IMAGE_DIR)/before && CARGO_TARGET_DIR=$(abspath $(or $(CARGO_TARGET_DIR),target)) $(IMAGE_CARGO)
	cp $(IMAGE_BINARY) $(IMAGE_DIR)/before/binary
	$(PACK) --binary $(IMAGE_DIR)/before/binary --workspace $(IMAGE_DIR)/before --tag before --revision $(BEFORE)

.PHONY: image-reproducible
image-reproducible: image ## Build the image once more, in another folder with nothing cached, and compare the two
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
		git ls-files -z | tar --null --files-from=- --create | tar --extract --directory "$$copy"; \
		$(MAKE) --directory "$$copy" image CARGO_TARGET_DIR="$$copy/target" PACKER="$(abspath $(PACKER))" REVISION="$(REVISION)" EPOCH="$(EPOCH)"; \
		cd $(IMAGE_DIR); for file in *-$(ARCH).tar *-$(ARCH).cdx.json; do \
			[[ $$file != *before* ]] || continue; \
			cmp "$$file" "$$copy/target/image/$$file"; sha256sum "$$file"; done; \
		echo "built twice, in two folders: the same"

.PHONY: build
build: tools ## Build the operator and the test programs (debug)
	$(CARGO_BUILD)

.PHONY: plugin
plugin: tools ## Build the kubectl plugin for people: target/release/kubectl-tfc
	cargo build $(LOCKED) --release --bin kubectl-tfc
	@echo "put $(or $(CARGO_TARGET_DIR),target)/release/kubectl-tfc into a folder of PATH, then: kubectl tfc doctor"

.PHONY: check
check: build ## Formatting, lints, generated files, unit tests; needs no control plane
	cargo fmt --all --check
	cargo clippy $(ALL) --all-targets -- -D warnings
	cargo clippy $(LOCKED) --workspace --bins -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(ALL) --quiet --no-deps --document-private-items
	@generated=$$(mktemp -d); trap 'rm -rf "$$generated"' EXIT; \
		$(OPERATOR) crds --output-dir "$$generated"; \
		diff -ru crds "$$generated" || { echo "crds/ is not what the code says: run make generate" >&2; exit 1; }
	@diff -ru crds $(CHART)/files/crds || { echo "the chart's CRDs are not those of crds/: run make generate" >&2; exit 1; }
	cargo test $(ALL) --lib --bins

.PHONY: test
test: check testbed ## Everything: check, then the tests that need a control plane
	TESTBED_BIN="$$($(TESTBED) --path)" cargo test $(ALL) --exclude node-tests --test '*'
	@$(MAKE) --no-print-directory bench-short

.PHONY: node-tools
node-tools:
	@[[ $$(id -u) == 0 ]] || { echo "a node needs root: run make test-node as root" >&2; exit 1; }
	@command -v terraform >/dev/null || \
		{ echo "terraform is missing: the tests run it in pods; put it on PATH (https://developer.hashicorp.com/terraform/install)" >&2; exit 1; }

.PHONY: test-node
test-node: node-tools image image-before testbed testbed-node ## The image and the chart on a real node: needs root, and terraform on PATH
	cargo test $(ALL) --test release --no-run
	TESTBED_BIN="$$($(TESTBED) --path)" NODE_BIN="$$($(TESTBED) --node --path)" IMAGES="$(abspath $(IMAGE_DIR))" \
		tests/testbed/sandbox.sh cargo test $(ALL) --offline --test release -- --test-threads=1

# The operator and the tool are built one after the other: together they would share features, and what ships has its own.
SHIPS := $(or $(CARGO_TARGET_DIR),target)/release
OPERATOR_ENV ?= $(SHIPS_WITH)
BENCH_FLAGS = --testbed "$$($(TESTBED) --path)" --out $(or $(CARGO_TARGET_DIR),target)/bench \
	$(if $(ROLES),--roles $(ROLES)) $(if $(MANY),--many $(MANY)) $(if $(MOST),--most $(MOST)) $(if $(MINUTES),--rest-minutes $(MINUTES)) \
	$(foreach variable,$(OPERATOR_ENV),--operator-env $(variable))

.PHONY: bench
bench: tools testbed ## Measure the operator that ships beside the machine's own limit, about 45 min (BENCH="issue restart": these alone; ROLES, MANY, MOST, MINUTES: the scale)
	cargo build $(LOCKED) --release --package tfc-token-operator
	cargo build $(LOCKED) --release --package tfc-bench
	$(SHIPS)/tfc-bench --operator $(SHIPS)/tfc-token-operator $(BENCH_FLAGS) $(BENCH)

.PHONY: bench-short
bench-short: build testbed ## The same with 500 roles in 2 min: bars that are ratios and counts alone, no seconds and no megabytes
	$(PROGRAMS)/tfc-bench --operator $(OPERATOR) $(BENCH_FLAGS) --short --roles 500 --many 500 spread issue rates restart

# The same program with its symbols and with frame pointers, by which stacks are told.
PROFILE := $(or $(CARGO_TARGET_DIR),target)/profile
.PHONY: flamegraph
flamegraph: tools testbed ## Where the operator's CPU goes while it issues, as docs/flamegraph.svg: needs perf and inferno
	@command -v perf >/dev/null && command -v inferno-flamegraph >/dev/null || \
		{ echo "perf and inferno are needed (on Debian: apt-get install linux-perf; cargo install inferno)" >&2; exit 1; }
	RUSTFLAGS="-C force-frame-pointers=yes" CARGO_PROFILE_RELEASE_STRIP=none \
		cargo build $(LOCKED) --release --package tfc-token-operator --bin tfc-token-operator --target-dir $(PROFILE)
	cargo build $(LOCKED) --release --package tfc-bench
	perf record --quiet --freq 199 -g --output $(PROFILE)/perf.data \
		$(SHIPS)/tfc-bench --operator $(PROFILE)/release/tfc-token-operator $(BENCH_FLAGS) issue
	perf script --input $(PROFILE)/perf.data --comms tfc-token-opera | inferno-collapse-perf | \
		inferno-flamegraph --hash --minwidth 0.5 --title "tfc-token-operator while it issues" > docs/flamegraph.svg

.PHONY: soak
soak: build testbed ## Histories drawn anew, and the operator killed 100 times in a burst, round after round until something does not hold
	while true; do \
		seed=$$(date +%s); \
		HISTORIES=1000000 HISTORY_SEED=$$seed cargo test $(ALL) --lib -- --nocapture plan::tests::world; \
		MODEL_HISTORIES=100000 MODEL_FIRST=$$seed cargo test $(ALL) --test model -- --nocapture; \
		SOAK_KILLS=100 SOAK_SEED=$$seed TESTBED_BIN="$$($(TESTBED) --path)" cargo test $(ALL) --test it -- --nocapture faults::burst; \
	done

.PHONY: generate
generate: ## Write crds/ and the reference in docs/ from the Rust types; the chart's README and deploy/ from the chart
	UPDATE_GENERATED=1 cargo test $(ALL) --lib api::tests
	rm -f $(CHART)/files/crds/*
	cp crds/*.yaml $(CHART)/files/crds/
	@$(TESTBED) --only helm
	UPDATE_GENERATED=1 TESTBED_BIN="$$($(TESTBED) --path)" cargo test $(ALL) --test it chart::generated

.PHONY: testbed
testbed: ## Build a real control plane and helm for the tests, once per machine (about 13 min on two cores)
	@$(TESTBED)

.PHONY: testbed-node
testbed-node: ## Build what a node is made of, too (about 3 min more)
	@$(TESTBED) --node

.PHONY: testbed-path
testbed-path: ## Print the folder of the control plane's programs
	@$(TESTBED) --path

.PHONY: demo
demo: build testbed ## See a token issued, used, rotated and revoked (KEEP=1 leaves it running; TFC_ADDRESS, TFC_TOKEN: a real TFC)
	@$(PROGRAMS)/demo --operator $(OPERATOR) --testbed "$$($(TESTBED) --path)" $(if $(KEEP),--keep)
