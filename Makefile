# The commands of this repository; "make" alone lists them. CONTRIBUTING.md says more.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What to work on, and further flags for go test: make test PKG=./models/... TESTFLAGS='-run Artifact -v'
PKG ?= ./...
TESTFLAGS ?=
# Seconds per fuzz target, and the benchmarks to run.
FUZZTIME ?= 60
BENCH ?= .
COUNT ?= 3

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## Run everything: vet and all tests, with -race, on SQLite, Postgres, Redis and S3 that it starts and stops.
	@PKG='$(PKG)' .ci/services run .ci/test $(TESTFLAGS)

.PHONY: race
race: ## Run the tests ten times with -race on the embedded stores only, to shake out flakes.
	go test -race '-gcflags=modernc.org/...=-race=false' -count=10 $(TESTFLAGS) $(PKG)

.PHONY: cover
cover: ## Run the tests on all stores and write coverage.html, cross-package coverage included.
	@.ci/services run go test -coverpkg=./... -coverprofile=cover.out $(TESTFLAGS) $(PKG)
	go tool cover -func=cover.out | tail -n 1
	go tool cover -html=cover.out -o coverage.html

.PHONY: bench
bench: ## Run the benchmarks COUNT times, and compare with the last run by benchstat.
	@mkdir -p .cache
	@if [[ -f .cache/bench.txt ]]; then mv .cache/bench.txt .cache/bench.old.txt; fi
	@.ci/services run go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(TESTFLAGS) $(PKG) | \
		tee .cache/bench.txt
	@benchstat=$$(.ci/tool benchstat); \
		if [[ -f .cache/bench.old.txt ]]; then "$$benchstat" .cache/bench.old.txt .cache/bench.txt; \
		else "$$benchstat" .cache/bench.txt; fi

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME seconds.
	@.ci/fuzz $(FUZZTIME)

.PHONY: lint
lint: ## Run golangci-lint (built once from tools/go.mod into .bin/), in all modules, and shellcheck if it is there.
	@lint=$$(.ci/tool golangci-lint); "$$lint" run $(PKG); \
		if [[ '$(PKG)' == ./... ]]; then \
			for mod in $$(find . -mindepth 2 -name go.mod -not -path './.*' -not -path './tools/*' -not -path '*/testdata/*'); do \
				echo "module $${mod%/go.mod}"; (cd "$${mod%/go.mod}" && "$$lint" run ./...); \
			done; \
		fi
	@if command -v shellcheck >/dev/null; then shellcheck .ci/*; else echo 'LEFT OUT: shellcheck (not found)' >&2; fi

.PHONY: fmt
fmt: ## Format the code: gofumpt and gci.
	@lint=$$(.ci/tool golangci-lint); "$$lint" fmt

.PHONY: services
services: ## Start Postgres, Redis and S3 in the foreground and print their environment, until Ctrl-C.
	@.ci/services run .ci/hold

.PHONY: arch-update
arch-update: ## Accept the present dependencies and exported names, and lower the limits: rewrite internal/arch/*.txt.
	go test ./internal/arch -run 'TestDependencies|TestLimits' -update
