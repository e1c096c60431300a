#!/usr/bin/env bash
# make test-asl: checks the state machines with asl-validator, a validator that others wrote.
#
# It needs Node with npm. As root on Debian it installs them if they are missing. The validator goes
# to .local/asl-validator.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=4.0.0
work=$PWD/.local/asl-validator
validator=$work/node_modules/.bin/asl-validator
mkdir -p "$work"

fail() {
	echo "$*" >&2
	exit 1
}

# valid FILE prints the validator's output, and succeeds if that says that the file is valid. The
# exit status alone is not enough, because it misses some errors.
valid() {
	local said status=0
	said=$("$validator" --json-path "$1" 2>&1) || status=$?
	printf '%s\n' "$said"
	[ "$status" = 0 ] && [ "$said" = "✓ State machine definition \"$1\" is valid" ]
}

if ! command -v npm >/dev/null; then
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail 'npm is missing: install Node, or run this as root on Debian'
	echo "installing Debian's nodejs and npm"
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends nodejs npm >"$work/apt.log" 2>&1 ||
		{ tail "$work/apt.log" >&2 && fail 'Node could not be installed'; }
fi
if [ "$(cat "$work/version" 2>/dev/null)" != "$version" ]; then
	npm install --loglevel=error --no-audit --no-fund --ignore-scripts --prefix "$work" "asl-validator@$version"
	echo "$version" >"$work/version"
fi

for file in statemachines/*.asl.json; do
	valid "$file" || fail "$file is not valid"
done

# The check must be able to fail. This machine goes to a state that does not exist.
broken=$work/broken.asl.json
sed 's/"Next": "Done"/"Next": "Nowhere"/' statemachines/approval.asl.json >"$broken"
if valid "$broken" >"$work/broken.log"; then
	fail 'asl-validator finds nothing wrong with a broken state machine'
fi
grep -q Nowhere "$work/broken.log" || { cat "$work/broken.log" >&2 && fail 'asl-validator failed, but not at what is broken'; }
echo 'and it finds what is wrong with a broken one'
