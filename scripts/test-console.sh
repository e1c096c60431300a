#!/usr/bin/env bash
# make test-console: checks the types of the console's code, and tests the console in Chromium against
# a platform of its own, which starts on free ports with an empty folder. It needs Go, Node 20 with
# npm, and Chromium. As root on Debian it installs what is missing of the last two.
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

missing=()
command -v npm >/dev/null || missing+=(nodejs npm)
command -v chromium >/dev/null || missing+=(chromium)
if [ ${#missing[@]} -gt 0 ]; then
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "install ${missing[*]}, or run this as root on Debian" >&2 && exit 1; }
	echo "installing Debian's ${missing[*]}"
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 ||
		{ tail "$work/apt.log" >&2 && exit 1; }
fi
npm ci --prefix console/test --no-audit --no-fund --silent
console/test/node_modules/.bin/tsc -p console/test/tsconfig.json
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
