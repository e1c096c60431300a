# `make` without a target lists the targets that have a "##" text.
# It needs Go and GNU make. Nothing else has to be installed.

.DEFAULT_GOAL := help
.PHONY: help new run inbound-call invoke test test-short test-sam test-asl test-aws test-openapi test-console bench bench-requests build sizes verify generate phonenumbers lint clean-local

# One Lambda function per folder that has a lambda/main.go.
FUNCTIONS := $(sort $(patsubst functions/%/lambda/main.go,%,$(wildcard functions/*/lambda/main.go)))

# The binaries for Lambda are static, for Graviton, and without symbols. They leave out the RPC
# mode, which only the retired go1.x runtime used. They also leave out HTTP/2: it takes 400 kB, and
# AWS, LiveKit and users' servers do not require it. scripts/test-sam.sh sets LAMBDA_GOARCH, because
# it runs the binaries on this machine.
LAMBDA_GOARCH ?= arm64
LAMBDA_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -tags lambda.norpc,nethttpomithttp2
LAMBDA := GOOS=linux GOARCH=$(LAMBDA_GOARCH) $(LAMBDA_BUILD)

# The race detector needs a C compiler. No other target needs one.
GO_CC = $(shell command -v "$$(go env CC)" 2>/dev/null)
RACE = $(if $(GO_CC),-race,)

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: bin/kros ## Run the whole platform here and place a first call (Ctrl-C stops it)
	@exec bin/kros

# A build may take minutes, and go prints nothing meanwhile.
bin/kros: FORCE
	@if ! test -x $@; then echo "building the platform the first time takes 2–3 minutes (LiveKit server is compiled in)…"; \
		elif test -n "$$(find go.mod console emulator functions shared local -newer $@ \( -name '*.go' ! -name '*_test.go' -o -name go.mod -o -path 'console/*.[cjh]*' ! -path '*/test/*' \) | head -n 1)"; then \
		echo "the source has changed: building the platform again, which takes up to 2 minutes…"; fi
	@cd local && CGO_ENABLED=0 go build -o ../$@ ./cmd/kros
	@touch $@

inbound-call: bin/kros ## Call a number of the platform that runs: make inbound-call FROM=+14155550100 TO=+2348012345678
	@exec bin/kros inbound-call $(if $(FROM),-from '$(FROM)') $(if $(TO),-to '$(TO)')

invoke: bin/kros ## Run one function on the platform that runs: make invoke FN=createcall EVENT=events/createcall.json
	@exec bin/kros invoke $(if $(EVENT),-event '$(EVENT)') $(if $(FN),'$(FN)')

new: ## Write a new endpoint: make new FN=listnotes ROUTE='GET /outbound-calls/{call_id}/notes'
	@CGO_ENABLED=0 go run ./scripts/newendpoint -fn '$(FN)' -route '$(ROUTE)'

# The packages whose tests put telephones into LiveKit rooms. They run without the race detector,
# because it reports a race inside pion: pion's debug log reads a track while the connection writes
# it. They run one after the other, because they check times.
CALLS := ./agent ./bridge ./e2e ./livekitd

test: ## Run every test, with the race detector if there is a C compiler
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

test-asl: ## Check the state machines with asl-validator (it needs Node, or root on Debian)
	@scripts/test-asl.sh

test-aws: ## Compare the emulators with dynalite and moto, and test the product on ministack
	@scripts/test-aws.sh

test-openapi: ## Lint openapi.json, and compile clients that generators make from it
	@scripts/test-openapi.sh

test-console: ## Test the console in Chromium against a platform of its own (SCREENSHOTS=folder keeps the pictures)
	@scripts/test-console.sh $(SCREENSHOTS)

bench: ## Run the benchmarks (one of them stores a million calls first: minutes)
	@CGO_ENABLED=0 go test -timeout 30m -run '^$$' -bench . -benchmem ./...
	@cd local && CGO_ENABLED=0 go test -run '^$$' -bench Invite -benchtime 30x ./platform

bench-requests: ## Compare requests with Go's default GOGC, or with a commit: make bench-requests BEFORE=544f88d
	@scripts/bench-requests.sh $(BEFORE)

build: $(FUNCTIONS:%=bin/functions/%/bootstrap) ## Build every Lambda function into bin/functions/

# The build always runs, because go build itself detects what has changed.
bin/functions/%/bootstrap: FORCE
	@echo "building $*"
	@$(LAMBDA) -o $@ ./functions/$*/lambda

# The same function for this machine, for `make invoke`, `make sizes` and scripts/test-aws.sh.
bin/here/%/bootstrap: FORCE
	@$(LAMBDA_BUILD) -o $@ ./functions/$*/lambda

bin/here/hello/bootstrap: FORCE
	@$(LAMBDA_BUILD) -o $@ ./layout/testdata/hello

sizes: ## Build every function, print sizes and start times, and check those of routes (minutes the first time)
	@$(MAKE) --no-print-directory -j $$(getconf _NPROCESSORS_ONLN) build $(FUNCTIONS:%=bin/here/%/bootstrap) bin/here/hello/bootstrap
	@CGO_ENABLED=0 go test -count=1 -v -run '^TestSizes$$' ./layout -sizes

FORCE:

# `sam build` makes this target for each function (BuildMethod: makefile). The folder of the logical
# id CreateCallFunction is functions/createcall.
build-%Function: FORCE
	$(LAMBDA) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/$(shell echo $* | tr A-Z a-z)/lambda

# The tests of functions/all that name what a new endpoint lacks: its row, sample, event and rights.
ENDPOINTS := '^Test(OpenAPI|Problem|Events|Cost|WhoMayNot|ForeignIDs|EveryPost|EveryOperation|TableMatches|Patterns|Timeouts|GatewayEvents|RarePaths|OtherQueries|WithoutARight)'

verify: ## Check formatting, vet, layout, generated files, and that no endpoint lacks a row, event or right
	@echo "gofmt"; unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; }
	@echo "go vet"; CGO_ENABLED=0 go vet ./... && cd local && CGO_ENABLED=0 go vet ./...
	@status=0; check() { echo "$$1"; shift; CGO_ENABLED=0 go test -count=1 "$$@" || status=1; }; \
		check "layout" ./layout ./emulator/template; \
		check "every endpoint; openapi.json, events/golden, docs/cost.md" -run $(ENDPOINTS) ./functions/all; \
		check "shared/phonenumber/table.bin" -run '^TestTable$$' ./shared/phonenumber; \
		check "docs/workflows.md" -run TestDrawings ./statemachines; \
		exit $$status

generate: ## Rewrite openapi.json, events/golden, the counts of docs/cost.md, the drawings of docs/workflows.md and the table of phone numbers
	@CGO_ENABLED=0 go test -count=1 -run '^Test(Events|Cost)$$' ./functions/all -update
	@CGO_ENABLED=0 go test -count=1 -run '^TestOpenAPI$$' ./functions/all -update # its examples are events/golden
	@CGO_ENABLED=0 go test -count=1 -run TestDrawings ./statemachines -update
	@CGO_ENABLED=0 go test -count=1 -run '^TestTable$$' ./shared/phonenumber -update

phonenumbers: ## Fetch the phone number metadata of the version in scripts/phonenumbers.sh, and make the table from it
	@scripts/phonenumbers.sh
	@CGO_ENABLED=0 go test -count=1 -run '^TestTable$$' ./shared/phonenumber -update

# staticcheck (MIT). golangci-lint is under the GPL, which this project does not run.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

lint: ## Check the code with staticcheck
	@CGO_ENABLED=0 go run $(STATICCHECK) ./...
	@cd local && CGO_ENABLED=0 go run $(STATICCHECK) ./...

clean-local: ## Forget the local platform's data (.local/)
	@rm -rf .local
