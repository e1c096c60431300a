// @ts-check
// The inventory of numbers.
import { html, useState } from '../core/view.js';
import { post, send, curl, queryText } from '../core/api.js';
import { usePlace, setQuery } from '../core/router.js';
import { inventoryStatus, numberType, direction, words } from '../core/words.js';
import { Status, Phone, Curl } from '../parts/basics.js';
import { Loaded, Empty, Failure } from '../parts/states.js';
import { Table, More } from '../parts/table.js';
import { useList } from '../parts/list.js';
import { Dialog, confirm, show, useAction } from '../parts/dialog.js';
import { Field, Select, Country, Checks, Check, useFields } from '../parts/form.js';
import { announce } from '../parts/toast.js';

const path = '/admin/phone-numbers';

/** Inventory is the list. */
export function Inventory() {
	const { query } = usePlace();
	const filter = { status: query.status };
	const list = useList(path, filter);
	const add = () => show(close => html`<${Add} close=${close} done=${list.reload} />`);
	const bring = () => show(close => html`<${Import} close=${close} done=${list.reload} />`);
	return html`<div class="section-head"><label class="filter"><span class="hidden">Status</span><select value=${query.status || ''} onChange=${(/** @type {any} */ event) => setQuery({ status: event.target.value })}>
			${[['', 'All'], ...Object.keys(inventoryStatus).map(value => [value, words(inventoryStatus, value)])].map(([value, word]) => html`<option key=${value} value=${value} selected=${value === (query.status || '')}>${word}</option>`)}</select></label>
			<div class="actions"><button type="button" onClick=${bring}>Import</button><button type="button" class="primary" onClick=${add}>Add a number</button></div></div>
		<${Loaded} state=${list}>${() => list.rows.length ? html`<${Table} label="Inventory" columns=${columnsOf(list.reload)} rows=${list.rows} id=${(/** @type {any} */ row) => row.phone_number_id} />
			<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />`
			: html`<${Empty} title="No numbers" text="Add numbers that your carriers have given you. Requests that wait for such a number get it at once." curl=${curl('POST', path, { phone_number: '+2348012345681', country: 'NG', number_type: 'mobile', capabilities: ['inbound', 'outbound'], provider: 'Twilio' })} />`}<//>
		<${Curl} text=${curl('GET', path + queryText(filter))} />`;
}

/** @param {() => void} reload @returns {import('../parts/table.js').Column[]} */
function columnsOf(reload) {
	return [
		{ name: 'Number', cell: row => html`<${Phone} number=${row.phone_number} country=${row.country} />` },
		{ name: 'Status', cell: row => html`<${Status} table=${inventoryStatus} value=${row.status} />` },
		{ name: 'Owner', cell: row => row.user_id ? html`<a href=${'/console/admin/users?user=' + encodeURIComponent(row.user_id)}><bdi class="break">${row.user_id}</bdi></a>` : html`<span class="muted">–</span>` },
		{ name: 'Type', hide: 'medium', cell: row => words(numberType, row.number_type) },
		{ name: 'Calls', hide: 'medium', cell: row => row.capabilities.map((/** @type {string} */ value) => words(direction, value)).join(', ') },
		{ name: 'Provider', hide: 'narrow', cell: row => html`<bdi>${row.provider}</bdi>` },
		{ name: '', label: 'Actions', kind: 'actions', cell: row => html`<${RowActions} row=${row} reload=${reload} />` },
	];
}

/** @param {{row: any, reload: () => void}} props */
function RowActions({ row, reload }) {
	const done = (/** @type {string} */ text) => () => {
		announce(text);
		reload();
	};
	const own = path + '/' + row.phone_number_id;
	const number = html`<strong><${Phone} number=${row.phone_number} country=${row.country} /></strong>`;
	if (row.status === 'assigned') {
		return html`<button type="button" class="small" onClick=${() => confirm({
			title: 'Take this number back?', danger: true, button: 'Take back', act: key => post(own + '/release', undefined, key), done: done('Taken back.'),
			text: html`<p>${number} is taken from <bdi>${row.user_id}</bdi>. Its configuration is removed; calls in progress go on. Requests that wait for such a number get it at once.</p>`,
		})}>Take back</button>`;
	}
	if (row.status !== 'available') return null;
	return html`<button type="button" class="small" onClick=${() => show(close => html`<${Assign} row=${row} close=${close} done=${done('Assigned.')} />`)}>Assign</button>
		<button type="button" class="quiet small" onClick=${() => confirm({
			title: 'Retire this number?', danger: true, button: 'Retire', act: () => send('DELETE', own), done: done('Retired.'),
			text: html`<p>${number} is not assigned any more, for example because it goes back to the carrier. Adding it again with “restore” brings it back.</p>`,
		})}>Retire</button>`;
}

/** @param {{row: any, close: () => void, done: () => void}} props */
function Assign({ row, close, done }) {
	const form = useFields({ user_id: '' });
	const action = useAction(key => post(`${path}/${row.phone_number_id}/assign`, form.values, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		if (!await action.run(form.values)) return;
		close();
		done();
	};
	return html`<${Dialog} title="Give this number to a user" close=${close}><form onSubmit=${submit}><div class="prose"><p><${Phone} number=${row.phone_number} country=${row.country} /> becomes the user’s, without a request of theirs.</p></div>
		<${Field} field=${form.bind('user_id')} label="User" required error=${action.error} hint="As in the sub claim of their tokens." attributes=${{ autofocus: true }} /><${Failure} error=${action.error} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy}>Assign</button></div></form><//>`;
}

/** @param {{close: () => void, done: () => void}} props */
function Add({ close, done }) {
	const form = useFields({ phone_number: '', country: '', number_type: 'mobile', capabilities: ['inbound', 'outbound'], provider: '', restore: false });
	const body = { ...form.values, phone_number: form.values.phone_number.replace(/[ -]/g, ''), restore: form.values.restore || undefined };
	const action = useAction(key => post(path, body, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		if (!await action.run(body)) return;
		close();
		announce('Added.');
		done();
	};
	const error = action.error;
	return html`<${Dialog} title="Add a number" close=${close} wide><form onSubmit=${submit}><${Failure} error=${error} />
		<div class="columns"><${Field} field=${form.bind('phone_number')} label="Number" type="tel" required error=${error} hint="With plus and country, such as +2348012345681." attributes=${{ autofocus: true }} />
		<${Country} field=${form.bind('country')} label="Country" error=${error} none="Choose" /></div>
		<div class="columns"><${Select} field=${form.bind('number_type')} label="Type" options=${Object.entries(numberType)} error=${error} />
		<${Field} field=${form.bind('provider')} label="Provider" required error=${error} /></div>
		<${Checks} field=${form.bind('capabilities')} label="Calls" options=${Object.entries(direction)} error=${error} />
		<${Check} field=${form.bind('restore')} label="If the number is retired, restore it" />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy}>Add</button></div></form><//>`;
}

const sample = 'phone_number,country,number_type,capabilities,provider\n+2348012345681,NG,mobile,inbound outbound,Twilio';

/** @param {{close: () => void, done: () => void}} props */
function Import({ close, done }) {
	const form = useFields({ csv: '' });
	const [result, setResult] = useState(/** @type {any} */ (null));
	const action = useAction(key => post(path + '/import', form.values.csv.trim() + '\n', key, 'text/csv'));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		const answer = await action.run(form.values);
		if (!answer) return;
		setResult(answer);
		done();
	};
	const choose = async (/** @type {any} */ event) => {
		const file = event.target.files[0];
		if (file) form.bind('csv').set(await file.text());
	};
	const rows = form.values.csv.trim().split('\n').length - 1;
	return html`<${Dialog} title="Import numbers" close=${close} wide>${result ? html`<${Imported} result=${result} close=${close} />` : html`<form onSubmit=${submit}><${Failure} error=${action.error} />
		<div class="prose"><p>A table of at most 500 rows, with the names of its columns in the first line. A wrong row is refused alone, and numbers that are known already stay as they are.</p></div>
		<label class="field"><span>File</span><input type="file" accept=".csv,text/csv" onChange=${choose} /></label>
		<${Field} field=${form.bind('csv')} label="Table" lines=${8} required error=${action.error} attributes=${{ placeholder: sample, spellcheck: false, class: 'mono' }} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy || rows < 1}>${rows > 0 ? `Import ${rows} ${rows === 1 ? 'row' : 'rows'}` : 'Import'}</button></div></form>`}<//>`;
}

/** @param {{result: any, close: () => void}} props */
function Imported({ result, close }) {
	return html`<p>${result.added} added, ${result.known} known already, ${result.refused.length} refused.</p>
		${result.refused.length > 0 && html`<${Table} label="Refused rows" id=${(/** @type {any} */ row) => String(row.row)} rows=${result.refused} columns=${[
			{ name: 'Row', cell: (/** @type {any} */ row) => row.row }, { name: 'Number', cell: (/** @type {any} */ row) => html`<bdi>${row.phone_number}</bdi>` }, { name: 'Reason', cell: (/** @type {any} */ row) => row.detail }]} />`}
		<div class="buttons"><button type="button" class="primary" onClick=${close}>Done</button></div>`;
}
