#!/usr/bin/env bash
# A first call, with bash, curl and sed: the script checks that the service is up, lists the user's
# numbers, places a call, waits until it is answered, hangs up, and reads the outcome. It prints
# every answer, and stops with status 1 at the first unexpected one.
#
# Start the platform with `make run`, then in another terminal:
#
#	examples/curl/first-call.sh
#
# It reads .local/env, or the file named as its argument. It can be run repeatedly.
set -euo pipefail

. "${1:-${BASH_SOURCE[0]%/*}/../../.local/env}"
. "${BASH_SOURCE[0]%/*}/ask.sh"

step 'The service is up'
ask 200 "" GET /health
expect status ok

step 'The numbers of the user'
ask 200 "$KROS_API_KEY" GET /outbound-calls/phone-numbers
case $answer in *"$KROS_NUMBER_ID"*) ;; *) fail "$KROS_NUMBER_ID is not in the list" ;; esac

step 'Nobody gets in without a key'
ask 401 nothing GET /outbound-calls/phone-numbers

step 'A call'
ask 201 "$KROS_API_KEY" POST /outbound-calls/create \
	'{"phone_number":"+14155550100","phone_number_id":"'"$KROS_NUMBER_ID"'","welcome_message":"Hello, this is Ada from Acme."}'
call=$(field call_id)

step 'It is answered'
wait_for status in_progress "/outbound-calls/$call/details" 20

step 'The user hangs up'
ask 200 "$KROS_API_KEY" POST "/outbound-calls/$call/hangup"
expect hangup_cause api_hangup

step 'What became of it'
wait_for status completed "/outbound-calls/$call/details"
expect hangup_cause api_hangup
printf '\n\nDone.\n'
