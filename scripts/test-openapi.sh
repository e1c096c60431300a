#!/usr/bin/env bash
# make test-openapi: checks openapi.json with linters and generators that others wrote.
#
# spectral and redocly lint it with their standard rules: no error and no warning is allowed.
# openapi-typescript with openapi-fetch, openapi-python-client, oapi-codegen and ogen make clients
# from it with their default settings. Each client must compile, and places a call on a laptop
# platform that the script starts. schemathesis sends the platform generated requests and compares
# the answers with the document.
#
# It needs Go, Python 3.11 or later with venv, and Node with npm. As root on Debian it installs
# Python and Node if they are missing. What it installs and generates goes to .local/openapi.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

npm_packages=(@stoplight/spectral-cli@6.16.3 @redocly/cli@2.77.0 openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3 @types/node@20.19.43)
pip_packages=(openapi-python-client==0.29.1 schemathesis==4.32.5)
oapi_codegen=v2.8.2 ogen=v1.24.0

document=$PWD/openapi.json
root=$PWD programs=$PWD/scripts/test-openapi
work=$PWD/.local/openapi
bin=$work/node_modules/.bin
mkdir -p "$work"

fail() {
	echo "$*" >&2
	exit 1
}

# install PACKAGE… installs Debian packages, or fails with what to install.
install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "install $*, or run this as root on Debian"
	echo "installing Debian's $*"
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >"$work/apt.log" 2>&1 ||
		{ tail "$work/apt.log" >&2 && fail "$* could not be installed"; }
}

# quietly COMMAND… prints the command's output only if it fails.
quietly() {
	"$@" >"$work/output.log" 2>&1 || { cat "$work/output.log" >&2 && fail "failed: $*"; }
}

# --- Tools

command -v npm >/dev/null || install nodejs npm
python3 -c 'import ensurepip' 2>/dev/null || install python3 python3-venv
versions="${npm_packages[*]} ${pip_packages[*]}"
if [ "$(cat "$work/versions" 2>/dev/null)" != "$versions" ]; then
	echo 'installing the tools in .local/openapi'
	rm -rf "$work/venv" "$work/node_modules"
	npm install --loglevel=error --no-audit --no-fund --ignore-scripts --prefix "$work" "${npm_packages[@]}"
	python3 -m venv "$work/venv"
	"$work/venv/bin/pip" install --quiet --disable-pip-version-check "${pip_packages[@]}"
	echo "$versions" >"$work/versions"
fi
printf '%s\n' "${npm_packages[@]}" "${pip_packages[@]}" "oapi-codegen@$oapi_codegen" "ogen@$ogen"

# --- Linters

# spectral FILE lints with the standard rules, and fails on a warning, too.
echo 'extends: ["spectral:oas"]' >"$work/spectral.yaml"
spectral() { "$bin/spectral" lint --quiet --fail-severity=hint --ruleset "$work/spectral.yaml" "$1"; }

redocly() { REDOCLY_TELEMETRY=off "$bin/redocly" lint --format=json --max-problems=1000 "$1" 2>/dev/null; }

spectral "$document"
redocly "$document" >"$work/redocly.json" || true
grep -q '"totals"' "$work/redocly.json" || fail 'redocly says nothing'
python3 -c 'import json, sys
problems = json.load(open(sys.argv[1]))["problems"]
for p in problems: print(p["ruleId"], p["message"], p["location"][0].get("pointer", ""))
sys.exit(len(problems) > 0)' "$work/redocly.json"
echo 'spectral and redocly have no complaint'

# The check must be able to fail. The operations of this document have a tag without a declaration.
sed 's/"name": "Calls"/"name": "Other"/' "$document" >"$work/broken.json"
! spectral "$work/broken.json" >"$work/broken.log" || fail 'spectral finds nothing wrong with a broken document'
grep -q operation-tag-defined "$work/broken.log" || { cat "$work/broken.log" >&2 && fail 'spectral failed, but not at what is broken'; }
echo 'and spectral finds what is wrong with a broken one'

# --- Clients

quietly "$bin/openapi-typescript" "$document" --output "$work/api.d.ts"
cp "$programs/client.ts" "$work/client.ts"
echo '{"type": "module"}' >"$work/package.json"
(cd "$work" && quietly "$bin/tsc" --strict --target es2022 --module nodenext --moduleResolution nodenext --types node client.ts)
echo 'TypeScript: openapi-typescript and openapi-fetch'

# openapi-python-client knows no text/csv, the second content type of an import.
printf 'content_type_overrides:\n  text/csv: application/octet-stream\n' >"$work/python.yaml"
rm -rf "$work/python"
PATH=$work/venv/bin:$PATH quietly "$work/venv/bin/openapi-python-client" generate --path "$document" --config "$work/python.yaml" \
	--output-path "$work/python" --meta none --fail-on-warning
quietly "$work/venv/bin/python" -m compileall -q "$work/python"
cp "$programs/client.py" "$work/client.py"
echo 'Python: openapi-python-client'

# module NAME DEPENDENCY makes an empty Go module with one dependency, and goes there.
module() {
	rm -rf "${work:?}/$1"
	mkdir -p "$work/$1"
	cd "$work/$1"
	quietly go mod init "$1"
	quietly go get "$2"
}

# program builds the client in this folder's module, and the program that uses it.
program() {
	local name=${PWD##*/}
	mkdir main
	sed '/^\/\/go:build ignore$/d' "$programs/$name/main.go" >main/main.go
	quietly go mod tidy
	quietly go vet ./...
	quietly go build -o client ./main
}
export CGO_ENABLED=0
quietly make -C "$root" bin/kros
export GOWORK=off GOFLAGS=-mod=mod
(
	module oapicodegen github.com/oapi-codegen/runtime@v1.9.0
	go run "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@$oapi_codegen" -package oapicodegen "$document" >gen.go 2>err.log ||
		{ cat err.log >&2 && fail 'oapi-codegen makes no client'; }
	program
)
echo 'Go: oapi-codegen'
(
	module ogen "github.com/ogen-go/ogen@$ogen"
	quietly go run "github.com/ogen-go/ogen/cmd/ogen@$ogen" --target . --package ogen "$document"
	program
)
echo 'Go: ogen'

# --- The platform

export PORT=${TEST_OPENAPI_PORT:-18180} KROS_DIR=$work/kros FIRST_CALL=0
export KROS_URL=http://127.0.0.1:$PORT
rm -rf "$KROS_DIR"
"$root/bin/kros" >"$work/kros.log" 2>&1 &
trap 'kill %1 2>/dev/null; wait' EXIT
for _ in $(seq 300); do
	! curl --silent --fail --output /dev/null "$KROS_URL/health" || break
	kill -0 %1 2>/dev/null || { cat "$work/kros.log" >&2 && fail 'the platform ended'; }
	sleep 0.2
done
until [ -s "$KROS_DIR/env" ]; do sleep 0.2; done # it is written when the demo user has a number
KROS_TOKEN=$("$root/bin/kros" token -sub demo)
export KROS_TOKEN

cd "$work"
node client.js
"$work/venv/bin/python" client.py
oapicodegen/client
ogen/client

# The token is an administrator's, too, so that no operation is refused. The seed makes the requests
# of two runs equal.
"$work/venv/bin/schemathesis" run "$document" --url "$KROS_URL" --header "Authorization: Bearer $("$root/bin/kros" token -sub demo -admin)" \
	--request-timeout 30 --max-examples 10 --max-time 90 --seed 1 --phases examples,coverage,fuzzing \
	--checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
	>schemathesis.log || { cat schemathesis.log >&2 && fail 'schemathesis found answers that the document does not describe'; }
grep 'generated,' schemathesis.log
