# The examples source this file. Its functions send requests to the API, print each answer, and stop
# with status 1 at the first unexpected one.

step() { printf '\n\n== %s\n' "$*"; }

fail() {
	printf '\n\nFAILED: %s\n' "$*" >&2
	exit 1
}

# ask STATUS CREDENTIAL METHOD PATH [BODY] sends a request, prints the answer, keeps it in $answer,
# and fails unless its status is STATUS.
ask() {
	local body=()
	[ $# -lt 5 ] || body=(--header 'Content-Type: application/json' --data "$5")
	answer=$(curl --silent --show-error --max-time 30 --request "$3" "$KROS_URL$4" \
		--header "Authorization: Bearer $2" ${body[@]+"${body[@]}"} --write-out '\n%{http_code}')
	local status=${answer##*$'\n'}
	answer=${answer%$'\n'*}
	printf '%s %s: %s\n%s' "$3" "$4" "$status" "$answer"
	[ "$status" = "$1" ] || fail "$3 $4 answered $status instead of $1"
}

# field NAME prints the text that the answer has under NAME.
field() { sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' <<<"$answer"; }

# expect NAME VALUE fails unless the answer has VALUE under NAME.
expect() { [ "$(field "$1")" = "$2" ] || fail "$1 is not $2"; }

# wait_for NAME VALUE PATH [SECONDS] reads PATH until the answer has VALUE under NAME, and prints
# that answer. It fails after SECONDS, by default ten.
wait_for() {
	local all
	for ((i = 0; i < ${4:-10} * 5; i++)); do
		all=$(ask 200 "$KROS_API_KEY" GET "$3") || {
			printf '%s' "$all"
			exit 1
		}
		answer=${all#*$'\n'}
		if [ "$(field "$1")" = "$2" ]; then
			printf '%s' "$all"
			return
		fi
		sleep 0.2
	done
	printf '%s' "$all"
	fail "$1 does not become $2"
}
