// @ts-check
// The user's numbers, and their requests for numbers.
import { html, useRef } from '../core/view.js';
import { post, curl } from '../core/api.js';
import { useEvents } from '../core/events.js';
import { configurationStatus, requestStatus, numberType, direction, words } from '../core/words.js';
import { countryName } from '../core/format.js';
import { Title, Status, Phone, Time, Curl } from '../parts/basics.js';
import { Loaded, Empty, Failure } from '../parts/states.js';
import { Table, More } from '../parts/table.js';
import { useList } from '../parts/list.js';
import { Dialog, show, useAction } from '../parts/dialog.js';
import { Field, Select, Country, Checks, useFields, given } from '../parts/form.js';
import { announce } from '../parts/toast.js';

/** Numbers is the page. */
export function Numbers() {
	const numbers = useList('/outbound-calls/phone-numbers');
	const requests = useList('/telephony/phone-number-requests');
	const timer = useRef(0);
	useEvents(event => {
		if (!event.type.startsWith('number')) return;
		clearTimeout(timer.current);
		timer.current = setTimeout(() => {
			numbers.reload();
			requests.reload();
		}, 300);
	});
	const request = () => show(close => html`<${RequestNumber} close=${close} done=${requests.reload} />`);
	return html`<${Title} text="Numbers"><button type="button" class="primary" onClick=${request}>Request a number</button><//>
		<${Loaded} state=${numbers}>${() => html`<${Mine} list=${numbers} request=${request} />`}<//>
		<section aria-labelledby="requests"><h2 id="requests">Requests</h2>
		<${Loaded} state=${requests} rows=${2}>${() => html`<${Requests} list=${requests} />`}<//></section>
		<${Curl} text=${curl('GET', '/outbound-calls/phone-numbers')} />`;
}

/** @param {{list: any, request: () => void}} props */
function Mine({ list, request }) {
	if (!list.rows.length) {
		return html`<${Empty} title="You have no number yet" text="Request one. An administrator decides, and you get a number of the inventory. Then connect it to your carrier and to an agent."
			curl=${curl('POST', '/telephony/phone-number-requests', { country: 'NG', number_type: 'mobile', purpose: 'Order follow-up calls' })}>
			<button type="button" onClick=${request}>Request a number</button><//>`;
	}
	return html`<${Table} label="Your numbers" columns=${columns} rows=${list.rows} id=${(/** @type {any} */ row) => row.phone_number_id} href=${(/** @type {any} */ row) => '/console/numbers/' + row.phone_number_id} />
		<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />`;
}

/** @param {any} row */
function can(row) {
	return [row.has_outbound_trunk && 'places calls', row.has_inbound_trunk && row.has_dispatch_rule && 'takes calls'].filter(Boolean).join(', ') || 'nothing yet';
}

/** @type {import('../parts/table.js').Column[]} */
const columns = [
	{ name: 'Number', cell: row => html`<${Phone} number=${row.phone_number} country=${row.country} />` },
	{ name: 'Configuration', cell: row => html`<${Status} table=${configurationStatus} value=${row.configuration_status} />` },
	{ name: 'Can do now', hide: 'narrow', cell: can },
	{ name: 'Type', hide: 'medium', cell: row => words(numberType, row.number_type) },
	{ name: 'Made for', hide: 'medium', cell: row => row.capabilities.map((/** @type {string} */ value) => words(direction, value)).join(', ') },
	{ name: 'Yours since', hide: 'narrow', cell: row => html`<${Time} at=${row.assigned_at} />` },
];

/** @param {{list: any}} props */
function Requests({ list }) {
	if (!list.rows.length) return html`<p class="muted">You have not requested a number.</p>`;
	return html`<${Table} label="Your requests" columns=${requestColumns} rows=${list.rows} id=${(/** @type {any} */ row) => row.request_id} />
		<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />`;
}

/** asked is a request in words. @param {any} row */
export function asked(row) {
	if (row.phone_number) return html`<${Phone} number=${row.phone_number} country=${row.country} />`;
	return html`${words(numberType, row.number_type)}, ${countryName(row.country)}${row.area_code && `, beginning with ${row.area_code}`}`;
}

/** @type {import('../parts/table.js').Column[]} */
const requestColumns = [
	{ name: 'Asked for', cell: asked },
	{ name: 'Status', cell: row => html`<${Status} table=${requestStatus} value=${row.status} />${row.reason && html`<span class="muted note">${row.reason === 'expired' ? 'Nobody decided in time' : row.reason}</span>`}` },
	{ name: 'Purpose', hide: 'narrow', cell: row => html`<span class="break" dir="auto">${row.purpose}</span>` },
	{ name: 'Asked', hide: 'narrow', cell: row => html`<${Time} at=${row.created_at} />` },
];

/** @param {{close: () => void, done: () => void}} props */
function RequestNumber({ close, done }) {
	const form = useFields({ country: 'US', number_type: 'local', area_code: '', phone_number: '', capabilities: ['inbound', 'outbound'], purpose: '' });
	const v = form.values;
	const body = given({ ...v, country: v.phone_number ? '' : v.country, number_type: v.phone_number ? '' : v.number_type, area_code: v.phone_number ? '' : v.area_code, phone_number: v.phone_number.replace(/[ -]/g, '') });
	const action = useAction(key => post('/telephony/phone-number-requests', body, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		if (!await action.run(body)) return;
		close();
		announce('Requested. An administrator decides.');
		done();
	};
	return html`<${Dialog} title="Request a number" close=${close} wide><form onSubmit=${submit}><${Failure} error=${action.error} />
		${!v.phone_number && html`<div class="columns"><${Country} field=${form.bind('country')} label="Country" error=${action.error} none="Choose" />
			<${Select} field=${form.bind('number_type')} label="Type" options=${Object.entries(numberType)} error=${action.error} /></div>
			<${Field} field=${form.bind('area_code')} label="Digits after the country code" error=${action.error} hint="An area code, if it matters." attributes=${{ inputmode: 'numeric', pattern: '[0-9]{1,6}' }} />`}
		<${Field} field=${form.bind('phone_number')} label="A certain number" type="tel" error=${action.error} hint="In place of any that fits." />
		<${Checks} field=${form.bind('capabilities')} label="For which calls" options=${Object.entries(direction)} error=${action.error} />
		<${Field} field=${form.bind('purpose')} label="Purpose" required lines=${2} error=${action.error} hint="The administrator who decides reads it." attributes=${{ maxlength: 500 }} />
		<${Curl} text=${curl('POST', '/telephony/phone-number-requests', body)} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy}>${action.busy ? 'Sending …' : 'Request'}</button></div></form><//>`;
}
