#!/usr/bin/env bash
# A call and its webhooks, with bash, curl and sed. The script registers a webhook endpoint, places
# a call, waits while the agent and the callee talk, and reads the transcript and the summary. A
# receiver verifies the signatures of the webhooks that the endpoint gets. The script prints every
# answer except the signing secret, and stops with status 1 at the first unexpected one.
#
# Start the platform with `make run`, then in another terminal:
#
#	examples/curl/calls.sh
#
# It reads .local/env, or the file named as its argument. It receives webhooks with bin/kros, or
# with the program that KROS names. It takes half a minute.
set -euo pipefail

. "${1:-${BASH_SOURCE[0]%/*}/../../.local/env}"
. "${BASH_SOURCE[0]%/*}/ask.sh"

kros=${KROS:-${BASH_SOURCE[0]%/*}/../../bin/kros}
[ -x "$kros" ] || fail "there is no $kros, which make run builds"
port=$((20000 + RANDOM % 10000))
heard=$(mktemp)

# hear WORD TYPE TEXT waits until the receiver prints a line that begins with WORD and TYPE and
# contains TEXT, and prints that line.
hear() {
	local line
	for ((i = 0; i < 300; i++)); do
		line=$(sed -n "/^$1 $2 .*$3/p" "$heard")
		if [ -n "$line" ]; then
			printf '\n\n%s' "$line"
			return
		fi
		sleep 0.2
	done
	fail "$2 did not come"
}

# tidy runs however the script ends. It leaves no endpoint, no receiver and no call.
endpoint= receiver= call=
tidy() {
	[ -z "$call" ] || ask 200 "$KROS_API_KEY" POST "/outbound-calls/$call/hangup" >/dev/null
	[ -z "$endpoint" ] || ask 204 "$KROS_API_KEY" DELETE "/webhook-endpoints/$endpoint" >/dev/null
	[ -z "$receiver" ] || kill "$receiver"
	rm -f "$heard"
}
trap tidy EXIT

step 'A webhook endpoint on this machine'
ask 201 "$KROS_API_KEY" POST /webhook-endpoints \
	'{"url":"http://127.0.0.1:'$port'/","events":["call.answered","call.ended","call.summary_ready"]}' >/dev/null
endpoint=$(field endpoint_id)
secret=$(field signing_secret)
printf '%s' "${answer/"$secret"/whsec_…}"

step 'A receiver that verifies what is sent there'
"$kros" listen -secret "$secret" -port $port >"$heard" &
receiver=$!
hear Listening at "$port"

step 'A call'
ask 201 "$KROS_API_KEY" POST /outbound-calls/create \
	'{"phone_number":"+14155550100","phone_number_id":"'"$KROS_NUMBER_ID"'","welcome_message":"Hello, this is Ada from Acme.","metadata":{"order":"A-1001"}}'
call=$(field call_id)
details="/outbound-calls/$call/details"

step 'It is answered, and the endpoint is told'
wait_for status in_progress "$details" 20
hear verified call.answered "$call"

step 'The agent and the callee talk'
wait_for content 'Clear as a bell. Stay as long as you like, or hang up whenever you are done.' "$details?include_transcript=true" 60

step 'The user hangs up, and the endpoint is told'
ask 200 "$KROS_API_KEY" POST "/outbound-calls/$call/hangup"
expect hangup_cause api_hangup
hear verified call.ended "$call"

step 'The call is summed up, and the endpoint is told'
wait_for status ready "$details?include_transcript=true&include_summary=true" 60
hear verified call.summary_ready "$call"
call=

step 'What was delivered'
ask 200 "$KROS_API_KEY" GET "/webhook-endpoints/$endpoint/deliveries?status=delivered&limit=100"
delivery=$(field delivery_id)
event=$(field event_id)

step 'The first of it once more: the same event'
ask 202 "$KROS_API_KEY" POST "/webhook-endpoints/$endpoint/deliveries/$delivery/replay"
hear again '[a-z._]*' "$event"

step 'The endpoint is deleted'
ask 204 "$KROS_API_KEY" DELETE "/webhook-endpoints/$endpoint"
endpoint=
printf '\n\nDone.\n'
