// @ts-check
// Webhook endpoints and what was sent to them.
import { html, useInterval, useEffect, useLoad, useRef } from '../core/view.js';
import { get, post, send, curl } from '../core/api.js';
import { navigate, usePlace, setQuery } from '../core/router.js';
import { useEvents } from '../core/events.js';
import { endpointStatus, deliveryStatus, deliveryError, eventType, webhookEvents, words } from '../core/words.js';
import { Title, Status, Time, Facts, Id, Code, Curl } from '../parts/basics.js';
import { Loaded, Empty, Failure } from '../parts/states.js';
import { Table, More } from '../parts/table.js';
import { useList } from '../parts/list.js';
import { Dialog, confirm, show, useAction } from '../parts/dialog.js';
import { Field, Select, Checks, useFields } from '../parts/form.js';
import { announce } from '../parts/toast.js';
import { graces, showSecret } from './keys.js';

const path = '/webhook-endpoints';

/** Webhooks is the list of endpoints. */
export function Webhooks() {
	const list = useList(path);
	const add = () => show(close => html`<${EndpointForm} close=${close} done=${list.reload} />`);
	return html`<div class="section-head"><p class="muted">The platform sends events to your server, signed as Standard Webhooks says.</p>
			<button type="button" class="primary" onClick=${add}>Add an endpoint</button></div>
		<${Loaded} state=${list}>${() => list.rows.length ? html`<${Table} label="Webhook endpoints" columns=${columns} rows=${list.rows} id=${(/** @type {any} */ row) => row.endpoint_id} href=${(/** @type {any} */ row) => '/console/developers/webhooks/' + row.endpoint_id} />
			<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />`
			: html`<${Empty} title="No endpoints yet" text="Add the address of your server, and choose the events that it gets." curl=${curl('POST', path, { url: 'https://hooks.example.com/kros', events: ['call.ended'] })}><button type="button" onClick=${add}>Add an endpoint</button><//>`}<//>
		<${Curl} text=${curl('GET', path)} />`;
}

/** @type {import('../parts/table.js').Column[]} */
const columns = [
	{ name: 'Address', cell: row => html`<bdi class="break">${row.url}</bdi>` },
	{ name: 'Status', cell: row => html`<${Status} table=${endpointStatus} value=${row.status} />` },
	{ name: 'Events', hide: 'narrow', kind: 'number', cell: row => row.events.length },
	{ name: 'Failures in a row', hide: 'narrow', kind: 'number', cell: row => row.failures_in_a_row },
	{ name: 'Added', hide: 'medium', cell: row => html`<${Time} at=${row.created_at} />` },
];

/** @param {{endpoint?: any, close: () => void, done: () => void}} props */
function EndpointForm({ endpoint, close, done }) {
	const form = useFields({ url: endpoint?.url || '', events: endpoint?.events || ['call.answered', 'call.ended', 'call.summary_ready'] });
	const action = useAction(key => endpoint ? send('PATCH', `${path}/${endpoint.endpoint_id}`, { body: form.values }) : post(path, form.values, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		const answer = await action.run(form.values);
		if (!answer) return;
		close();
		done();
		if (answer.signing_secret) showSecret('The signing secret', answer.signing_secret, 'Signing secret');
		else announce('Saved.');
	};
	return html`<${Dialog} title=${endpoint ? 'Change the endpoint' : 'Add an endpoint'} close=${close} wide><form onSubmit=${submit}><${Failure} error=${action.error} />
		<${Field} field=${form.bind('url')} label="Address" type="url" required error=${action.error} hint="https, with a public host name." attributes=${{ placeholder: 'https://hooks.example.com/kros', autofocus: true }} />
		<${Checks} field=${form.bind('events')} label="Events" error=${action.error} options=${webhookEvents.map(value => [value, words(eventType, value), value])} />
		${endpoint?.status === 'disabled' && html`<p class="hint">A new address enables the endpoint again.</p>`}
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy || !form.values.events.length}>${endpoint ? 'Save' : 'Add'}</button></div></form><//>`;
}

/** Webhook is one endpoint with its deliveries. @param {{endpointId: string}} props */
export function Webhook({ endpointId }) {
	const { query } = usePlace();
	const endpoint = useLoad(async signal => {
		const found = (await get(path, { limit: 100 }, signal)).data.find((/** @type {any} */ row) => row.endpoint_id === endpointId);
		return found || null;
	}, [endpointId]);
	const list = useList(`${path}/${encodeURIComponent(endpointId)}/deliveries`, { status: query.status });
	const pending = list.rows.some((/** @type {any} */ row) => row.status === 'pending');
	useInterval(list.refresh, pending ? 2000 : 20000);
	useEvents(() => setTimeout(list.refresh, 1500));
	return html`<p class="back"><a href="/console/developers/webhooks">Webhooks</a></p>
		<${Loaded} state=${endpoint} rows=${4}>${(/** @type {any} */ data) => data ? html`<${Endpoint} endpoint=${data} reload=${endpoint.reload} refresh=${list.refresh} />`
			: html`<${Title} text="Deleted endpoint" note="Its deliveries stay for 30 days." />`}<//>
		<section aria-labelledby="deliveries"><div class="section-head"><h2 id="deliveries">Deliveries</h2>
			<label class="filter"><span class="hidden">Status</span><select value=${query.status || ''} onChange=${(/** @type {any} */ event) => setQuery({ status: event.target.value })}>
			${[['', 'All'], ...Object.keys(deliveryStatus).map(value => [value, words(deliveryStatus, value)])].map(([value, word]) => html`<option key=${value} value=${value} selected=${value === (query.status || '')}>${word}</option>`)}</select></label></div>
		<${Loaded} state=${list}>${() => html`<${Deliveries} list=${list} endpointId=${endpointId} wanted=${query.delivery} />`}<//></section>
		<${Curl} text=${curl('GET', `${path}/${encodeURIComponent(endpointId)}/deliveries`)} />`;
}

/** @param {{endpoint: any, reload: () => void, refresh: () => void}} props */
function Endpoint({ endpoint, reload, refresh }) {
	const own = `${path}/${endpoint.endpoint_id}`;
	const active = endpoint.status === 'active';
	const pause = () => active ? confirm({
		title: 'Pause this endpoint?', button: 'Pause', act: () => send('PATCH', own, { body: { paused: true } }), done: reload,
		text: html`<p>Nothing is sent there until you go on, and deliveries that wait are given up. Events of the meantime are not sent later.</p>`,
	}) : confirm({ title: 'Send events again?', button: 'Go on', act: () => send('PATCH', own, { body: { paused: false } }), done: reload, text: html`<p>Events that happen from now on are sent to <bdi class="break">${endpoint.url}</bdi>.</p>` });
	const test = useAction(key => post(own + '/test', undefined, key));
	const sendTest = async () => {
		if (await test.run(null)) announce('The test event is on its way.');
		refresh();
	};
	return html`<${Title} text=${html`<bdi class="break">${endpoint.url}</bdi>`}>
			<button type="button" disabled=${!active || test.busy} onClick=${sendTest}>Send a test</button>
			<button type="button" onClick=${pause}>${active ? 'Pause' : 'Go on'}</button>
			<button type="button" onClick=${() => show(close => html`<${EndpointForm} endpoint=${endpoint} close=${close} done=${reload} />`)}>Change</button>
			<button type="button" onClick=${() => show(close => html`<${RotateSecret} own=${own} close=${close} />`)}>Rotate secret</button>
			<button type="button" class="danger" onClick=${() => remove(endpoint, own)}>Delete</button><//>
		<${Failure} error=${test.error} />
		<${Facts} rows=${[
			['Status', html`<${Status} table=${endpointStatus} value=${endpoint.status} />`], ['Endpoint', html`<${Id} value=${endpoint.endpoint_id} />`],
			['Failures in a row', endpoint.failures_in_a_row || null], ['Disabled', endpoint.disabled_at && html`<${Time} at=${endpoint.disabled_at} />`],
			['Events', endpoint.events.map((/** @type {string} */ type) => words(eventType, type)).join(', ')],
		]} />`;
}

/** @param {any} endpoint @param {string} own */
function remove(endpoint, own) {
	confirm({
		title: 'Delete this endpoint?', danger: true, button: 'Delete',
		text: html`<p>Nothing is sent to <bdi class="break">${endpoint.url}</bdi> any more, and deliveries that wait are given up. Its signing secret is forgotten.</p>`,
		act: () => send('DELETE', own),
		done: () => {
			announce('Deleted.');
			navigate('/console/developers/webhooks');
		},
	});
}

/** @param {{own: string, close: () => void}} props */
function RotateSecret({ own, close }) {
	const form = useFields({ grace: '3600' });
	const action = useAction(key => post(own + '/rotate-secret', { grace_seconds: Number(form.values.grace) }, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		const answer = await action.run(form.values);
		if (!answer) return;
		close();
		showSecret('The new signing secret', answer.signing_secret, 'Signing secret');
	};
	return html`<${Dialog} title="Rotate the signing secret" close=${close}><form onSubmit=${submit}><div class="prose"><p>Messages carry a signature of each secret while both work, so change your server meanwhile.</p></div>
		<${Select} field=${form.bind('grace')} label="The old secret signs for" options=${graces} error=${action.error} path="grace_seconds" /><${Failure} error=${action.error} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy}>Rotate</button></div></form><//>`;
}

/** @param {{list: any, endpointId: string, wanted?: string}} props */
function Deliveries({ list, endpointId, wanted }) {
	const open = (/** @type {any} */ row) => show(close => html`<${Delivery} first=${row} list=${list} endpointId=${endpointId} close=${close} />`);
	const opened = useRef('');
	useEffect(() => {
		const row = list.rows.find((/** @type {any} */ delivery) => delivery.delivery_id === wanted);
		if (!row || opened.current === wanted) return;
		opened.current = wanted || '';
		open(row);
	}, [wanted, list.rows.length]);
	if (!list.rows.length) return html`<p class="muted">Nothing was sent in the last 30 days. Send a test to see it here.</p>`;
	return html`<${Table} label="Deliveries" columns=${columnsOf(open)} rows=${list.rows} id=${(/** @type {any} */ row) => row.delivery_id} />
		<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />`;
}

/** @param {(row: any) => void} open @returns {import('../parts/table.js').Column[]} */
function columnsOf(open) {
	return [
		{ name: 'Event', cell: row => html`<button type="button" class="row" onClick=${() => open(row)}>${words(eventType, row.event_type)}</button>${row.replay_of && html` <span class="muted">repeated</span>`}` },
		{ name: 'Status', cell: row => html`<${Status} table=${deliveryStatus} value=${row.status} />` },
		{ name: 'Answer', hide: 'narrow', cell: answer },
		{ name: 'Attempts', hide: 'narrow', kind: 'number', cell: row => row.attempts },
		{ name: 'Time', cell: row => html`<${Time} at=${row.created_at} />` },
	];
}

/** answer is what came back from the endpoint. @param {any} row */
function answer(row) {
	if (row.last_error && row.last_error !== 'status') return words(deliveryError, row.last_error);
	return row.last_status_code ? 'HTTP ' + row.last_status_code : html`<span class="muted">–</span>`;
}

/** @param {{first: any, list: any, endpointId: string, close: () => void}} props */
function Delivery({ first, list, endpointId, close }) {
	const row = first;
	const action = useAction(key => post(`${path}/${endpointId}/deliveries/${row.delivery_id}/replay`, undefined, key));
	const replay = async () => {
		if (!await action.run(null)) return;
		announce('The delivery is repeated.');
		close();
		list.refresh();
	};
	return html`<${Dialog} title=${words(eventType, row.event_type)} close=${close} wide><${Facts} rows=${[
			['Status', html`<${Status} table=${deliveryStatus} value=${row.status} />`], ['Answer', answer(row)], ['Attempts', row.attempts],
			['Next attempt', row.next_attempt_at && html`<${Time} at=${row.next_attempt_at} />`], ['Happened', html`<${Time} at=${row.happened_at} />`],
			['Delivery', html`<${Id} value=${row.delivery_id} />`], ['webhook-id', html`<${Id} value=${row.event_id} />`],
		]} />
		<h3>Sent</h3><${Code} text=${pretty(row.request_body)} label="Sent body" />
		<h3>Answer of the server</h3>${row.response_body ? html`<${Code} text=${row.response_body} label="Answer" />` : html`<p class="muted">Empty.</p>`}
		<${Failure} error=${action.error} />
		<div class="buttons"><button type="button" onClick=${close}>Close</button><button type="button" class="primary" disabled=${action.busy} onClick=${replay}>Send again</button></div><//>`;
}

/** @param {string} text */
function pretty(text) {
	try {
		return JSON.stringify(JSON.parse(text), null, 2);
	} catch {
		return text;
	}
}
