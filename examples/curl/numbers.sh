#!/usr/bin/env bash
# The life of a phone number, with bash, curl and sed: a user requests it, an administrator
# approves, the user configures it and places a call from it, and the administrator takes it back.
# The script prints every answer, and stops with status 1 at the first unexpected one.
#
# Start the platform with `make run`, then in another terminal:
#
#	examples/curl/numbers.sh
#
# It reads .local/env, or the file named as its argument. It can be run repeatedly. Each run uses
# one of the demo user's five number requests an hour.
set -euo pipefail

. "${1:-${BASH_SOURCE[0]%/*}/../../.local/env}"
. "${BASH_SOURCE[0]%/*}/ask.sh"

# tidy runs however the script ends. It leaves no request open and no number assigned.
undo=()
tidy() { [ ${#undo[@]} -eq 0 ] || ask 200 "$KROS_ADMIN_JWT" POST "${undo[@]}" >/dev/null; }
trap tidy EXIT

number=+234803$(printf '%07d' $(((RANDOM * 32768 + RANDOM) % 10000000)))
requests=/telephony/phone-number-requests
wanted='{"phone_number":"'$number'","number_type":"mobile","capabilities":["inbound","outbound"],"purpose":"Order follow-up calls"}'

step "A user asks for $number"
ask 201 "$KROS_API_KEY" POST $requests "$wanted"
expect status pending
request=$(field request_id)
undo=("/admin/phone-number-requests/$request/reject" '{"reason":"the example stopped"}')

step 'Asking for it once more is a conflict'
ask 409 "$KROS_API_KEY" POST $requests "$wanted"
expect code PHONE_NUMBER_ALREADY_REQUESTED

step 'An administrator sees the request'
ask 200 "$KROS_ADMIN_JWT" GET '/admin/phone-number-requests?status=pending&limit=100'
case $answer in *"$request"*) ;; *) fail "$request is not in the list" ;; esac

step "The number comes into the inventory"
ask 201 "$KROS_ADMIN_JWT" POST /admin/phone-numbers \
	'{"phone_number":"'$number'","country":"NG","number_type":"mobile","capabilities":["inbound","outbound"],"provider":"Simulated carrier"}'
expect status available

step 'The administrator approves'
ask 200 "$KROS_ADMIN_JWT" POST "/admin/phone-number-requests/$request/approve" '{"note":"A known customer"}'
undo=()

step 'The number is assigned'
wait_for status assigned "$requests/$request"
id=$(field phone_number_id)
undo=("/admin/phone-numbers/$id/release")

step "Where the carrier is, the demo user's first number knows"
ask 200 "$KROS_API_KEY" GET "/outbound-calls/phone-numbers/$KROS_NUMBER_ID/configuration"
carrier=$(field address)

step 'The user connects the number to the carrier and an agent'
ask 200 "$KROS_API_KEY" POST "/outbound-calls/phone-numbers/$id/configure" \
	'{"sip_trunk":{"name":"Simulated carrier","address":"'"$carrier"'","auth_username":"kros","auth_password":"let-me-call","transport":"udp","allowed_addresses":["127.0.0.1/32"]},
	  "dispatch_rule":{"rule_name":"Orders","room_prefix":"orders-","agent_name":"demo-agent"}}'
expect configuration_status configured

step 'A call from the number'
ask 201 "$KROS_API_KEY" POST /outbound-calls/create \
	'{"phone_number":"+14155550100","phone_number_id":"'"$id"'","welcome_message":"Hello, this is Ada from Acme."}'
expect from_number "$number"
call=$(field call_id)

step 'It is answered'
wait_for status in_progress "/outbound-calls/$call/details"

step 'The user hangs up'
ask 200 "$KROS_API_KEY" POST "/outbound-calls/$call/hangup"
expect hangup_cause api_hangup

step 'The administrator takes the number back'
ask 200 "$KROS_ADMIN_JWT" POST "/admin/phone-numbers/$id/release"
expect status available
undo=()

step 'It is no longer the user'\''s'
ask 404 "$KROS_API_KEY" GET "/outbound-calls/phone-numbers/$id/configuration"

step 'Who did what'
ask 200 "$KROS_ADMIN_JWT" GET "/admin/audit?subject=$request"
printf '\n\nDone.\n'
