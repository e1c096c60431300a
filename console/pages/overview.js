// @ts-check
// The state of the account at a glance: calls now, the last days, and what needs attention.
import { html, useLoad, useInterval, useRef } from '../core/view.js';
import { get, curl } from '../core/api.js';
import { isAdmin } from '../core/auth.js';
import { useEvents } from '../core/events.js';
import { duration, count, percent, countryName, spoken } from '../core/format.js';
import { callStatus, words } from '../core/words.js';
import { Title, Status, Phone, Clock, Curl } from '../parts/basics.js';
import { Loaded, Empty } from '../parts/states.js';
import { Table } from '../parts/table.js';
import { Days, Shares } from '../parts/chart.js';
import { placeCall } from '../parts/placecall.js';

/** Overview is the page. */
export function Overview() {
	const stats = useLoad(signal => get('/outbound-calls/stats', {}, signal), []);
	const active = useLoad(signal => get('/outbound-calls', { active: true, limit: 100 }, signal), []);
	const numbers = useLoad(signal => get('/outbound-calls/phone-numbers', { limit: 100 }, signal), []);
	const endpoints = useLoad(signal => get('/webhook-endpoints', { limit: 100 }, signal), []);
	const calls = useLoad(signal => isAdmin() ? get('/admin/calls/switch', {}, signal) : Promise.resolve(null), []);
	const timer = useRef(0);
	useEvents(event => {
		clearTimeout(timer.current);
		timer.current = setTimeout(() => {
			if (event.type.startsWith('call.')) [active, stats].forEach(state => state.reload());
			if (event.type.startsWith('number')) numbers.reload();
			if (event.type.startsWith('webhook')) endpoints.reload();
		}, 300);
	});
	useInterval(active.reload, 10000);
	const callable = numbers.data?.data.some((/** @type {any} */ number) => number.has_outbound_trunk);
	return html`<${Title} text="Overview"><button type="button" class="primary" disabled=${!callable} onClick=${() => placeCall(numbers.data.data)}>Place a call</button><//>
		<${Attention} numbers=${numbers.data?.data || []} endpoints=${endpoints.data?.data || []} calls=${calls.data} loaded=${Boolean(numbers.data)} />
		<section aria-labelledby="now"><h2 id="now">Calls now</h2><${Loaded} state=${active} rows=${2}>${(/** @type {any} */ page) => html`<${Now} calls=${page.data} />`}<//></section>
		<${Loaded} state=${stats} rows=${8}>${(/** @type {any} */ data) => html`<${Statistics} stats=${data} />`}<//>
		<${Curl} text=${curl('GET', '/outbound-calls/stats')} />`;
}

/** @param {{numbers: any[], endpoints: any[], calls: any, loaded: boolean}} props */
function Attention({ numbers, endpoints, calls, loaded }) {
	const items = [
		...(calls && !calls.enabled ? [html`Outbound calls of all users are switched off${calls.reason && html`: <bdi>${calls.reason}</bdi>`}. <a href="/console/admin/switch">The switch</a>`] : []),
		...(loaded && !numbers.length ? [html`You have no phone number yet. <a href="/console/numbers">Request a number</a>`] : []),
		...numbers.filter(number => number.configuration_status === 'error').map(number => html`<${Phone} number=${number.phone_number} />: the last configuration stopped half way. <a href=${'/console/numbers/' + number.phone_number_id}>Configure it again</a>`),
		...endpoints.filter(endpoint => endpoint.status === 'disabled').map(endpoint => html`<bdi class="break">${endpoint.url}</bdi> failed too often and gets no more events. <a href=${'/console/developers/webhooks/' + endpoint.endpoint_id}>See its deliveries</a>`),
		...endpoints.filter(endpoint => endpoint.status === 'active' && endpoint.failures_in_a_row > 4).map(endpoint => html`<bdi class="break">${endpoint.url}</bdi> has failed ${endpoint.failures_in_a_row} times in a row. <a href=${'/console/developers/webhooks/' + endpoint.endpoint_id}>See its deliveries</a>`),
	];
	if (!items.length) return null;
	return html`<section class="attention" aria-labelledby="attention"><h2 id="attention">Needs attention</h2><ul>${items.map((item, i) => html`<li key=${i}>${item}</li>`)}</ul></section>`;
}

/** @param {{calls: any[]}} props */
function Now({ calls }) {
	if (!calls.length) return html`<p class="muted">No call is going on.</p>`;
	return html`<${Table} label="Calls now" columns=${nowColumns} rows=${calls} id=${(/** @type {any} */ call) => call.call_id} href=${(/** @type {any} */ call) => '/console/calls/' + call.call_id} />`;
}

/** @type {import('../parts/table.js').Column[]} */
const nowColumns = [
	{ name: 'Other party', cell: call => html`<${Phone} number=${call.phone_number} />` },
	{ name: 'Status', cell: call => html`<${Status} table=${callStatus} value=${call.status} />` },
	{ name: 'Agent', hide: 'narrow', cell: call => html`<bdi>${call.agent_name}</bdi>` },
	{ name: 'Time', kind: 'number', cell: call => html`<${Clock} since=${call.answered_at || call.created_at} />` },
];

/** @param {{stats: any}} props */
function Statistics({ stats }) {
	if (!stats.total_calls) {
		return html`<${Empty} title="No call has ended yet" text="Once calls end, this page shows how many, how they ended, how long they were and which countries they went to."
			curl=${curl('POST', '/outbound-calls/create', { phone_number: '+14155550100' })} />`;
	}
	const days = everyDay(stats);
	const [yesterday, today] = days.slice(-2);
	return html`<dl class="figures">
			<${Figure} name="Today (UTC)" value=${count(today.total_calls)} note=${`${count(yesterday.total_calls)} yesterday`} />
			<${Figure} name="Answered and completed" value=${percent(stats.success_rate)} note=${`of ${count(stats.total_calls)} calls in 30 days`} />
			<${Figure} name="Median talk" value=${duration(stats.duration_percentiles.p50)} note=${`${duration(stats.duration_percentiles.p95)} for the longest 5 %`} />
			<${Figure} name="Talk in 30 days" value=${duration(stats.total_duration_seconds)} note=${spoken(stats.average_duration_seconds) + ' on average'} /></dl>
		<section aria-labelledby="perday"><h2 id="perday">Calls per day</h2><${Days} days=${days} /></section>
		<div class="split"><section aria-labelledby="ends"><h2 id="ends">How calls ended</h2><${Shares} label="How calls ended" rows=${ends(stats)} /></section>
		<section aria-labelledby="countries"><h2 id="countries">Countries</h2><${Shares} label="Countries" rows=${stats.by_country.slice(0, 6).map((/** @type {any} */ row) => ({ key: row.country, word: countryName(row.country), value: row.total_calls, note: percent(row.completed / row.total_calls) + ' completed' }))} /></section></div>`;
}

/** @param {{name: string, value: any, note: string}} props */
const Figure = ({ name, value, note }) => html`<div><dt>${name}</dt><dd><span class="value number">${value}</span><span class="muted small">${note}</span></dd></div>`;

/** @param {any} stats */
function ends(stats) {
	return Object.entries(stats.by_status).filter(([, value]) => value).sort((a, b) => b[1] - a[1])
		.map(([key, value]) => ({ key, word: words(callStatus, key), value }));
}

/** everyDay adds the days without calls. @param {any} stats */
function everyDay(stats) {
	const known = new Map(stats.by_day.map((/** @type {any} */ day) => [day.date, day]));
	const days = [];
	for (let at = new Date(stats.from + 'T00:00:00Z'); at <= new Date(stats.to + 'T00:00:00Z'); at.setUTCDate(at.getUTCDate() + 1)) {
		const date = at.toISOString().slice(0, 10);
		days.push(known.get(date) || { date, total_calls: 0, completed: 0 });
	}
	return days;
}
