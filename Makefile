# `make` alone lists the targets that carry a "##" line.
# Needs Go and GNU make. Nothing else has to be installed.

.DEFAULT_GOAL := help
.PHONY: help run inbound-call invoke test test-short test-sam test-asl test-aws bench bench-requests build sizes verify generate phonenumbers lint clean-local

# One Lambda function per folder that has a lambda/main.go.
FUNCTIONS := $(sort $(patsubst functions/%/lambda/main.go,%,$(wildcard functions/*/lambda/main.go)))

# How Lambda wants its binaries: static, for Graviton, without symbols, without the
# RPC mode that only the retired go1.x runtime spoke, and without HTTP/2, which is
# 400 kB and which AWS, LiveKit and users' servers do without. Only where they are
# to run on this machine is LAMBDA_GOARCH another: see scripts/test-sam.sh.
LAMBDA_GOARCH ?= arm64
LAMBDA_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -tags lambda.norpc,nethttpomithttp2
LAMBDA := GOOS=linux GOARCH=$(LAMBDA_GOARCH) $(LAMBDA_BUILD)

# The race detector needs a C compiler; everything else does without.
GO_CC = $(shell command -v "$$(go env CC)" 2>/dev/null)
RACE = $(if $(GO_CC),-race,)

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: bin/kros ## Run the whole platform here and place a first call (Ctrl-C stops it)
	@exec bin/kros

# A build may take minutes, and go says nothing meanwhile.
bin/kros: FORCE
	@if ! test -x $@; then echo "building the platform the first time takes 2–3 minutes (LiveKit server is compiled in)…"; \
		elif test -n "$$(find go.mod emulator functions shared local -newer $@ \( -name '*.go' ! -name '*_test.go' -o -name go.mod \) | head -n 1)"; then \
		echo "the source has changed: building the platform again, which takes up to 2 minutes…"; fi
	@cd local && CGO_ENABLED=0 go build -o ../$@ ./cmd/kros
	@touch $@

inbound-call: bin/kros ## Call a number of the platform that runs: make inbound-call FROM=+14155550100 TO=+2348012345678
	@exec bin/kros inbound-call $(if $(FROM),-from '$(FROM)') $(if $(TO),-to '$(TO)')

invoke: bin/kros ## Run one function on the platform that runs: make invoke FN=createcall EVENT=events/createcall.json
	@exec bin/kros invoke $(if $(EVENT),-event '$(EVENT)') $(if $(FN),'$(FN)')

# The packages whose tests put telephones into LiveKit rooms. They run without
# the race detector: pion's debug log reads a track while its connection is still
# writing it, which the detector reports whatever our code does; and one after the
# other, because they check times.
CALLS := ./agent ./bridge ./e2e ./livekitd

test: ## Run every test, with the race detector where a C compiler is there
	@if [ -n "$(RACE)" ]; then echo "testing with the race detector ($(GO_CC) found)"; \
		else echo "testing without the race detector (it needs a C compiler; none found)"; fi
	@echo "1/3 the functions and what they share"
	@CGO_ENABLED=$(if $(RACE),1,0) go test -timeout 30m $(RACE) ./...
	@echo "2/3 the laptop platform (a first build takes some minutes: LiveKit server is compiled in)"
	@cd local && CGO_ENABLED=$(if $(RACE),1,0) go test -timeout 30m $(RACE) $$(go list ./... | grep -vE '/(agent|bridge|e2e|livekitd)$$')
	@echo "3/3 telephone calls, against the recordings and through the whole platform (about 3 minutes; without the race detector, see the Makefile)"
	@cd local && CGO_ENABLED=0 go test -timeout 30m -p 1 $(CALLS)

test-short: ## Run the quick tests only, without the race detector
	@echo "what takes long is left out, most of the end-to-end tests among it"
	@CGO_ENABLED=0 go test -short ./...
	@cd local && CGO_ENABLED=0 go test -short ./...

test-sam: ## Build with the SAM CLI and place a call through the functions in its containers
	@scripts/test-sam.sh

test-asl: ## Have asl-validator judge the state machines (it needs Node, or root on Debian)
	@scripts/test-asl.sh

test-aws: ## Hold the emulators to dynalite, moto and ministack, and test the product on the last
	@scripts/test-aws.sh

bench: ## Run the benchmarks (one of them stores a million calls first: minutes)
	@CGO_ENABLED=0 go test -timeout 30m -run '^$$' -bench . -benchmem ./...
	@cd local && CGO_ENABLED=0 go test -run '^$$' -bench Invite -benchtime 30x ./platform

bench-requests: ## Measure requests beside Go's own GOGC, or beside a commit: make bench-requests BEFORE=544f88d
	@scripts/bench-requests.sh $(BEFORE)

build: $(FUNCTIONS:%=bin/functions/%/bootstrap) ## Build every Lambda function into bin/functions/

# Always asked: go build itself knows what has changed.
bin/functions/%/bootstrap: FORCE
	@echo "building $*"
	@$(LAMBDA) -o $@ ./functions/$*/lambda

# The same function for the machine at hand, for `make invoke` and `make sizes`.
bin/here/%/bootstrap: FORCE
	@$(LAMBDA_BUILD) -o $@ ./functions/$*/lambda

bin/here/hello/bootstrap: FORCE
	@$(LAMBDA_BUILD) -o $@ ./layout/testdata/hello

sizes: ## Build every function, print sizes and starts, and check those of routes (minutes the first time)
	@$(MAKE) --no-print-directory -j $$(getconf _NPROCESSORS_ONLN) build $(FUNCTIONS:%=bin/here/%/bootstrap) bin/here/hello/bootstrap
	@CGO_ENABLED=0 go test -count=1 -v -run '^TestSizes$$' ./layout -sizes

FORCE:

# What `sam build` calls for a function (BuildMethod: makefile): the logical id
# CreateCallFunction is the folder functions/createcall.
build-%Function: FORCE
	$(LAMBDA) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/$(shell echo $* | tr A-Z a-z)/lambda

verify: ## Check formatting, vet, layout, and that generated files are up to date
	@echo "gofmt"; unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; }
	@echo "go vet"; CGO_ENABLED=0 go vet ./... && cd local && CGO_ENABLED=0 go vet ./...
	@echo "openapi.json, events/golden, docs/cost.md"; CGO_ENABLED=0 go test -count=1 -run '^Test(OpenAPI|Events|Cost)$$' ./functions/all
	@echo "shared/phonenumber/table.bin"; CGO_ENABLED=0 go test -count=1 -run '^TestTable$$' ./shared/phonenumber
	@echo "docs/workflows.md"; CGO_ENABLED=0 go test -count=1 -run TestDrawings ./statemachines
	@echo "layout"; CGO_ENABLED=0 go test -count=1 ./layout ./emulator/template

generate: ## Write anew openapi.json, the answers of events/golden, what docs/cost.md counts and docs/workflows.md draws, the table of phone numbers
	@CGO_ENABLED=0 go test -count=1 -run '^Test(OpenAPI|Events|Cost)$$' ./functions/all -update
	@CGO_ENABLED=0 go test -count=1 -run TestDrawings ./statemachines -update
	@CGO_ENABLED=0 go test -count=1 -run '^TestTable$$' ./shared/phonenumber -update

phonenumbers: ## Fetch the metadata of phone numbers, at the version that scripts/phonenumbers.sh names, and make the table of it
	@scripts/phonenumbers.sh
	@CGO_ENABLED=0 go test -count=1 -run '^TestTable$$' ./shared/phonenumber -update

lint: ## Run golangci-lint, where it is installed
	@command -v golangci-lint >/dev/null || { echo "golangci-lint is not installed: https://golangci-lint.run/docs/welcome/install/"; exit 1; }
	@golangci-lint run ./... && cd local && golangci-lint run --config ../.golangci.yaml ./...

clean-local: ## Forget the local platform's data (.local/)
	@rm -rf .local
