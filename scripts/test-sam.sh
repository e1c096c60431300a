#!/usr/bin/env bash
# make test-sam: checks the template with Amazon's own tools, and places a call through the
# functions in the containers of the SAM CLI.
#
# The script validates the template and builds every function for this machine. It starts the laptop
# platform (its emulators of DynamoDB and Step Functions, its LiveKit, its phones) and `sam local`
# beside it: start-api serves the routes, start-lambda runs the tasks of the workflows. Then
# examples/curl/first-call.sh places a call.
#
# It needs Go, make, curl, Python 3 with venv, and Docker. As root on Debian it installs and starts
# Docker itself. A Docker that already runs is used unchanged. The script writes its files to
# .local/sam, and stops all processes that it starts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sam_version=1.170.0
cfn_lint_version=1.58.0
work=$PWD/.local/sam
port=${TEST_SAM_PORT:-18080} # the platform's port; its emulators use the ports after it
api=http://127.0.0.1:$((port + 10))
lambda=http://127.0.0.1:$((port + 11))

case $(uname -m) in
x86_64) arch=x86_64 goarch=amd64 ;;
aarch64 | arm64) arch=arm64 goarch=arm64 ;;
*) echo "Lambda has no functions for $(uname -m)" >&2 && exit 1 ;;
esac
image=public.ecr.aws/lambda/provided:al2023-$arch

# No AWS account is used: the credentials mean nothing, and the user's configuration is not read.
export SAM_CLI_TELEMETRY=0 AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
mkdir -p "$work" && rm -f "$work"/*.log

# --- Output and cleanup

took=() step='' began=0
step() {
	[ -z "$step" ] || took+=("$(printf '%5d s  %s' $((SECONDS - began)) "$step")")
	step=$1 began=$SECONDS
	[ -z "$step" ] || printf '\n=== %s\n' "$step"
}

fail() {
	echo "$*" >&2
	exit 1
}

# background NAME COMMAND… starts a program, with its output in .local/sam/NAME.log.
pids=()
background() {
	local name=$1
	shift
	"$@" >"$work/$name.log" 2>&1 </dev/null &
	pids=($! ${pids[@]+"${pids[@]}"})
}

# until_up SECONDS NAME COMMAND… waits until the command succeeds. After SECONDS, or if the program
# that was started last has ended, it prints the end of the log and fails.
until_up() {
	local end=$((SECONDS + $1)) name=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ] || ! kill -0 "${pids[0]}" 2>/dev/null; then
			tail -n 20 "$work/$name.log" >&2
			echo "$name does not answer" >&2
			return 1
		fi
		sleep 0.5
	done
}

# install PACKAGE… installs Debian packages.
install() {
	command -v apt-get >/dev/null || return 1
	{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@"; } >"$work/apt.log" 2>&1 ||
		{ tail "$work/apt.log" >&2 && return 1; }
}

finish() {
	local status=$? failed=$step pid
	step ''
	if [ $status != 0 ] && [ ${#pids[@]} != 0 ]; then
		for name in start-api start-lambda; do
			[ ! -f "$work/$name.log" ] || { printf '\nThe end of %s:\n' "$work/$name.log" && tail -n 40 "$work/$name.log"; }
		done
	fi
	for pid in ${pids[@]+"${pids[@]}"}; do # the program started last is stopped first
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	printf '\n'
	printf '%s\n' "${took[@]}"
	if [ $status = 0 ]; then echo "passed after $SECONDS s"; else echo "FAILED after $SECONDS s: $failed"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- Tools

step "sam $sam_version and cfn-lint $cfn_lint_version in .local/sam/venv"
export PATH=$work/venv/bin:$PATH
if [ "$(cat "$work/venv/versions" 2>/dev/null)" != "$sam_version $cfn_lint_version" ]; then
	rm -rf "$work/venv"
	python3 -m venv "$work/venv"
	pip install --quiet --disable-pip-version-check aws-sam-cli==$sam_version cfn-lint==$cfn_lint_version
	echo "$sam_version $cfn_lint_version" >"$work/venv/versions"
fi
sam --version
cfn-lint --version

step 'sam validate --lint'
sam validate --lint

step 'cfn-lint'
cfn-lint template.yaml
echo 'nothing to say'

step "sam build, every function, for $arch"
LAMBDA_GOARCH=$goarch sam build --build-dir "$work/build" >"$work/build.log" 2>&1 || {
	tail -n 30 "$work/build.log" >&2
	fail 'sam build failed'
}
echo "$(find "$work/build" -name bootstrap | wc -l) functions"

# sam local passes a function only the variables that the template names. The template does not name
# those that set the endpoints of DynamoDB, Step Functions and SQS, so they are added here.
awk -v arch=$arch '
	/^    - arm64$/ { sub(/arm64/, arch) }
	{ print }
	/^      Variables:$/ && !done++ { print "        AWS_ENDPOINT_URL_DYNAMODB: \"\"\n        AWS_ENDPOINT_URL_SFN: \"\"\n        AWS_ENDPOINT_URL_SQS: \"\"" }
' "$work/build/template.yaml" >"$work/build/local.yaml"

step 'The laptop platform, built'
(cd local && CGO_ENABLED=0 go build -o ../bin/kros ./cmd/kros)

# --- Docker

step 'Docker'
# no_docker WHY ends the run as a failure. With WITHOUT_DOCKER=skip, for machines that cannot run
# Docker, it ends as a success after the steps before this one.
no_docker() {
	[ "${WITHOUT_DOCKER:-}" = skip ] || fail "$*"
	echo "SKIPPED: the call through Lambda's containers. $*"
	exit 0
}
if ! docker info >/dev/null 2>&1; then
	[ "$(id -u)" = 0 ] || no_docker 'Docker does not answer: start it, or run this as root on Debian'
	if ! command -v dockerd >/dev/null; then
		echo "installing Debian's docker.io"
		install docker.io iptables || no_docker 'docker.io could not be installed'
	fi
	background dockerd dockerd
	until_up 60 dockerd docker info || no_docker 'dockerd does not start'
	echo 'started dockerd'
fi
docker version --format 'Docker {{.Server.Version}}'

# SAM runs functions in this image: Amazon's, or one made of a static busybox. SAM adds its runtime
# emulator to either, and a Go function needs nothing else.
if docker pull --quiet "$image" 2>"$work/pull.log"; then
	echo "pulled $image"
elif docker image inspect "$image" >/dev/null 2>&1; then
	echo "$image cannot be pulled; the one that is here is used: $(docker image inspect --format '{{.Comment}}' "$image")"
else
	echo "$image cannot be pulled ($(tail -n 1 "$work/pull.log")); one is made of busybox"
	if ! command -v busybox >/dev/null; then
		install busybox-static || fail 'busybox-static could not be installed'
	fi
	rm -rf "$work/image"
	mkdir -p "$work/image"/{bin,etc,tmp,var/task,var/runtime}
	cp "$(command -v busybox)" "$work/image/bin/busybox"
	for name in sh mv chmod; do ln -s busybox "$work/image/bin/$name"; done
	tar -C "$work/image" -c . | docker import --platform "linux/$goarch" --message "made of busybox by scripts/test-sam.sh" \
		--change 'WORKDIR /var/task' --change 'ENV PATH=/bin' - "$image" >/dev/null
	docker run --rm "$image" sh -c true || fail "the image does not run: is $(command -v busybox) a static one (Debian's busybox-static)?"
	docker image rm "public.ecr.aws/lambda/provided:al2023-rapid-$arch" >/dev/null 2>&1 || true # it was made of another base image
fi

# host is the address of this machine for containers: their default gateway. The kernel lists it in
# hexadecimal with the bytes reversed. Docker Desktop has a host name instead, which leads to the
# loopback addresses.
if docker info --format '{{.OperatingSystem}}' | grep -q 'Docker Desktop'; then
	host=host.docker.internal listen_also=
else
	gateway=$(docker run --rm --entrypoint /bin/sh "$image" -c \
		'while read -r _ to via _; do [ "$to" != 00000000 ] || echo "$via"; done </proc/net/route')
	host=$(printf '%d.%d.%d.%d' "0x${gateway:6:2}" "0x${gateway:4:2}" "0x${gateway:2:2}" "0x${gateway:0:2}")
	listen_also=$host
fi
echo "containers find this machine at $host"

# --- The platform and SAM

step 'The laptop platform'
background kros env KROS_DIR="$work/kros" PORT="$port" FIRST_CALL=0 LISTEN_ALSO="$listen_also" KROS_LAMBDA_ENDPOINT="$lambda" bin/kros
until_up 30 kros grep -q '^Try' "$work/kros.log"
sed -n 2,8p "$work/kros.log"
. "$work/kros/env"
[ "$KROS_URL" = "http://127.0.0.1:$port" ] || fail "another platform has written $work/kros/env"

# These are the functions' environment variables, with every one that names a resource. A test in
# layout compares them with template.yaml. sam local passes each function those that the template
# names for it.
machine=arn:aws:states:us-east-1:000000000000:stateMachine:kros
there() { echo "${1/127.0.0.1/$host}"; }
cat >"$work/env.json" <<END
{"Parameters": {
	"AWS_ENDPOINT_URL_DYNAMODB": "$(there "$AWS_ENDPOINT_URL_DYNAMODB")",
	"AWS_ENDPOINT_URL_SFN": "$(there "$AWS_ENDPOINT_URL_SFN")",
	"AWS_ENDPOINT_URL_SQS": "$(there "$AWS_ENDPOINT_URL_SQS")",
	"LIVEKIT_URL": "$(there "$LIVEKIT_URL")",
	"LIVEKIT_API_KEY": "$LIVEKIT_API_KEY",
	"LIVEKIT_API_SECRET": "$LIVEKIT_API_SECRET",
	"CURSOR_KEY": "$LIVEKIT_API_SECRET",
	"CALL_TOKEN_KEY": "$LIVEKIT_API_SECRET",
	"API_URL": "$api",
	"VERSION": "sam-local",
	"OIDC_ISSUER": "",
	"OIDC_AUDIENCE": "",
	"OIDC_JWKS_URL": "",
$(for table in numbers requests calls events stats keys limits audit webhooks; do
	printf '\t"%s_TABLE": "kros-%s",\n' "$(echo $table | tr a-z A-Z)" $table
done)
	"CALL_STATE_MACHINE_ARN": "$machine-call",
	"APPROVAL_STATE_MACHINE_ARN": "$machine-approval",
	"DELIVERIES_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/kros-deliveries"
}}
END
chmod 600 "$work/env.json"

step 'sam local start-lambda and start-api'
sam_local() {
	! curl --silent --output /dev/null "$2/" || fail "something else answers at $2 (TEST_SAM_PORT moves it)"
	background "$1" sam local "$1" --template "$work/build/local.yaml" --env-vars "$work/env.json" --host 127.0.0.1 --port "${2##*:}" \
		--warm-containers LAZY --no-watch --skip-pull-image
	until_up 120 "$1" curl --silent --output /dev/null "$2/"
	echo "sam local $1 at $2"
}
sam_local start-lambda "$lambda"
sam_local start-api "$api"

step "examples/curl/first-call.sh against $api"
sed "s|^KROS_URL=.*|KROS_URL=$api|" "$work/kros/env" >"$work/env"
chmod 600 "$work/env"
examples/curl/first-call.sh "$work/env"

step 'The functions that ran in containers'
ran() { sed -n 's|^Mounting .*/\([A-Za-z]*\)Function as .*|\1|p' "$work/$1.log" | sort | tr '\n' ' '; }
echo "start-api:    $(ran start-api)"
echo "start-lambda: $(ran start-lambda)"
for task in PrepareCall DialCall AwaitCall; do
	[[ " $(ran start-lambda)" = *" $task "* ]] || fail "the workflow did not run $task there"
done
step ''
