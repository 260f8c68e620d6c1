# What there is to do with this repository. `make` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# rustup puts cargo here and not always into the PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
# Programs and plugins are looked for in target/, wherever else a user has cargo build.
unexport CARGO_TARGET_DIR

CARGO := cargo
GUEST_WORKSPACES := plugins tests/guests
# Replaced by `make build`, so that plugins are built by the release's own tool.
PLUGIN_TOOL := target/debug/syncline-plugin
# All at once where all is needed anyway: crates are compiled once more for each other selection.
TOOL_SELECTION := -p syncline-plugin-cli
# Named for the benchmarks too, so that they are built with what the programs are built with.
RELEASED := -p syncline -p syncline-plugin-cli -p syncline-device

.PHONY: help
help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | column -t -s '|'

.PHONY: setup
setup: ## Install what building needs; quiet where nothing is missing
	@scripts/setup.sh build

.PHONY: build
build: setup ## Build the programs and plugins: target/release/, target/plugins/
	@$(CARGO) build --release --locked $(RELEASED)
	@$(MAKE) --no-print-directory plugins PLUGIN_TOOL=target/release/syncline-plugin

.PHONY: plugins
plugins: $(PLUGIN_TOOL) ## Build the built-in plugins alone
	@scripts/build-guests.sh $(PLUGIN_TOOL) plugins target/plugins

.PHONY: guests
guests: $(PLUGIN_TOOL) ## Build the guests of the tests alone
	@scripts/build-guests.sh $(PLUGIN_TOOL) tests/guests target/guests

.PHONY: target/debug/syncline-plugin target/release/syncline-plugin
target/debug/syncline-plugin:
	@$(CARGO) build --locked $(TOOL_SELECTION)
# Built by `make build` before it is asked for.
target/release/syncline-plugin:
	@test -x $@ || { echo 'target/release/syncline-plugin is missing: run `make build`' >&2; exit 1; }

.PHONY: fmt
fmt: ## Format all code
	@$(CARGO) fmt --all
	@for folder in $(GUEST_WORKSPACES); do (cd "$$folder" && $(CARGO) fmt --all); done

.PHONY: lint
lint: setup ## Check format and lints of all code
	@$(CARGO) fmt --all --check
	@for folder in $(GUEST_WORKSPACES); do (cd "$$folder" && $(CARGO) fmt --all --check); done
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@for folder in $(GUEST_WORKSPACES); do \
		(cd "$$folder" && $(CARGO) clippy --workspace --all-targets --locked -- -D warnings); \
	done

.PHONY: test
test: ## The whole test suite: format, lints, every test
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory lint
	@$(CARGO) build --workspace --locked
	@$(MAKE) --no-print-directory plugins guests TOOL_SELECTION=--workspace
	@for folder in $(GUEST_WORKSPACES); do (cd "$$folder" && $(CARGO) test --workspace --locked --quiet); done
	@$(CARGO) test --workspace --locked

.PHONY: demo
demo: build ## Show what it does on real files; ARGS=--exit ends instead of staying up
	@scripts/demo.sh $(ARGS)

.PHONY: bench
bench: build ## Compare with cp, rsync, rclone, ldapsearch and native code; writes docs/benchmarks.md
	@scripts/setup.sh bench
	@$(CARGO) build --release --locked $(RELEASED) -p syncline-sandbox --example resolve
	@$(CARGO) build --release --locked $(RELEASED) -p syncline-api --example bare
	@(cd plugins && $(CARGO) build --release --locked -p device-policy --example native)
	@$(CARGO) build --release --locked $(RELEASED) -p syncline-tests --bin bench
	@target/release/bench $(ARGS) | tee docs/benchmarks.md

.PHONY: soak
soak: setup ## Read LDAP out of random bytes for ARGS seconds (600); what is new in tests/corpus/ldap is to be committed
	@$(CARGO) build --release --locked -p syncline-domain --example soak
	@target/release/examples/soak $(or $(ARGS),600) tests/corpus/ldap

.PHONY: deny
deny: ## Check licences and advisories of what is used (needs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo 'cargo-deny is missing: `cargo install --locked cargo-deny`' >&2; exit 1; }
	@$(CARGO) deny --locked check

.PHONY: clean
clean: ## Remove everything that was built
	@$(CARGO) clean
