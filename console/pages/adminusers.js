// @ts-check
// Users, what they may do, and their keys.
import { html, useLoad } from '../core/view.js';
import { get, send, curl } from '../core/api.js';
import { navigate } from '../core/router.js';
import { callStatus } from '../core/words.js';
import { Title, Status, Phone, Time, Curl } from '../parts/basics.js';
import { Loaded, Empty, Failure } from '../parts/states.js';
import { Table, More } from '../parts/table.js';
import { useList } from '../parts/list.js';
import { confirm, useAction } from '../parts/dialog.js';
import { Field, Check, useFields, lines } from '../parts/form.js';
import { announce } from '../parts/toast.js';

/** Users is the list. */
export function Users() {
	const list = useList('/admin/users');
	const form = useFields({ user: '' });
	const go = (/** @type {Event} */ event) => {
		event.preventDefault();
		if (form.values.user.trim()) navigate('/console/admin/users?user=' + encodeURIComponent(form.values.user.trim()));
	};
	return html`<form class="section-head" onSubmit=${go}><p class="muted">Users are listed once they have done something.</p>
			<div class="actions"><label class="filter"><span class="hidden">User id</span><input type="text" placeholder="User id" value=${form.values.user} onInput=${(/** @type {any} */ event) => form.bind('user').set(event.target.value)} /></label><button type="submit">Open</button></div></form>
		<${Loaded} state=${list}>${() => list.rows.length ? html`<${Table} label="Users" columns=${columns} rows=${list.rows} id=${(/** @type {any} */ row) => row.user_id} href=${(/** @type {any} */ row) => '/console/admin/users?user=' + encodeURIComponent(row.user_id)} />
			<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />` : html`<${Empty} title="No users yet" text="A user appears with their first call, request or key." />`}<//>
		<${Curl} text=${curl('GET', '/admin/users')} />`;
}

/** @type {import('../parts/table.js').Column[]} */
const columns = [
	{ name: 'User', cell: row => html`<bdi class="break">${row.user_id}</bdi>` },
	{ name: 'Calls', cell: row => html`<span class=${'status ' + (row.calls_enabled ? 'good' : 'bad')}><span class="dot" aria-hidden="true"></span>${row.calls_enabled ? 'Allowed' : 'Stopped'}</span>` },
	{ name: 'Calls now', kind: 'number', cell: row => row.active_calls + row.active_inbound_calls },
	{ name: 'This hour', hide: 'narrow', kind: 'number', cell: row => row.calls_this_hour },
	{ name: 'Numbers', hide: 'narrow', kind: 'number', cell: row => row.phone_numbers },
	{ name: 'Open requests', hide: 'medium', kind: 'number', cell: row => row.open_number_requests },
	{ name: 'Live keys', hide: 'medium', kind: 'number', cell: row => row.live_api_keys },
];

/** @type {[string, string, number][]} */
const quotas = [
	['max_concurrent_calls', 'Outbound calls at a time', 100], ['max_concurrent_inbound', 'Inbound calls at a time', 1000],
	['calls_per_hour', 'Outbound calls and transfers in an hour', 100000], ['calls_per_destination_per_hour', 'To one number in an hour', 100000],
	['minutes_per_day', 'Minutes of talk in a day', 1000000], ['requests_per_hour', 'Requests with API keys in an hour', 100000],
	['configurations_per_hour', 'Configurations in an hour', 100000], ['number_requests_per_hour', 'Number requests in an hour', 100000],
];

/** User is one user. @param {{userId: string}} props */
export function User({ userId }) {
	const policy = useLoad(signal => get('/admin/user-policy', { user_id: userId }, signal), [userId]);
	const keys = useList('/admin/api-keys', { user_id: userId });
	const calls = useList('/admin/calls', { user_id: userId, active: false });
	return html`<p class="back"><a href="/console/admin/users">Users</a></p><${Title} text=${html`<bdi class="break">${userId}</bdi>`} />
		<section aria-labelledby="policy"><h2 id="policy">Policy</h2><${Loaded} state=${policy}>${(/** @type {any} */ data) => html`<${Policy} key=${JSON.stringify(data)} policy=${data} reload=${policy.reload} />`}<//></section>
		<section aria-labelledby="keys"><h2 id="keys">API keys</h2><${Loaded} state=${keys} rows=${2}>${() => keys.rows.length ? html`<${Table} label="API keys" columns=${keyColumns(userId, keys.reload)} rows=${keys.rows} id=${(/** @type {any} */ row) => row.key_id} />
			<${More} next=${keys.next} busy=${keys.loading} load=${keys.more} shown=${keys.rows.length} />` : html`<p class="muted">The user has no keys.</p>`}<//></section>
		<section aria-labelledby="calls"><h2 id="calls">Calls</h2><${Loaded} state=${calls} rows=${3}>${() => calls.rows.length ? html`<${Table} label="Calls" columns=${callColumns} rows=${calls.rows} id=${(/** @type {any} */ row) => row.call_id} />
			<${More} next=${calls.next} busy=${calls.loading} load=${calls.more} shown=${calls.rows.length} />` : html`<p class="muted">The user has placed no calls.</p>`}<//></section>
		<${Curl} text=${curl('GET', '/admin/user-policy?user_id=' + encodeURIComponent(userId))} />`;
}

/** @param {{policy: any, reload: () => void}} props */
function Policy({ policy, reload }) {
	const form = useFields({
		calls_enabled: policy.calls_enabled, allowed_countries: policy.allowed_countries.join(' '), allowed_agents: policy.allowed_agents.join(' '),
		...Object.fromEntries(quotas.map(([name]) => [name, String(policy[name])])),
	});
	const v = /** @type {any} */ (form.values);
	const body = {
		user_id: policy.user_id, calls_enabled: v.calls_enabled, allowed_countries: lines(v.allowed_countries.toUpperCase()), allowed_agents: lines(v.allowed_agents),
		...Object.fromEntries(quotas.map(([name]) => [name, Number(v[name])])),
	};
	const action = useAction(() => send('PUT', '/admin/user-policy', { body }));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		if (!await action.run(body)) return;
		announce('Saved. New calls obey it at once.');
		reload();
	};
	return html`<form onSubmit=${submit} class="policy"><${Check} field=${form.bind('calls_enabled')} label="Outbound calls are allowed" />
		<div class="columns"><${Field} field=${form.bind('allowed_countries')} label="Countries besides the number’s own" error=${action.error} hint="ISO codes with spaces: NG US" />
		<${Field} field=${form.bind('allowed_agents')} label="Agents" error=${action.error} hint="Names with spaces. Any if left out." /></div>
		<div class="quotas">${quotas.map(([name, label, max]) => html`<${Field} key=${name} field=${form.bind(name)} label=${label} type="number" required error=${action.error} attributes=${{ min: 1, max }} />`)}</div>
		<${Failure} error=${action.error} /><div class="buttons start"><button type="submit" class="primary" disabled=${action.busy}>Save the policy</button></div></form>`;
}

/** @param {string} userId @param {() => void} reload @returns {import('../parts/table.js').Column[]} */
function keyColumns(userId, reload) {
	const revoke = (/** @type {any} */ key) => confirm({
		title: 'Revoke this user’s key?', danger: true, button: 'Revoke', act: () => send('DELETE', '/admin/api-keys/' + key.key_id, { query: { user_id: userId } }),
		text: html`<p>Programs of <bdi>${userId}</bdi> that use <strong><bdi>${key.name}</bdi></strong> (…${key.last_four}) are refused from now on. The user is told by the event api_key.revoked.</p>`,
		done: () => {
			announce('Revoked.');
			reload();
		},
	});
	return [
		{ name: 'Name', cell: key => html`<bdi>${key.name}</bdi> <code class="muted">…${key.last_four}</code>` },
		{ name: 'Scopes', hide: 'medium', cell: key => html`<span class="scopes">${key.scopes.join(' ')}</span>` },
		{ name: 'Last used', hide: 'narrow', cell: key => html`<${Time} at=${key.last_used_at} />` },
		{ name: 'Ends', cell: key => key.revoked_at || key.expires_at ? html`<${Time} at=${key.revoked_at || key.expires_at} />` : html`<span class="muted">Never</span>` },
		{ name: '', label: 'Actions', kind: 'actions', cell: key => !key.revoked_at && html`<button type="button" class="quiet small" aria-label=${'Revoke ' + key.name} onClick=${() => revoke(key)}>Revoke</button>` },
	];
}

/** @type {import('../parts/table.js').Column[]} */
const callColumns = [
	{ name: 'Other party', cell: row => html`<${Phone} number=${row.phone_number} />` },
	{ name: 'Status', cell: row => html`<${Status} table=${callStatus} value=${row.status} />` },
	{ name: 'Started', cell: row => html`<${Time} at=${row.created_at} />` },
];
