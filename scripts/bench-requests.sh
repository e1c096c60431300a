#!/usr/bin/env bash
# Measures the API's requests on two platforms, alternating between them in one run, and prints both
# with their ratio:
#
#	scripts/bench-requests.sh [COMMIT]
#
# One platform is this commit's. With COMMIT, the other is that commit's, built in a git worktree
# that the script removes at its end. Without COMMIT, the other is this commit's with Go's default
# garbage collection. Further arguments go to local/cmd/benchrequests (-requests, -connections,
# -rounds, -creates). The numbers mean something only on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
export CGO_ENABLED=0

commit=
case ${1:-} in
'' | -*) ;;
*)
	commit=$(git rev-parse --verify --short "$1^{commit}")
	shift
	;;
esac

work=$(mktemp -d)
finish() {
	[ ! -d "$work/before" ] || git worktree remove --force "$work/before"
	rm -rf "$work"
}
trap finish EXIT

echo 'building the platforms (minutes the first time: LiveKit server is compiled in)' >&2
(cd local && go build -o "$work/kros" ./cmd/kros && go build -o "$work/benchrequests" ./cmd/benchrequests)
before="GOGC=100 $work/kros $root GOGC=100 GOMEMLIMIT=off"
if [ -n "$commit" ]; then
	git worktree add --quiet --detach "$work/before" "$commit"
	(cd "$work/before/local" && go build -o "$work/kros-before" ./cmd/kros)
	before="$commit $work/kros-before $work/before"
fi
after=$(git describe --always --dirty)
"$work/benchrequests" -before "$before" -after "$after $work/kros $root" "$@"
