#!/usr/bin/env bash
# make test-aws: compares this repository's emulators of AWS with emulators that others wrote.
#
# dynalite checks the DynamoDB emulator. Its own tests also pass on DynamoDB itself. Thousands of
# generated operations go to both, and every answer is compared. moto's interpreter checks the Step
# Functions emulator: the machines of the product and generated ones run in both. ministack is
# another DynamoDB for the tests of the product, and another CloudFormation: it creates the stack of
# template.yaml, and the stack's functions handle a request for a number.
#
# SEED changes what is generated. OPERATIONS and MACHINES change how much. The script needs Go,
# make, curl, Python 3.11 or 3.13 with venv, and Node with npm. As root on Debian it installs what
# is missing, except Go and make. The packages from pip and npm go to .local/aws. The script stops
# all processes that it starts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$PWD/.local/aws
port=${TEST_AWS_PORT:-18071}
url=http://127.0.0.1:$port
python=$work/venv/bin/python
mkdir -p "$work/ministack"

# --- Output and cleanup

took=() step='' began=0 pid=''
step() {
	[ -z "$step" ] || took+=("$(printf '%5d s  %s' $((SECONDS - began)) "$step")")
	step=$1 began=$SECONDS
	[ -z "$step" ] || printf '\n=== %s\n' "$step"
}

fail() {
	echo "$*" >&2
	exit 1
}

# stop_ministack kills ministack and the functions that it has started. On SIGTERM, ministack waits
# for the functions for minutes, and they outlive it.
stop_ministack() {
	[ -n "$pid" ] || return 0
	local functions
	functions=$(pgrep -P "$pid" || true)
	kill -KILL "$pid" $functions 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

finish() {
	local status=$? failed=$step
	step ''
	stop_ministack
	printf '\n'
	printf '%s\n' "${took[@]}"
	if [ $status = 0 ]; then echo "passed after $SECONDS s"; else echo "FAILED after $SECONDS s: $failed"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# install PACKAGE… installs Debian packages, or fails with what to install.
install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "install $*, or run this as root on Debian"
	echo "installing Debian's $*"
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >"$work/apt.log" 2>&1 ||
		{ tail "$work/apt.log" >&2 && fail "$* could not be installed"; }
}

# tests ARGUMENTS… runs tests and prints their logs without source positions.
tests() {
	go test -count=1 "$@" | sed 's/^ *[a-z_]*_test\.go:[0-9]*: //; /^=== /d; /no test files/d'
}

# --- Tools

step 'The tools, in .local/aws'
command -v curl >/dev/null || install curl ca-certificates
python3 -c 'import ensurepip' 2>/dev/null || install python3 python3-venv
command -v npm >/dev/null || install nodejs npm
command -v pgrep >/dev/null || install procps
locks=$(cat scripts/test-aws/requirements.txt scripts/test-aws/package-lock.json | sha256sum)
if [ "$(cat "$work/locks" 2>/dev/null)" != "$locks" ]; then
	rm -rf "$work/venv" "$work/node_modules"
	python3 -m venv "$work/venv"
	"$python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --requirement scripts/test-aws/requirements.txt
	cp scripts/test-aws/package.json scripts/test-aws/package-lock.json "$work"
	npm ci --prefix "$work" --loglevel=error --no-audit --no-fund --ignore-scripts >"$work/npm.log" || { cat "$work/npm.log" >&2 && fail 'dynalite could not be installed'; }
	echo "$locks" >"$work/locks"
fi
"$python" -m pip list --disable-pip-version-check | grep -E '^(ministack|moto|aws-sam-translator) '
sed -n 's/^ *"dynalite": /dynalite /p' scripts/test-aws/package.json
export CGO_ENABLED=0

# --- The emulators

step 'The DynamoDB emulator beside dynalite'
DYNALITE=$work/node_modules/dynalite/cli.js tests -v -run '^TestReferee$' ./emulator/dynamodb \
	-args -seed "${SEED:-1}" -operations "${OPERATIONS:-6000}"

step "The Step Functions emulator beside moto's interpreter"
export MOTO_PYTHON=$python
tests -v -run '^TestMoto$' ./emulator/stepfunctions -args -seed "${SEED:-1}" -machines "${MACHINES:-150}"
tests -run '^TestMoto$' ./statemachines

# --- The product

step "ministack at $url"
! curl --silent --output /dev/null "$url" || fail "something else answers at $url (TEST_AWS_PORT moves it)"
# ministack reads no configuration of the user, and the functions send all AWS requests to it.
env -i PATH="$PATH" HOME="$work/ministack" TMPDIR="$work/ministack" AWS_EC2_METADATA_DISABLED=true \
	BIND_HOST=127.0.0.1 GATEWAY_PORT="$port" LOG_LEVEL=WARNING AWS_ENDPOINT_URL="$url" AWS_ENDPOINT_URL_DYNAMODB="$url" \
	AWS_ENDPOINT_URL_SFN="$url" AWS_ENDPOINT_URL_SQS="$url" AWS_ENDPOINT_URL_SECRETS_MANAGER="$url" \
	"$work/venv/bin/ministack" >"$work/ministack.log" 2>&1 </dev/null &
pid=$!
until curl --silent --output /dev/null "$url/_ministack/health"; do
	kill -0 "$pid" 2>/dev/null && [ $((SECONDS - began)) -lt 120 ] || { tail "$work/ministack.log" >&2 && fail 'ministack does not start'; }
	sleep 0.2
done
echo 'it listens'

step 'The stack of template.yaml in ministack, and a number from its API'
deployed=$(sed -n '/^var deployed = /,/}$/p' functions/all/cloudformation_test.go | grep -o '"[a-z]*"' | tr -d '"')
make --no-print-directory -j "$(getconf _NPROCESSORS_ONLN)" $(printf 'bin/here/%s/bootstrap ' $deployed) >"$work/build.log" 2>&1 || { tail "$work/build.log" >&2 && fail 'the functions could not be built'; }
MINISTACK=$url tests -v -run '^TestCloudFormation$' ./functions/all

step 'The tests of the functions and what they share, on the DynamoDB of ministack'
# Three kinds of tests are left out. In some, a hundred goroutines want one row at once, or there
# are thousands of steps: ministack answers one request after another, and the transactions that it
# cancels are retried for minutes. One reads 18 MB: ministack answers it at once, where DynamoDB
# stops at 16 MB. The tests of functions/all take the same paths once more, for longer.
races='TestOneAssignment|TestOneNumberForManyRequests|TestManyNumbersForManyRequests|TestTwoRequestsForOneNumber'
races="^($races|TestReleaseDuringAssignment|TestHourLimitIsExact|TestHourLimitAtTheTurn|TestHistoryIsComplete)\$"
KROS_DYNAMODB_ENDPOINT=$url tests -timeout 20m -skip "$races|^TestReadCalls\$/^of_18_MB\$" ./shared/store $(go list ./functions/... | grep -v '/functions/all$')
step ''
