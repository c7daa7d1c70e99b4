# One verb, one command. The flag lets Rust 1.95 build a dependency that declares 1.96 and needs nothing of it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
FLAGS ?= --ignore-rust-version
VENV := .venv
REQUIREMENTS := compat/clients/requirements.txt
# What wants other versions of the same packages, beside them.
S3FS_REQUIREMENTS := compat/clients/requirements-s3fs.txt
JS := compat/clients/js compat/clients/supabase compat/clients/loopback
BROWSER := compat/clients/browser
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(wildcard tests/fuzz/seeds/*))
FUZZ_FLAGS := -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table trace-compares)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help run build test lint fmt compat compat-selftest s3-tests supabase-tests fault fuzz matrix bench clean tools chromium

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

run: ## build and serve ./data; prints the root keys at the first start
	$(CARGO) run --release $(FLAGS) -- serve

build: ## build target/release/longshore
	$(CARGO) build --release $(FLAGS)

test: tools ## run all tests; what they need is installed first
	$(CARGO) test $(FLAGS) --no-fail-fast 2>&1 | .ci/count

lint: ## check format, lints, documentation and architecture; changes nothing
	before=$$(git status --porcelain; git diff HEAD | cksum)
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc $(FLAGS) --no-deps --document-private-items
	$(CARGO) test $(FLAGS) --test main architecture
	after=$$(git status --porcelain; git diff HEAD | cksum)
	[ "$$before" = "$$after" ] || { echo 'the working tree was changed' >&2; exit 1; }

fmt: ## format the code
	$(CARGO) fmt --all

compat: build tools chromium ## run the client programs against the built server; PROVIDER= on a cloud's storage
	compat/clients/run $(if $(PROVIDER),--provider $(PROVIDER))
	compat/clients/run $(if $(PROVIDER),--provider $(PROVIDER)) --catalog postgres supabase boto3 rclone

compat-selftest: build tools ## prove that the client programs notice a server that damages data
	compat/clients/selftest

s3-tests: build $(if $(PROVIDER),tools) ## run ceph/s3-tests, checked out at S3TESTS_DIR; LAYOUT= one layout, PROVIDER= on a cloud's storage, CATALOG=postgres
	failed=0
	for layout in $(or $(LAYOUT),natural managed); do
	  compat/suites/run --layout $$layout $(if $(PROVIDER),--provider $(PROVIDER)) $(if $(CATALOG),--catalog $(CATALOG)) || failed=1
	done
	exit $$failed

supabase-tests: build tools ## run the acceptance tests of supabase/storage, checked out at SUPABASE_STORAGE_DIR
	compat/suites/supabase
	compat/suites/supabase --catalog postgres

fault: ## run the tests of crashes and broken storage at full size
	LONGSHORE_FAULT=full $(CARGO) test --release $(FLAGS) --no-fail-fast --test main -- fault:: model:: 2>&1 | .ci/count

fuzz: ## run each fuzz target for FUZZ_SECONDS (60), or those that FUZZ_TARGETS names
	# Coverage as libFuzzer wants it, for the target alone: build scripts have nothing that takes the counts.
	host=$$(rustc -vV | sed -n 's/^host: //p')
	export CARGO_TARGET_DIR=$(CURDIR)/target/fuzz
	RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --release $(FLAGS) --manifest-path tests/fuzz/Cargo.toml --target $$host
	for target in $(FUZZ_TARGETS); do
	  corpus=$$CARGO_TARGET_DIR/corpus/$$target
	  mkdir -p $$corpus
	  echo "fuzz: $$target, $(FUZZ_SECONDS) seconds"
	  $$CARGO_TARGET_DIR/$$host/release/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
	    -print_final_stats=1 -artifact_prefix=$$CARGO_TARGET_DIR/$$target- $$corpus tests/fuzz/seeds/$$target 2>&1 \
	    | tail -n 40
	done

matrix: build ## print the README's table of fronts and providers
	@target/release/longshore provider list --markdown --config compat/matrix.toml

bench: build tools ## measure beside rclone and nginx on the same files
	compat/bench/run

clean: ## remove what was built and installed here; ./data stays
	$(CARGO) clean
	rm -rf $(VENV) $(addsuffix /node_modules,$(JS) $(BROWSER))

tools: $(VENV)/.installed
	missing=
	for tool in faketime restic strace; do command -v $$tool > /dev/null || missing="$$missing $$tool"; done
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
	  apt-get update -q && apt-get install -qy --no-install-recommends $$missing
	fi
	for client in $(JS); do [ -d $$client/node_modules ] || npm --prefix $$client ci --no-audit --no-fund; done
	compat/backends/install

chromium:
	if ! command -v chromium > /dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
	  apt-get update -q && apt-get install -qy --no-install-recommends chromium
	fi

$(VENV)/.installed: $(wildcard $(REQUIREMENTS) $(S3FS_REQUIREMENTS))
	python3 -m venv $(VENV)
	if [ -f $(REQUIREMENTS) ]; then $(VENV)/bin/pip install -q --disable-pip-version-check -r $(REQUIREMENTS); fi
	if [ -f $(S3FS_REQUIREMENTS) ]; then
	  $(VENV)/bin/pip install -q --disable-pip-version-check --upgrade --target $(VENV)/s3fs -r $(S3FS_REQUIREMENTS)
	fi
	touch $@

.ONESHELL:
