// @ts-check
// Running the platform: all active calls, the switch of all calls, and the audit.
import { html, useInterval, useLoad, useState } from '../core/view.js';
import { get, post, send, curl, queryText } from '../core/api.js';
import { usePlace, setQuery } from '../core/router.js';
import { auditAction, callStatus, direction, readable, words } from '../core/words.js';
import { Status, Phone, Time, Clock, Curl, Facts } from '../parts/basics.js';
import { Loaded, Empty } from '../parts/states.js';
import { Table, More } from '../parts/table.js';
import { useList } from '../parts/list.js';
import { confirm } from '../parts/dialog.js';
import { Field, useFields } from '../parts/form.js';
import { announce } from '../parts/toast.js';

/** AllCalls lists the calls of all users that have not ended. */
export function AllCalls() {
	const list = useList('/admin/calls');
	useInterval(list.reload, 5000);
	return html`${list.data && !list.data.calls_enabled && html`<p class="notice">Outbound calls of all users are switched off. <a href="/console/admin/switch">The switch</a></p>`}
		<${Loaded} state=${list}>${() => list.rows.length ? html`<${Table} label="Active calls" columns=${callColumns(list.reload)} rows=${list.rows} id=${(/** @type {any} */ row) => row.call_id} />
			<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />` : html`<${Empty} title="No call is going on" text="The calls of all users appear here while they go on." />`}<//>
		<${Curl} text=${curl('GET', '/admin/calls')} />`;
}

/** @param {() => void} reload @returns {import('../parts/table.js').Column[]} */
function callColumns(reload) {
	const hangUp = (/** @type {any} */ call) => confirm({
		title: 'Hang up this user’s call?', danger: true, button: 'Hang up', act: key => post(`/admin/calls/${call.call_id}/hangup`, undefined, key),
		text: html`<p>The call of <bdi>${call.user_id}</bdi> with <strong><${Phone} number=${call.phone_number} /></strong> ends at once. The audit notes that you did it.</p>`,
		done: () => {
			announce('Hung up.');
			reload();
		},
	});
	return [
		{ name: 'User', cell: row => html`<a href=${'/console/admin/users?user=' + encodeURIComponent(row.user_id)}><bdi class="break">${row.user_id}</bdi></a>` },
		{ name: 'Other party', cell: row => html`<${Phone} number=${row.phone_number} />` },
		{ name: 'Status', cell: row => html`<${Status} table=${callStatus} value=${row.status} />` },
		{ name: 'Direction', hide: 'narrow', cell: row => words(direction, row.direction) },
		{ name: 'Agent', hide: 'medium', cell: row => html`<bdi>${row.agent_name}</bdi>` },
		{ name: 'Time', hide: 'narrow', kind: 'number', cell: row => html`<${Clock} since=${row.answered_at || row.created_at} />` },
		{ name: '', label: 'Actions', kind: 'actions', cell: row => html`<button type="button" class="small danger" onClick=${() => hangUp(row)}>Hang up</button>` },
	];
}

/** Switch turns the outbound calls of everybody off and on. */
export function Switch() {
	const state = useLoad(signal => get('/admin/calls/switch', {}, signal), []);
	return html`<${Loaded} state=${state} rows=${3}>${(/** @type {any} */ data) => html`<${SwitchState} state=${data} reload=${state.reload} />`}<//><${Curl} text=${curl('GET', '/admin/calls/switch')} />`;
}

/** @param {{state: any, reload: () => void}} props */
function SwitchState({ state, reload }) {
	const form = useFields({ reason: '' });
	const [missing, setMissing] = useState(false);
	const ask = () => {
		if (state.enabled && !form.values.reason.trim()) return setMissing(true);
		setMissing(false);
		confirm({
			title: state.enabled ? 'Switch all outbound calls off?' : 'Switch outbound calls on?', danger: state.enabled, button: state.enabled ? 'Switch off' : 'Switch on',
			text: state.enabled ? html`<p>Every new outbound call of <strong>every user</strong> is refused from now on, and accepted calls that were not dialed yet are canceled. Calls in progress go on.</p>` : html`<p>Users can place calls again, within their policies.</p>`,
			act: () => send('PUT', '/admin/calls', { body: { enabled: !state.enabled, ...(state.enabled && { reason: form.values.reason.trim() }) } }),
			done: () => {
				announce(state.enabled ? 'Calls are switched off.' : 'Calls are switched on.');
				reload();
			},
		});
	};
	return html`<div class="headline"><span class=${'status ' + (state.enabled ? 'good' : 'bad')}><span class="dot" aria-hidden="true"></span>${state.enabled ? 'Outbound calls are on' : 'Outbound calls are off'}</span></div>
		<${Facts} rows=${[['Reason', state.reason && html`<bdi>${state.reason}</bdi>`], ['Changed by', state.changed_by && html`<bdi>${state.changed_by}</bdi>`], ['Changed', state.changed_at && html`<${Time} at=${state.changed_at} />`]]} />
		${state.enabled && html`<${Field} field=${form.bind('reason')} label="Reason" required hint="For the audit, and for administrators while calls are off." attributes=${{ maxlength: 200 }} />`}
		${missing && html`<p class="wrong" role="alert">Give a reason first.</p>`}
		<div class="buttons start"><button type="button" class=${state.enabled ? 'danger' : 'primary'} onClick=${ask}>${state.enabled ? 'Switch all calls off' : 'Switch calls on'}</button></div>`;
}

/** Audit lists who did what. */
export function Audit() {
	const { query } = usePlace();
	const filter = { subject: query.subject };
	const list = useList('/admin/audit', filter);
	const form = useFields({ subject: query.subject || '' });
	const find = (/** @type {Event} */ event) => {
		event.preventDefault();
		setQuery({ subject: form.values.subject.trim() });
	};
	return html`<form class="section-head" role="search" aria-label="Audit" onSubmit=${find}><p class="muted">Entries are never changed.</p><div class="actions"><label class="filter"><span class="hidden">Subject</span>
			<input type="text" placeholder="req_…, pn_…, call_…, user_…" value=${form.values.subject} onInput=${(/** @type {any} */ event) => form.bind('subject').set(event.target.value)} /></label><button type="submit">Find</button></div></form>
		<${Loaded} state=${list}>${() => html`${list.rows.length ? html`<${Table} label="Audit" columns=${auditColumns} rows=${list.rows} id=${(/** @type {any} */ row) => row.subject + row.at + row.action} />`
			: html`<${Empty} title="No entries" text=${query.subject ? 'There is nothing about this subject.' : 'What administrators do to requests, numbers, keys, policies and calls appears here.'} />`}
			<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />`}<//>
		<${Curl} text=${curl('GET', '/admin/audit' + queryText(filter))} />`;
}

/** @param {string | null} state */
const stateWord = state => state ? readable(state) : '';

/** @type {import('../parts/table.js').Column[]} */
const auditColumns = [
	{ name: 'Time', cell: row => html`<${Time} at=${row.at} />` },
	{ name: 'Who', cell: row => row.actor === 'platform' ? html`<span class="muted">The platform</span>` : html`<bdi class="break">${row.actor}</bdi>` },
	{ name: 'What', cell: row => html`${words(auditAction, row.action)}${(row.from || row.to) && html`<span class="muted note">${[stateWord(row.from), stateWord(row.to)].filter(Boolean).join(' → ')}</span>`}` },
	{ name: 'Subject', hide: 'narrow', cell: row => html`<a href=${'/console/admin/audit?subject=' + encodeURIComponent(row.subject)}><code class="break">${row.subject}</code></a>` },
	{ name: 'Note', hide: 'medium', cell: row => html`<span class="break" dir="auto">${row.note}</span>` },
];
