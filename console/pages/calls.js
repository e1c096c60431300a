// @ts-check
// The list of calls: live, filtered, and exported.
import { html, useMemo, useRef, useLoad, useInterval, useState } from '../core/view.js';
import { get, limits, pages, curl, queryText } from '../core/api.js';
import { usePlace, setQuery } from '../core/router.js';
import { useEvents } from '../core/events.js';
import { phone, duration, countryName, count } from '../core/format.js';
import { callStatus, cause, direction, words, ended } from '../core/words.js';
import { Title, Status, Phone, Time, Clock, Curl } from '../parts/basics.js';
import { Table, More } from '../parts/table.js';
import { useList } from '../parts/list.js';
import { Loaded, Empty, Failure } from '../parts/states.js';
import { placeCall } from '../parts/placecall.js';
import { csv, download } from '../parts/csv.js';
import { announce } from '../parts/toast.js';
import { Icon } from '../parts/icons.js';

const exportedAtMost = 10000;
const csvColumns = ['call_id', 'status', 'direction', 'phone_number', 'from_number', 'agent_name', 'hangup_cause', 'sip_status_code',
	'created_at', 'answered_at', 'ended_at', 'duration_seconds', 'metadata'];

/** Calls is the page. */
export function Calls() {
	const { query } = usePlace();
	const filter = useMemo(() => apiQuery(query), [JSON.stringify(query)]);
	const list = useList('/outbound-calls', filter);
	const numbers = useLoad(signal => get('/outbound-calls/phone-numbers', { limit: 100 }, signal), []);
	useLive(list);
	const rows = useMemo(() => list.rows.filter((/** @type {any} */ call) => matches(call, query)), [list.data, query.cause, query.country]);
	return html`<${Title} text="Calls" note="Newest first. The list follows what happens.">
			<${Export} filter=${filter} query=${query} />
			<button type="button" class="primary" disabled=${!callable(numbers)} onClick=${() => placeCall(numbers.data.data)}>Place a call</button><//>
		<${Filters} query=${query} numbers=${numbers.data?.data || []} rows=${list.rows} />
		${numbers.data && !callable(numbers) && html`<p class="notice">To place calls, <a href="/console/numbers">connect one of your numbers to a carrier</a> first.</p>`}
		<${Loaded} state=${list}>${() => html`<${List} list=${list} rows=${rows} query=${query} />`}<//>
		<${Curl} text=${curl('GET', '/outbound-calls' + queryText(filter))} />`;
}

/** @param {any} numbers */
const callable = numbers => Boolean(numbers.data?.data.some((/** @type {any} */ number) => number.has_outbound_trunk));

/**
 * useLive reads the list again when an event says that a call has changed, every two seconds while
 * a phone rings, and four times a minute to find calls that were just placed.
 * @param {any} list
 */
function useLive(list) {
	const timer = useRef(0);
	useEvents(event => {
		if (!event.type.startsWith('call.')) return;
		clearTimeout(timer.current);
		timer.current = setTimeout(list.refresh, 300);
	});
	const ringing = list.rows.some((/** @type {any} */ call) => ['initiated', 'dialing', 'ringing'].includes(call.status));
	const few = (limits.get().requests?.left ?? 1000) < 250;
	useInterval(list.refresh, few ? 30000 : ringing ? 2000 : 15000);
}

/** @param {{list: any, rows: any[], query: any}} props */
function List({ list, rows, query }) {
	if (!rows.length && !Object.keys(query).length && !list.next) {
		return html`<${Empty} title="No calls yet" text="Calls that you place, and calls to your numbers, appear here while they ring."
			curl=${curl('POST', '/outbound-calls/create', { phone_number: '+14155550100' })} />`;
	}
	return html`${rows.length ? html`<${Table} label="Calls" columns=${columns} rows=${rows} id=${(/** @type {any} */ call) => call.call_id} href=${(/** @type {any} */ call) => '/console/calls/' + call.call_id} />`
		: html`<${Empty} title="No call matches" text=${list.next ? 'None of the calls read so far matches. Show more to go on.' : 'Change the filters to see other calls.'}>
			<button type="button" onClick=${clear}>Clear the filters</button><//>`}
		<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${rows.length === list.rows.length ? count(rows.length) : `${count(rows.length)} of ${count(list.rows.length)} read`} />`;
}

/** @type {import('../parts/table.js').Column[]} */
const columns = [
	{ name: 'Other party', cell: call => html`<span class="with-icon"><span title=${words(direction, call.direction)}><${Icon} name=${call.direction} /><span class="hidden">${words(direction, call.direction)} </span></span><${Phone} number=${call.phone_number} /></span>` },
	{ name: 'Status', cell: call => html`<${Status} table=${callStatus} value=${call.status} />` },
	{ name: 'How it ended', hide: 'narrow', cell: call => html`<span class="muted">${words(cause, call.hangup_cause)}</span>` },
	{ name: 'Your number', hide: 'medium', cell: call => html`<${Phone} number=${call.from_number} />` },
	{ name: 'Agent', hide: 'medium', cell: call => html`<bdi>${call.agent_name}</bdi>` },
	{ name: 'Started', hide: 'narrow', cell: call => html`<${Time} at=${call.created_at} />` },
	{ name: 'Talk', kind: 'number', cell: call => call.answered_at && !ended(call.status) ? html`<${Clock} since=${call.answered_at} />` : call.answered_at ? duration(call.duration_seconds) : html`<span class="muted">–</span>` },
];

/** @param {any} query */
function apiQuery(query) {
	const start = (/** @type {string} */ day, /** @type {number} */ plus) => {
		const [y, m, d] = day.split('-').map(Number);
		const at = new Date(y, m - 1, d + plus);
		return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
	};
	const [name, ...value] = (query.metadata || '').split('=');
	return {
		status: query.status, direction: query.direction, active: query.active ? true : undefined, phone_number_id: query.number,
		from: query.from && start(query.from, 0), to: query.to && start(query.to, 1),
		metadata: name && value.length ? { [name]: value.join('=') } : undefined,
	};
}

/** matches applies the filters that the API does not have. @param {any} call @param {any} query */
function matches(call, query) {
	return (!query.cause || call.hangup_cause === query.cause) && (!query.country || phone(call.phone_number).country === query.country);
}

const filterNames = ['status', 'direction', 'active', 'number', 'from', 'to', 'cause', 'country', 'metadata'];
const clear = () => setQuery(Object.fromEntries(filterNames.map(name => [name, ''])));

/** @param {{query: any, numbers: any[], rows: any[]}} props */
function Filters({ query, numbers, rows }) {
	const countries = useMemo(() => [...new Set(rows.map(call => phone(call.phone_number).country).filter(Boolean))].sort(), [rows]);
	const choose = (/** @type {string} */ name, /** @type {string} */ label, /** @type {[string, string][]} */ options) => html`<label class="filter"><span>${label}</span>
		<select value=${query[name] || ''} onChange=${(/** @type {any} */ event) => setQuery({ [name]: event.target.value })}>
		${[['', 'All'], ...options].map(([value, word]) => html`<option key=${value} value=${value} selected=${value === (query[name] || '')}>${word}</option>`)}</select></label>`;
	const day = (/** @type {string} */ name, /** @type {string} */ label) => html`<label class="filter"><span>${label}</span>
		<input type="date" value=${query[name] || ''} onChange=${(/** @type {any} */ event) => setQuery({ [name]: event.target.value })} /></label>`;
	const set = filterNames.filter(name => query[name]);
	return html`<details class="filters" open=${innerWidth > 800 || set.length > 0}><summary>Filters${set.length > 0 && ` (${set.length})`}</summary><form class="row" role="search" aria-label="Filter calls" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
		${choose('active', 'Going on', [['1', 'Only calls going on']])}
		${choose('status', 'Status', Object.keys(callStatus).map(value => [value, words(callStatus, value)]))}
		${choose('direction', 'Direction', Object.entries(direction))}
		${choose('number', 'Your number', numbers.map(number => [number.phone_number_id, phone(number.phone_number).text]))}
		${day('from', 'From')}${day('to', 'To')}
		${choose('cause', 'How it ended', Object.entries(cause))}
		${choose('country', 'Country', [...new Set([...countries, ...(query.country ? [query.country] : [])])].map(code => [code, countryName(code)]))}
		<${MetadataFilter} value=${query.metadata || ''} />
		${set.length > 0 && html`<button type="button" class="quiet" onClick=${clear}>Clear</button>`}</form></details>`;
}

/** @param {{value: string}} props */
function MetadataFilter({ value }) {
	return html`<label class="filter"><span>Metadata</span><input type="text" value=${value} placeholder="order=A-1001" autocomplete="off"
		onChange=${(/** @type {any} */ event) => setQuery({ metadata: event.target.value.trim() })} /></label>`;
}

/** @param {{filter: any, query: any}} props */
function Export({ filter, query }) {
	const [state, setState] = useState({ busy: false, error: /** @type {any} */ (null) });
	const run = async () => {
		setState({ busy: true, error: null });
		try {
			const all = await pages('/outbound-calls', { ...filter, limit: 100 }, exportedAtMost);
			const rows = all.data.filter((/** @type {any} */ call) => matches(call, query));
			download('calls.csv', csv(csvColumns, rows));
			announce(`Exported ${count(rows.length)} calls${all.next_cursor ? '. There are more: choose dates to export the rest' : ''}.`);
			setState({ busy: false, error: null });
		} catch (error) {
			setState({ busy: false, error });
		}
	};
	return html`${state.error && html`<${Failure} error=${state.error} retry=${run} />`}
		<button type="button" disabled=${state.busy} onClick=${run}>${state.busy ? 'Exporting …' : 'Export CSV'}</button>`;
}
