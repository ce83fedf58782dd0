# Aurora Locus. `make run` and `make test` install or start what they need.
.DEFAULT_GOAL := help
GO ?= go
export GOFLAGS ?= -buildvcs=false
ARGS ?=
BIN ?= bin

.PHONY: test-citus dist trial drill gameday scale help run build test generate check bench bench-reference bench-oauth compare-reference suite setup clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:
	@sh internal/setup/go.sh
	@sh internal/setup/postgres.sh

run: setup build ## start the server with its private Postgres and two tenants (Ctrl-C stops everything; ARGS="--listen 127.0.0.1:3000")
	@exec ./bin/locus serve --dev $(ARGS)

build: ## bin/locus and bin/pdsbench (BIN=FOLDER: elsewhere)
	@sh internal/setup/go.sh
	$(GO) build -o $(BIN)/locus ./cmd/locus
	$(GO) build -o $(BIN)/pdsbench ./cmd/pdsbench

test: setup ## all tests, with the race detector, on a Postgres of their own
	@sh internal/setup/pgbouncer.sh
	@sh internal/setup/proxies.sh
	@sh internal/setup/fail2ban.sh
	@CGO_ENABLED=0 $(GO) tool -modfile=internal/doctor/relay/go.mod -n relay >/dev/null # or a test's time would pass with building it
	$(GO) test -race -p 3 -parallel 4 -timeout 30m ./...
	@[ -n "$$LOCUS_TEST_CITUS_URL" ] || echo "not run: what only a Citus cluster can show (LOCUS_TEST_CITUS_URL names none; deploy/citus/README.md)"

test-citus: setup ## the data layer's tests on a Citus cluster that LOCUS_TEST_CITUS_URL names (deploy/citus/README.md)
	@[ -n "$$LOCUS_TEST_CITUS_URL" ] || { echo "LOCUS_TEST_CITUS_URL names no coordinator: deploy/citus/README.md says what it needs"; exit 1; }
	$(GO) test -count=1 -p 1 -parallel 2 -timeout 60m ./db/... ./repo/repodb ./internal/tenant ./internal/archive ./internal/act

generate: ## everything generated and committed: sqlc, types, lexicon catalogue, OpenAPI, access table, clients
	bash internal/gen/all.sh

check: ## what CI checks beside the tests: drift, migrations, vet, staticcheck, govulncheck, each benchmark once
	bash .ci/check

bench: setup ## the benchmarks of the packages
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-reference: setup build ## side by side with the reference PDS from npm (needs node and npm)
	bash internal/bench/reference.sh $(ARGS)

bench-oauth: setup ## sign-ins, refreshes and calls by OAuth, side by side with the reference PDS (Linux; ARGS="-seconds 10")
	bash internal/bench/reference.sh --oauth $(ARGS)

drill: setup ## a tenant's whole life on two servers and two databases, under load, with a relay that judges every event
	$(GO) run ./internal/drill $(ARGS)

gameday: setup ## ten faults planted in a small deployment, and who names each
	$(GO) test -count=1 -v -run TestGameDay ./cmd/locus

scale: setup ## fill a database with thousands of tenants and measure (ARGS="-dir FOLDER fill -tenants 10000", ARGS="-dir FOLDER measure")
	$(GO) run ./internal/scale $(ARGS)

suite: setup ## other people's OAuth clients and real browsers against the server and its pages (Linux; ARGS="node pages", ARGS=--help)
	$(GO) run ./internal/suite $(ARGS)

compare-reference: setup ## the same proxied calls through ours and the reference, and what differs (ARGS=-record keeps what the reference does, ARGS=-all shows all)
	bash internal/bench/reference.sh --compare $(ARGS)

dist: ## programs, Debian packages and checksums in dist/ (VERSION=1.2.3; PLATFORMS="linux/amd64")
	@sh internal/setup/go.sh
	bash deploy/dist.sh

trial: setup ## the package in a fresh Debian, by docs/install.md, to three tenants (root on Debian, debootstrap, systemd-container; after make dist)
	$(GO) run ./internal/trial $(ARGS)

clean: ## remove what was built (data/ stays)
	rm -rf bin dist .cache
