// @ts-check
// The queue of number requests.
import { html, useInterval, useLoad } from '../core/view.js';
import { get, post, curl } from '../core/api.js';
import { session } from '../core/auth.js';
import { usePlace, setQuery } from '../core/router.js';
import { phone } from '../core/format.js';
import { requestStatus, direction, words } from '../core/words.js';
import { Time, Curl, Facts } from '../parts/basics.js';
import { Loaded, Empty, Failure } from '../parts/states.js';
import { Table, More } from '../parts/table.js';
import { useList } from '../parts/list.js';
import { Dialog, show, useAction } from '../parts/dialog.js';
import { Field, Select, useFields, given } from '../parts/form.js';
import { announce } from '../parts/toast.js';
import { asked } from './numbers.js';

const path = '/admin/phone-number-requests';

/** Requests is the queue. */
export function Requests() {
	const { query } = usePlace();
	const status = query.status || 'pending';
	const list = useList(path, { status });
	useInterval(list.reload, 15000);
	return html`<div class="section-head"><p class="muted">Nobody decides on their own request.</p>
			<label class="filter"><span class="hidden">Status</span><select value=${status} onChange=${(/** @type {any} */ event) => setQuery({ status: event.target.value })}>
			${Object.keys(requestStatus).map(value => html`<option key=${value} value=${value} selected=${value === status}>${words(requestStatus, value)}</option>`)}</select></label></div>
		<${Loaded} state=${list}>${() => list.rows.length ? html`<${Table} label="Number requests" columns=${columnsOf(list.reload)} rows=${list.rows} id=${(/** @type {any} */ row) => row.request_id} />
			<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />`
			: html`<${Empty} title=${status === 'pending' ? 'Nothing waits for a decision' : 'There are none'} text="Users request numbers on their page Numbers. New requests appear here." />`}<//>
		<${Curl} text=${curl('GET', path + '?status=' + status)} />`;
}

/** @param {() => void} reload @returns {import('../parts/table.js').Column[]} */
function columnsOf(reload) {
	return [
		{ name: 'Asked for', cell: asked },
		{ name: 'User', cell: row => html`<bdi class="break">${row.user_id}</bdi>` },
		{ name: 'Purpose', hide: 'narrow', cell: row => html`<span class="break" dir="auto">${row.purpose}</span>` },
		{ name: 'Asked', hide: 'narrow', cell: row => html`<${Time} at=${row.created_at} />` },
		{ name: 'Decided by', hide: 'medium', cell: row => row.decided_by ? html`<bdi>${row.decided_by}</bdi>${row.reason && html`<span class="muted note">${row.reason}</span>`}` : html`<span class="muted">–</span>` },
		{ name: '', label: 'Actions', kind: 'actions', cell: row => row.status === 'pending' && row.user_id !== session.get().userId && html`
			<button type="button" class="small" onClick=${() => show(close => html`<${Approve} request=${row} close=${close} done=${reload} />`)}>Approve</button>
			<button type="button" class="small" onClick=${() => show(close => html`<${Reject} request=${row} close=${close} done=${reload} />`)}>Reject</button>` },
	];
}

/** @param {{request: any}} props */
const Asked = ({ request }) => html`<${Facts} rows=${[['User', html`<bdi>${request.user_id}</bdi>`], ['Asked for', asked(request)],
	['Calls', request.capabilities.map((/** @type {string} */ value) => words(direction, value)).join(', ')], ['Purpose', html`<span dir="auto">${request.purpose}</span>`]]} />`;

/** @param {{request: any, close: () => void, done: () => void}} props */
function Approve({ request, close, done }) {
	const form = useFields({ phone_number_id: '', note: '' });
	const available = useLoad(signal => get('/admin/phone-numbers', { status: 'available', limit: 100 }, signal), []);
	const action = useAction(key => post(`${path}/${request.request_id}/approve`, given(form.values), key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		const answer = await action.run(form.values);
		if (!answer) return;
		close();
		announce('Approved. ' + (answer.status === 'assigned' ? 'The number is assigned.' : 'A number is assigned as soon as one fits.'));
		done();
	};
	const numbers = (available.data?.data || []).map((/** @type {any} */ row) => [row.phone_number_id, `${phone(row.phone_number).text} (${row.country}, ${row.provider})`]);
	return html`<${Dialog} title="Approve this request?" close=${close}><form onSubmit=${submit}><${Asked} request=${request} />
		<${Select} field=${form.bind('phone_number_id')} label="Number" options=${[['', 'The first that fits'], ...numbers]} error=${action.error} />
		<${Field} field=${form.bind('note')} label="Note for the audit" error=${action.error} hint="The user does not see it." attributes=${{ maxlength: 500 }} /><${Failure} error=${action.error} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy}>Approve</button></div></form><//>`;
}

/** @param {{request: any, close: () => void, done: () => void}} props */
function Reject({ request, close, done }) {
	const form = useFields({ reason: '' });
	const action = useAction(key => post(`${path}/${request.request_id}/reject`, form.values, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		if (!await action.run(form.values)) return;
		close();
		announce('Rejected.');
		done();
	};
	return html`<${Dialog} title="Reject this request?" close=${close}><form onSubmit=${submit}><${Asked} request=${request} />
		<${Field} field=${form.bind('reason')} label="Reason" required lines=${2} error=${action.error} hint="The user reads it." attributes=${{ maxlength: 500 }} /><${Failure} error=${action.error} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="danger" disabled=${action.busy}>Reject</button></div></form><//>`;
}
