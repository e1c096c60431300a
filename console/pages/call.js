// @ts-check
// One call: what happens to it now, what was said, and what was sent about it.
import { html, useState, useLoad, useInterval } from '../core/view.js';
import { get, post, curl, limits } from '../core/api.js';
import { useCallEvents } from '../core/events.js';
import { duration, spoken, phone, countryName } from '../core/format.js';
import { callStatus, cause, direction, words, ended, sip, summaryReason, transferStatus, deliveryStatus, eventType } from '../core/words.js';
import { Title, Status, Phone, Time, Clock, Id, Facts, Code, Curl } from '../parts/basics.js';
import { Loaded, Loading, Failure } from '../parts/states.js';
import { Timeline } from '../parts/timeline.js';
import { Conversation } from '../parts/conversation.js';
import { Table } from '../parts/table.js';
import { Dialog, confirm, show, useAction } from '../parts/dialog.js';
import { Field, useFields } from '../parts/form.js';
import { announce } from '../parts/toast.js';

/** @param {{callId: string}} props */
export function Call({ callId }) {
	const path = '/outbound-calls/' + encodeURIComponent(callId);
	const state = useLoad(signal => get(path, { include_transcript: true, include_summary: true }, signal), [callId]);
	const [turns, setTurns] = useState(/** @type {any[]} */ ([]));
	const call = state.data;
	const unfinished = call && (!ended(call.status) || call.summary?.status === 'pending');
	useCallEvents(callId, Boolean(unfinished), events => {
		const said = events.filter(event => event.type === 'call.turn').map(event => event.data);
		if (said.length) setTurns((/** @type {any[]} */ old) => [...old, ...said]);
		if (events.some(event => event.type !== 'call.turn')) state.reload();
	});
	const few = (limits.get().requests?.left ?? 1000) < 250;
	const answered = call && call.status === 'in_progress';
	useInterval(state.reload, !call || !unfinished ? 0 : few ? 10000 : answered || ended(call.status) ? 5000 : 1500);
	return html`<p class="back"><a href="/console/calls">Calls</a></p>
		<${Loaded} state=${state} rows=${8}>${(/** @type {any} */ data) => html`<${Details} call=${data} turns=${merge(data.transcript || [], turns)} path=${path} reload=${state.reload} />`}<//>
		${!call && html`<h1 class="hidden" tabindex="-1">Call</h1>`}`;
}

/**
 * merge adds turns that were followed to those that were read, in the order of their times.
 * @param {any[]} read
 * @param {any[]} followed
 */
function merge(read, followed) {
	const seen = new Map();
	for (const turn of [...read, ...followed]) seen.set(turn.at + ' ' + turn.role + ' ' + turn.content, turn);
	return [...seen.values()].sort((a, b) => a.at < b.at ? -1 : a.at > b.at ? 1 : 0);
}

/** @param {{call: any, turns: any[], path: string, reload: () => void}} props */
function Details({ call, turns, path, reload }) {
	const running = !ended(call.status);
	return html`<${Title} text=${html`<${Phone} number=${call.phone_number} />`} note=${html`${words(direction, call.direction)} call ${call.direction === 'inbound' ? 'to' : 'from'} <${Phone} number=${call.from_number} />`}>
			<${Actions} call=${call} reload=${reload} path=${path} /><//>
		<div class="headline" role="status" aria-live="polite"><${Status} table=${callStatus} value=${call.status} />
			${running && call.answered_at ? html`<${Clock} since=${call.answered_at} />` : running ? html`<${Clock} since=${call.created_at} />` : call.answered_at ? html`<span class="number">${duration(call.duration_seconds)}</span>` : null}
			${!running && html`<span>${words(cause, call.hangup_cause)}${call.sip_status_code && call.sip_status_code !== 200 ? html` <span class="muted">(${sip(call.sip_status_code)})</span>` : null}</span>`}</div>
		<section aria-labelledby="timeline"><h2 id="timeline">Timeline</h2><${Timeline} call=${call} /></section>
		<div class="split"><section aria-labelledby="transcript"><h2 id="transcript">Transcript</h2><${Transcript} call=${call} turns=${turns} /></section>
		<div class="stack"><${Summary} call=${call} /><${About} call=${call} /></div></div>
		<${Deliveries} callId=${call.call_id} status=${call.status} />
		<section class="raw"><details><summary>Raw JSON</summary><${Code} text=${JSON.stringify(call, null, 2)} label="Raw JSON" /></details>
		<${Curl} text=${curl('GET', path + '?include_transcript=true&include_summary=true')} /></section>`;
}

/** @param {{call: any, turns: any[]}} props */
function Transcript({ call, turns }) {
	const running = !ended(call.status);
	if (turns.length) return html`<${Conversation} turns=${turns} live=${running} />`;
	if (running) return html`<p class="muted quiet-box">${call.answered_at ? 'Nothing has been said yet.' : 'The conversation appears here once the phone is answered.'}</p>`;
	return html`<p class="muted quiet-box">${call.answered_at ? 'The agent has posted no transcript.' : 'The call was not answered, so nothing was said.'}</p>`;
}

/** @param {{call: any}} props */
function Summary({ call }) {
	const summary = call.summary;
	if (!summary || summary.status === 'none') return null;
	const waiting = ended(call.status) ? 'The summary is being written …' : 'The summary follows when the call is over.';
	return html`<section aria-labelledby="summary"><h2 id="summary">Summary</h2>
		${summary.status === 'ready' ? html`<p class="summary" dir="auto">${summary.text}</p><p class="small muted">Written by a machine (${summary.model}) from what was said.</p>`
			: html`<p class="muted">${summary.status === 'pending' ? waiting : 'There is no summary. ' + words(summaryReason, summary.reason)}</p>`}</section>`;
}

/** @param {{call: any}} props */
function About({ call }) {
	const metadata = Object.entries(call.metadata);
	return html`<section aria-labelledby="about"><h2 id="about">Details</h2><${Facts} rows=${[
		['Call', html`<${Id} value=${call.call_id} />`],
		['Agent', call.agent_name && html`<bdi>${call.agent_name}</bdi>`],
		['Started', html`<${Time} at=${call.created_at} />`],
		['Answered', call.answered_at && html`<${Time} at=${call.answered_at} />`],
		['Ended', call.ended_at && html`<${Time} at=${call.ended_at} />`],
		['Talk', call.answered_at && ended(call.status) && spoken(call.duration_seconds)],
		['Longest talk', spoken(call.max_duration_seconds)],
		['Transfer', call.transfer && html`<${Phone} number=${call.transfer.phone_number} /> · ${words(transferStatus, call.transfer.status)}`],
		['Carrier’s answer', call.sip_status_code && sip(call.sip_status_code)],
		['First sentence', call.welcome_message && html`<span dir="auto">${call.welcome_message}</span>`],
		['Instructions', call.system_prompt && html`<details><summary>Show</summary><p class="pre" dir="auto">${call.system_prompt}</p></details>`],
		['Voice', call.voice && Object.values(call.voice).join(', ')],
		['Digits', call.dtmf],
		['Room', html`<bdi class="break">${call.room_name}</bdi>`],
	]} /></section>${metadata.length > 0 && html`<section aria-labelledby="metadata"><h2 id="metadata">Metadata</h2><${Facts} rows=${
		metadata.map(([name, value]) => /** @type {[string, any]} */ ([name, html`<bdi>${value}</bdi>`]))} /></section>`}`;
}

/** @param {{call: any, path: string, reload: () => void}} props */
function Actions({ call, path, reload }) {
	if (ended(call.status)) return null;
	const hangUp = () => confirm({
		title: 'Hang up?', danger: true, button: 'Hang up',
		text: html`<p>The call with <strong><${Phone} number=${call.phone_number} /></strong> ends at once, for the phone and for the agent.</p>`,
		act: key => post(path + '/hangup', undefined, key),
		done: () => {
			announce('Hung up.');
			reload();
		},
	});
	return html`${call.status === 'in_progress' && html`<button type="button" onClick=${() => show(close => html`<${Transfer} call=${call} path=${path} reload=${reload} close=${close} />`)}>Transfer</button>`}
		<button type="button" class="danger" onClick=${hangUp}>Hang up</button>`;
}

/** @param {{call: any, path: string, reload: () => void, close: () => void}} props */
function Transfer({ call, path, reload, close }) {
	const form = useFields({ phone_number: '' });
	const target = form.values.phone_number.replace(/[ -]/g, '');
	const action = useAction(key => post(path + '/transfer', { phone_number: target }, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		const answer = await action.run(target);
		if (!answer) return;
		announce('Transfer: ' + words(transferStatus, answer.transfer.status) + '.');
		close();
		reload();
	};
	const { country } = phone(target);
	return html`<${Dialog} title="Transfer the call" close=${close} keep=${action.busy}><form onSubmit=${submit}>
		<div class="prose"><p>The phone of <strong><${Phone} number=${call.phone_number} /></strong> is connected to another number, which rings now. If it answers, your agent leaves the call. Your carrier may bill the new connection.</p></div>
		<${Field} field=${form.bind('phone_number')} label="Number to connect to" type="tel" required error=${action.error} hint=${country ? countryName(country) : 'With plus and country, such as +14155550111.'}
			attributes=${{ pattern: '\\+[1-9][0-9 \\-]{7,20}', title: 'A number with plus and country', autofocus: true }} />
		<${Failure} error=${action.error} />
		<div class="buttons"><button type="button" onClick=${close} disabled=${action.busy}>Cancel</button>
		<button type="submit" class="primary" disabled=${action.busy}>${action.busy ? 'The new number rings …' : 'Transfer now'}</button></div></form><//>`;
}

/** @param {{callId: string, status: string}} props */
function Deliveries({ callId, status }) {
	const state = useLoad(signal => deliveriesAbout(callId, signal), [callId, status]);
	return html`<section aria-labelledby="deliveries"><h2 id="deliveries">Webhooks about this call</h2>
		${state.error ? html`<${Failure} error=${state.error} retry=${state.reload} />` : !state.data ? html`<${Loading} rows=${2} />`
			: !state.data.length ? html`<p class="muted">None were sent. <a href="/console/developers/webhooks">Webhook endpoints</a> get an event when a call is answered, ends and is summarized.</p>`
				: html`<${Table} label="Webhooks about this call" columns=${deliveryColumns} rows=${state.data} id=${(/** @type {any} */ row) => row.delivery_id}
					href=${(/** @type {any} */ row) => `/console/developers/webhooks/${row.endpoint_id}?delivery=${row.delivery_id}`} />`}</section>`;
}

/** @type {import('../parts/table.js').Column[]} */
const deliveryColumns = [
	{ name: 'Event', cell: row => words(eventType, row.event_type) },
	{ name: 'Status', cell: row => html`<${Status} table=${deliveryStatus} value=${row.status} />` },
	{ name: 'Answer', cell: row => row.last_status_code ? 'HTTP ' + row.last_status_code : html`<span class="muted">–</span>` },
	{ name: 'To', hide: 'narrow', cell: row => html`<bdi class="break">${row.url}</bdi>` },
	{ name: 'Time', hide: 'narrow', cell: row => html`<${Time} at=${row.created_at} />` },
];

/** @param {string} callId @param {AbortSignal} signal */
async function deliveriesAbout(callId, signal) {
	const endpoints = (await get('/webhook-endpoints', { limit: 100 }, signal)).data;
	const found = await Promise.all(endpoints.map(async (/** @type {any} */ endpoint) => {
		const page = await get(`/webhook-endpoints/${endpoint.endpoint_id}/deliveries`, { limit: 100 }, signal);
		return page.data.filter((/** @type {any} */ row) => row.request_body.includes(callId)).map((/** @type {any} */ row) => ({ ...row, url: endpoint.url }));
	}));
	return found.flat().sort((a, b) => a.created_at < b.created_at ? -1 : 1);
}
