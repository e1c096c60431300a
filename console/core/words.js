// @ts-check
// The words for each status, cause, event and code of the API. A value without words is shown
// readably, so that a newer API never breaks an older page.

/** @typedef {'good' | 'live' | 'wait' | 'bad' | 'idle'} Tone */

/** @type {Record<string, {word: string, tone: Tone}>} */
export const callStatus = {
	initiated: { word: 'Starting', tone: 'wait' },
	dialing: { word: 'Dialing', tone: 'wait' },
	ringing: { word: 'Ringing', tone: 'wait' },
	in_progress: { word: 'In progress', tone: 'live' },
	completed: { word: 'Completed', tone: 'good' },
	busy: { word: 'Busy', tone: 'idle' },
	no_answer: { word: 'No answer', tone: 'idle' },
	failed: { word: 'Failed', tone: 'bad' },
	canceled: { word: 'Canceled', tone: 'idle' },
};

/** @type {Record<string, string>} */
export const cause = {
	callee_hangup: 'The phone hung up',
	agent_hangup: 'The agent hung up',
	api_hangup: 'Hung up by you or an administrator',
	max_duration: 'The talk time was used up',
	transferred: 'Transferred to another number',
	busy: 'The line was busy',
	declined: 'The call was declined',
	no_answer: 'Nobody answered',
	invalid_number: 'The number does not exist',
	trunk_auth: 'The carrier refused the trunk’s credentials',
	trunk_unreachable: 'The carrier could not be reached or could not place the call',
	agent_unavailable: 'The agent did not join',
	network_error: 'The connection was lost',
	capacity: 'Too many calls at the time',
	calls_disabled: 'Calls were switched off',
	not_allowed: 'The call was no longer allowed',
	unknown: 'The reason is not known',
};

/** @type {Record<string, string>} */
export const detail = {
	...cause,
	rejected_by_screening: 'A call screening service rejected the call',
	completed: 'Completed',
	failed: 'Refused, the call went on',
	pending: 'Waiting for the carrier',
};

/** @type {Record<number, string>} */
const sipCodes = {
	180: 'Ringing', 183: 'Session progress', 200: 'OK', 202: 'Accepted', 301: 'Moved permanently', 302: 'Moved temporarily',
	400: 'Bad request', 401: 'Credentials required', 402: 'Payment required', 403: 'Forbidden', 404: 'Number not found',
	405: 'Method not allowed', 407: 'Credentials required', 408: 'Request timeout', 410: 'Number gone', 415: 'Unsupported media',
	433: 'Anonymity disallowed', 480: 'Temporarily unavailable', 481: 'Call does not exist', 484: 'Address incomplete',
	485: 'Ambiguous number', 486: 'Busy here', 487: 'Request terminated', 488: 'Not acceptable here', 491: 'Request pending',
	500: 'Server error', 501: 'Not implemented', 502: 'Bad gateway', 503: 'Service unavailable', 504: 'Server timeout',
	600: 'Busy everywhere', 603: 'Declined', 604: 'Does not exist anywhere', 606: 'Not acceptable', 607: 'Unwanted', 608: 'Rejected',
};

/** sip is a SIP status with its meaning. @param {number} code */
export function sip(code) {
	return sipCodes[code] ? `SIP ${code} ${sipCodes[code]}` : `SIP ${code}`;
}

/** @type {Record<string, string>} */
export const timelineEvent = { created: 'Created', dialing: 'Dialing', ringing: 'Ringing', answered: 'Answered', transfer: 'Transfer', ended: 'Ended' };

/** @type {Record<string, string>} */
export const eventType = {
	'call.answered': 'Call answered',
	'call.ended': 'Call ended',
	'call.summary_ready': 'Call summarized',
	'call.transfer_finished': 'Transfer finished',
	'call.turn': 'Something was said',
	'number_request.decided': 'Number request decided',
	'number_request.assigned': 'Number request fulfilled',
	'number.assigned': 'Number assigned to you',
	'number.configured': 'Number’s configuration changed',
	'number.released': 'Number taken back',
	'api_key.created': 'API key created',
	'api_key.revoked': 'API key revoked',
	'webhook_endpoint.disabled': 'Webhook endpoint disabled',
	'webhook.test': 'Test event',
};

/** The events that a webhook endpoint can ask for. */
export const webhookEvents = Object.keys(eventType).filter(type => type !== 'call.turn' && type !== 'webhook.test');

/** @type {Record<string, {word: string, tone: Tone}>} */
export const configurationStatus = {
	unconfigured: { word: 'Not configured', tone: 'idle' },
	partial: { word: 'Partly configured', tone: 'wait' },
	configured: { word: 'Configured', tone: 'good' },
	error: { word: 'Needs attention', tone: 'bad' },
};

/** @type {Record<string, {word: string, tone: Tone}>} */
export const requestStatus = {
	pending: { word: 'Waiting for a decision', tone: 'wait' },
	approved: { word: 'Approved, waiting for a number', tone: 'wait' },
	assigned: { word: 'Assigned', tone: 'good' },
	rejected: { word: 'Rejected', tone: 'bad' },
};

/** @type {Record<string, {word: string, tone: Tone}>} */
export const inventoryStatus = {
	available: { word: 'Available', tone: 'good' },
	assigned: { word: 'Assigned', tone: 'idle' },
	retired: { word: 'Retired', tone: 'idle' },
};

/** @type {Record<string, {word: string, tone: Tone}>} */
export const endpointStatus = {
	active: { word: 'Active', tone: 'good' },
	paused: { word: 'Paused', tone: 'wait' },
	disabled: { word: 'Disabled after failures', tone: 'bad' },
};

/** @type {Record<string, {word: string, tone: Tone}>} */
export const deliveryStatus = {
	pending: { word: 'On its way', tone: 'wait' },
	delivered: { word: 'Delivered', tone: 'good' },
	dead: { word: 'Given up', tone: 'bad' },
};

/** @type {Record<string, string>} */
export const deliveryError = {
	dns: 'The host name does not exist',
	address: 'The host is not on the public Internet',
	connection: 'No server answered',
	tls: 'The TLS certificate is missing or not valid for the name',
	timeout: 'No answer within ten seconds',
	status: 'The server answered with an error',
	paused: 'The endpoint was paused',
	disabled: 'The endpoint was disabled',
	deleted: 'The endpoint was deleted',
};

/** @type {Record<string, string>} */
export const numberType = { local: 'Local', mobile: 'Mobile', toll_free: 'Toll-free' };

/** @type {Record<string, string>} */
export const direction = { outbound: 'Outbound', inbound: 'Inbound' };

/** @type {Record<string, string>} */
export const transport = { auto: 'Automatic', udp: 'UDP', tcp: 'TCP', tls: 'TLS (encrypted)' };

/** @type {Record<string, string>} */
export const scope = {
	'numbers:read': 'See numbers, requests and configurations',
	'numbers:write': 'Request and configure numbers',
	'calls:read': 'See calls, transcripts and statistics',
	'calls:write': 'Place, hang up and transfer calls',
	'webhooks:read': 'See events, webhook endpoints and deliveries',
	'webhooks:write': 'Change webhook endpoints, replay deliveries',
	'keys:write': 'List, create, rotate and revoke API keys',
};

/** @type {Record<string, {word: string, tone: Tone}>} */
export const transferStatus = {
	pending: { word: 'Waiting for the carrier', tone: 'wait' },
	completed: { word: 'Completed', tone: 'good' },
	failed: { word: 'Refused or ended first', tone: 'bad' },
	unknown: { word: 'Outcome not known', tone: 'idle' },
};

/** @type {Record<string, string>} */
export const summaryReason = {
	timeout: 'The model took too long.',
	unavailable: 'The model could not be reached.',
	refused: 'The model’s service did not accept the request.',
	empty: 'The model wrote nothing.',
};

/** @type {Record<string, string>} */
export const limit = {
	requests: 'Requests',
	user_requests: 'Requests of all API keys together',
	calls: 'Outbound calls and transfers',
	calls_to_number: 'Outbound calls and transfers to one number',
	minutes: 'Minutes of talk on outbound calls',
	concurrent_calls: 'Outbound calls at a time',
	api_keys: 'API keys made',
	number_requests: 'Number requests',
	configurations: 'Configurations of numbers',
};

/** @type {Record<string, string>} */
export const auditAction = {
	submitted: 'Requested', approved: 'Approved', rejected: 'Rejected', assigned: 'Assigned', expired: 'Expired', reminded: 'Reminded', notified: 'Notified',
	added: 'Added to the inventory', released: 'Taken back', retired: 'Retired', restored: 'Restored', hung_up: 'Hung up',
	revoked: 'Revoked', policy_set: 'Policy changed', calls_switched: 'Calls switched',
};

/** @type {Record<string, string>} */
export const problem = {
	AGENT_NOT_ALLOWED: 'Your account may not use this agent',
	AT_CAPACITY: 'The platform is busy',
	BODY_TOO_LARGE: 'The request is too large',
	CALLS_DISABLED: 'Calls are switched off',
	CALL_NOT_ACTIVE: 'The call is not in progress',
	CONCURRENT_LIMIT_EXCEEDED: 'Too many calls at a time',
	CONFLICT: 'Something else has changed this in the meantime',
	DESTINATION_NOT_ALLOWED: 'This number may not be called',
	FORBIDDEN: 'You do not have the right to do this',
	IDEMPOTENCY_IN_PROGRESS: 'The same request is still running',
	IDEMPOTENCY_KEY_REUSED: 'The request was changed while it was repeated',
	INTERNAL: 'The platform made a mistake',
	INVALID_REQUEST: 'Some of the input is not valid',
	METHOD_NOT_ALLOWED: 'The API does not take this request',
	NOT_FOUND: 'This does not exist',
	NUMBER_NOT_CONFIGURED: 'The number is not configured for this',
	NUMBER_RETIRED: 'The number is retired',
	PHONE_NUMBER_ALREADY_REQUESTED: 'The number is taken or already requested',
	RATE_LIMIT_EXCEEDED: 'A limit is reached',
	TELEPHONY_UNAVAILABLE: 'The telephony service is not available',
	TOO_MANY_WAITERS: 'Too many pages follow events at the same time',
	TRANSCRIPT_FULL: 'The transcript is full',
	TRANSFER_IN_PROGRESS: 'Another transfer of this call is running',
	TRANSFER_LIMIT_REACHED: 'This call was transferred too often',
	UNAUTHENTICATED: 'Your sign-in has ended',
	UNSUPPORTED_MEDIA_TYPE: 'The API does not take this format',
	UNREACHABLE: 'The API cannot be reached',
};

/**
 * words finds the words for value, or makes some from the value.
 * @param {Record<string, any>} table
 * @param {string | null | undefined} value
 * @returns {string}
 */
export function words(table, value) {
	if (value === null || value === undefined || value === '') return '';
	const found = Object.hasOwn(table, value) ? table[value] : undefined;
	return found?.word || found || readable(value);
}

/**
 * tone is the color of a status.
 * @param {Record<string, {tone: Tone}>} table
 * @param {string} value
 * @returns {Tone}
 */
export function tone(table, value) {
	return Object.hasOwn(table, value) ? table[value].tone : 'idle';
}

/** readable turns some_new.value into Some new value. @param {string} value */
export function readable(value) {
	const text = String(value).replace(/[_.]/g, ' ').toLowerCase();
	return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Whether a call has ended. @param {string} status */
export const ended = status => !['initiated', 'dialing', 'ringing', 'in_progress'].includes(status);
