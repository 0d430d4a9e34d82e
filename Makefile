# Every habit of this house is a target; "make help" lists them. GNU make, bash and Go are all that is expected.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# What to test or fuzz; e.g. make test PKG=./store/...
PKG ?= ./...
# How long each fuzz target runs.
FUZZTIME ?= 10s
# 1 ends the demo by itself, with exit code 0 only if every step held.
DEMO_ONCE ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# The Debian packages that the tests need beside Go: -race needs a C compiler and its headers, and the demo's commands
# are run as they are shown; the services are started by the tests themselves.
TEST_PACKAGES := gcc libc6-dev curl openssl postgresql redis-server strace
# Node.js may have come from elsewhere, with an npm of its own.
LONG_PACKAGES := $(TEST_PACKAGES) $(if $(shell command -v npm),,nodejs npm)

LDFLAGS := -s -w -X main.version=$(VERSION)
# Without cgo unless the race detector asks for it: programs are static, and one build cache serves machines with and
# without a C compiler.
export CGO_ENABLED := 0

GOBUILD := go build -trimpath -ldflags '$(LDFLAGS)'
# Tests wait for programs, services and disks more than they compute, so there are more at once than processors.
GOTEST := go test -json -race -count=1 -parallel 4
TESTSUM := CGO_ENABLED=1 go run ./scripts/testsum
LINT := go tool -modfile=tools/lint/go.mod golangci-lint
BUF := go tool -modfile=tools/buf/go.mod buf
VULN := go tool -modfile=tools/vuln/go.mod govulncheck

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/sts and bin/sts-dev
	$(GOBUILD) -o bin/sts ./cmd/sts
	$(GOBUILD) -o bin/sts-dev ./cmd/sts-dev

.PHONY: build-testclock
build-testclock: ## build bin/sts-testclock, whose clock a test can move (STS_CLOCK_FILE)
	$(GOBUILD) -tags testclock -o bin/sts-testclock ./cmd/sts

.PHONY: demo
# The demo is built without the optimiser, which takes most of the time of a first build and nothing of the story.
demo: GOBUILD += -gcflags=all='-N -l'
demo: build ## tell the story with emulators, until Ctrl-C; DEMO_ONCE=1 ends by itself. Needs only Go
	@bin/sts-dev demo --sts bin/sts $(if $(filter 1,$(DEMO_ONCE)),--once)

.PHONY: test
test: ## run what belongs to every change, with -race, in at most 10 minutes; a test with subtests counts as its subtests
	@scripts/need $(TEST_PACKAGES)
	@$(TESTSUM) $(GOTEST) -tags testclock -timeout 20m $(PKG)

.PHONY: test-long
test-long: ## run what takes longer (build tag "long", tests named TestLong_...), in at most 45 minutes
	@scripts/need $(LONG_PACKAGES)
	@$(TESTSUM) $(GOTEST) -tags testclock,long -run '^TestLong_' -timeout 45m $(PKG)

.PHONY: fuzz
fuzz: ## run every fuzz target in PKG for FUZZTIME each
	@scripts/fuzz $(FUZZTIME) $(PKG)

.PHONY: bench
bench: ## print one table of ratios beside their budgets, in 20 minutes; in 6 with BENCH_EVENTS=0, in 3 with BENCH_ROUND=2s, too
	@scripts/need wrk redis-server postgresql
	go run ./bench

.PHONY: lint
lint: ## vet, golangci-lint with formatting, buf lint, and that the API breaks no promise
	go vet ./...
	$(LINT) run
	$(BUF) lint
	scripts/breaking $(BUF)

.PHONY: fmt
fmt: ## format Go code and .proto files
	$(LINT) fmt
	$(BUF) format -w

.PHONY: generate
generate: ## generate api/ from proto/
	$(BUF) generate

.PHONY: generated
generated: ## verify that api/ is what proto/ generates
	scripts/generated $(BUF)

.PHONY: vuln
vuln: ## look for known vulnerabilities, where their database can be reached
	scripts/vuln $(VULN)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
