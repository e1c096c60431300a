#!/usr/bin/env bash
# make test-dynamodb: the DynamoDB emulator beside Amazon's own DynamoDB Local, and
# the product's tests with DynamoDB Local in the emulator's place.
#
# The answers that the emulator is held to are asked for again; then thousands of
# generated operations go to both, and every answer is compared. SEED and
# OPERATIONS draw other operations, and more of them. At the end the functions, and
# telephone calls through the whole platform, are tested on DynamoDB Local.
#
# It needs Go, curl, Java 17 and Maven. As root on Debian it installs what is missing
# but Go. DynamoDB Local comes from Maven Central, once, into
# .local/dynamodb-local; what is started is stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=2.6.1
work=$PWD/.local/dynamodb-local
lib=$work/$version
port=${TEST_DYNAMODB_PORT:-18070}
url=http://127.0.0.1:$port
mkdir -p "$work"

# --- What the script says, and how it ends

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

finish() {
	local status=$? failed=$step
	step ''
	[ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true
	printf '\n'
	printf '%s\n' "${took[@]}"
	if [ $status = 0 ]; then echo "passed after $SECONDS s"; else echo "FAILED after $SECONDS s: $failed"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# install COMMAND PACKAGE… installs Debian packages, or says what to install.
install() {
	local command=$1
	shift
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$command is missing: install $*"
	echo "installing Debian's $*"
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >"$work/apt.log" 2>&1 ||
		{ tail "$work/apt.log" >&2 && fail "$* could not be installed"; }
}

# --- DynamoDB Local

step "DynamoDB Local $version in .local/dynamodb-local"
java_major() { java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'; }
command -v curl >/dev/null || install curl curl ca-certificates
[ "$(java_major)" -ge 17 ] 2>/dev/null || install 'Java 17' openjdk-17-jre-headless
if [ ! -d "$lib" ]; then
	command -v mvn >/dev/null || install Maven maven
	rm -rf "$work/fetched"
	cat >"$work/pom.xml" <<-POM
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>krosai</groupId><artifactId>dynamodb-local</artifactId><version>1</version>
		  <dependencies>
		    <dependency><groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId><version>$version</version></dependency>
		  </dependencies>
		</project>
	POM
	mvn --quiet --batch-mode --file "$work/pom.xml" dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$work/fetched" >"$work/mvn.log" 2>&1 ||
		{ tail "$work/mvn.log" >&2 && fail 'DynamoDB Local could not be fetched'; }
	mv "$work/fetched" "$lib"
fi
! curl --silent --output /dev/null "$url" || fail "something else answers at $url (TEST_DYNAMODB_PORT moves it)"
# The jars include SQLite for the machines that Maven Central has it for. What the server
# writes beside them goes where it runs.
cd "$work"
java -Xmx1g -Djava.library.path="$lib" -cp "$lib/*" com.amazonaws.services.dynamodbv2.local.main.ServerRunner \
	-inMemory -port "$port" >"$work/server.log" 2>&1 </dev/null &
pid=$!
cd - >/dev/null
until curl --silent --output /dev/null "$url"; do
	kill -0 "$pid" 2>/dev/null && [ $((SECONDS - began)) -lt 120 ] || { tail "$work/server.log" >&2 && fail 'DynamoDB Local does not start'; }
	sleep 0.2
done
echo "listens on $url"

# --- The emulator

step 'The recorded answers are still those of DynamoDB Local'
export CGO_ENABLED=0
DYNAMODB_LOCAL=$url go test -count=1 -run '^TestAnswers$' ./emulator/dynamodb

step 'Generated operations, on both sides'
DYNAMODB_LOCAL=$url go test -count=1 -v -run '^TestReferee$' ./emulator/dynamodb \
	-args -seed "${SEED:-1}" -operations "${OPERATIONS:-15000}" | sed 's/^ *referee_test.go:[0-9]*: //'

# --- The product

export AWS_ENDPOINT_URL_DYNAMODB=$url

step 'The tests of the functions and what they share, on DynamoDB Local'
go test -count=1 ./functions/... ./shared/... | sed '/no test files/d'

step 'Telephone calls and the examples through the whole platform, on DynamoDB Local'
cd local
go test -count=1 -v -run '^Test(HistoryAndStatistics|Story|KilledMidCall|Invoke|FirstCallExample|NumbersExample|CallsExample)$' ./e2e >"$work/e2e.log" 2>&1 || {
	grep -E '^ *(--- FAIL|[a-z]+_test\.go:)' "$work/e2e.log" >&2 || tail "$work/e2e.log" >&2
	fail "all is in $work/e2e.log"
}
grep '^--- ' "$work/e2e.log"
