#!/usr/bin/env bash
# Tests the console in Chromium against a platform of its own, which starts on free ports with an
# empty folder. It needs Go, Node 20 with npm, and Chromium; as root on Debian it installs Chromium.
#
#   scripts/test-console.sh [FOLDER]    keeps the screenshots in FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
shots=$(realpath -m "${1:-$work/screenshots}")
platform=
finish() {
	if test -n "$platform"; then kill "$platform" 2>/dev/null || true; wait "$platform" 2>/dev/null || true; fi
	rm -rf "$work/kros"
}
trap finish EXIT

if ! command -v chromium >/dev/null; then
	if test "$(id -u)" != 0 || ! command -v apt-get >/dev/null; then
		echo "chromium is missing: install it" >&2
		exit 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
npm ci --prefix console/test --no-audit --no-fund --silent
make --silent bin/kros

PORT=0 FIRST_CALL=0 KROS_DIR="$work/kros" bin/kros >"$work/log" 2>&1 &
platform=$!
for _ in $(seq 600); do
	if test -s "$work/kros/env"; then break; fi
	if ! kill -0 "$platform" 2>/dev/null; then
		cat "$work/log" >&2
		exit 1
	fi
	sleep 0.2
done
set -a
# shellcheck disable=SC1091
. "$work/kros/env"
set +a
until curl -sf -o /dev/null "$KROS_URL/health"; do sleep 0.2; done

export SCREENSHOTS="$shots" CHROMIUM="${CHROMIUM:-$(command -v chromium)}"
node --test --test-concurrency=1 --test-reporter=spec console/test/
echo "screenshots: $shots"
