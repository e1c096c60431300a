// @ts-check
// API keys: made, shown once, rotated and revoked.
import { html, useRef } from '../core/view.js';
import { post, send, curl, now } from '../core/api.js';
import { scope, words } from '../core/words.js';
import { Time, Curl, Code, Copy } from '../parts/basics.js';
import { Loaded, Empty, Failure } from '../parts/states.js';
import { Table, More } from '../parts/table.js';
import { useList } from '../parts/list.js';
import { Dialog, confirm, show, useAction } from '../parts/dialog.js';
import { Field, Select, Checks, useFields } from '../parts/form.js';
import { announce } from '../parts/toast.js';

const path = '/api-keys';

/** Keys is the list. */
export function Keys() {
	const list = useList(path);
	const create = () => show(close => html`<${CreateKey} close=${close} done=${list.reload} />`);
	return html`<div class="section-head"><p class="muted">A program signs its requests with a key. Give each program its own, with the scopes that it needs.</p>
			<button type="button" class="primary" onClick=${create}>Create a key</button></div>
		<${Loaded} state=${list}>${() => list.rows.length ? html`<${Table} label="API keys" columns=${columnsOf(list)} rows=${list.rows} id=${(/** @type {any} */ key) => key.key_id} />
			<${More} next=${list.next} busy=${list.loading} load=${list.more} shown=${list.rows.length} />`
			: html`<${Empty} title="No keys yet" text="Create a key, then place a call from your terminal." curl=${curl('POST', '/outbound-calls/create', { phone_number: '+14155550100' })} />`}<//>
		<${Curl} text=${curl('GET', path)} />`;
}

/** stateOf is the state of a key, in the form of a table of words. @param {any} key */
function stateOf(key) {
	const past = (/** @type {string | null} */ at) => at && Date.parse(at) <= now();
	if (past(key.revoked_at)) return { word: 'Revoked', tone: 'bad' };
	if (past(key.expires_at)) return { word: 'Expired', tone: 'idle' };
	return key.revoked_at ? { word: 'Being replaced', tone: 'wait' } : { word: 'Live', tone: 'good' };
}

/** @param {{reload: () => void}} list @returns {import('../parts/table.js').Column[]} */
function columnsOf(list) {
	return [
		{ name: 'Name', cell: key => html`<bdi>${key.name}</bdi> <code class="muted">…${key.last_four}</code>` },
		{ name: 'State', cell: key => { const { word, tone } = stateOf(key); return html`<span class=${'status ' + tone}><span class="dot" aria-hidden="true"></span>${word}</span>`; } },
		{ name: 'Scopes', hide: 'medium', cell: key => html`<span class="scopes">${key.scopes.join(' ')}</span>` },
		{ name: 'Last used', hide: 'narrow', cell: key => key.last_used_at ? html`<${Time} at=${key.last_used_at} />` : html`<span class="muted">Never</span>` },
		{ name: 'Ends', hide: 'narrow', cell: key => key.revoked_at || key.expires_at ? html`<${Time} at=${key.revoked_at || key.expires_at} />` : html`<span class="muted">Never</span>` },
		{ name: '', label: 'Actions', kind: 'actions', cell: key => stateOf(key).tone === 'good' && html`
			<button type="button" class="quiet small" aria-label=${'Rotate ' + key.name} onClick=${() => show(close => html`<${RotateKey} apiKey=${key} close=${close} done=${list.reload} />`)}>Rotate</button>
			<button type="button" class="quiet small" aria-label=${'Revoke ' + key.name} onClick=${() => revoke(key, list.reload)}>Revoke</button>` },
	];
}

/** @param {any} key @param {() => void} done */
function revoke(key, done) {
	confirm({
		title: 'Revoke this key?', danger: true, button: 'Revoke',
		text: html`<p>Programs that use <strong><bdi>${key.name}</bdi></strong> (…${key.last_four}) are refused from now on. A revoked key cannot be brought back.</p>`,
		act: () => send('DELETE', path + '/' + key.key_id),
		done: () => {
			announce('Revoked.');
			done();
		},
	});
}

/** @param {{close: () => void, done: () => void}} props */
function CreateKey({ close, done }) {
	const form = useFields({ name: '', days: '90', scopes: ['calls:read', 'calls:write', 'numbers:read'] });
	const v = form.values;
	const opened = useRef(now()).current; // a repetition asks for the same end
	const action = useAction(key => post(path, { name: v.name, scopes: v.scopes, ...(v.days && { expires_at: new Date(opened + Number(v.days) * 86400000).toISOString() }) }, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		const made = await action.run(v);
		if (!made) return;
		close();
		done();
		showSecret('Your new key', made.api_key, `Key ${made.name}`);
	};
	return html`<${Dialog} title="Create a key" close=${close} wide><form onSubmit=${submit}><${Failure} error=${action.error} />
		<div class="columns"><${Field} field=${form.bind('name')} label="Name" required error=${action.error} hint="The program that will use it." attributes=${{ maxlength: 64, autofocus: true }} />
		<${Select} field=${form.bind('days')} label="Ends" error=${action.error} path="expires_at" options=${[['30', 'In 30 days'], ['90', 'In 90 days'], ['365', 'In a year'], ['', 'Never']]} /></div>
		<${Checks} field=${form.bind('scopes')} label="Scopes" error=${action.error} options=${Object.keys(scope).map(value => [value, value, words(scope, value)])} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy || !v.scopes.length}>Create</button></div></form><//>`;
}

/** @param {{apiKey: any, close: () => void, done: () => void}} props */
function RotateKey({ apiKey, close, done }) {
	const form = useFields({ grace: '3600' });
	const action = useAction(key => post(`${path}/${apiKey.key_id}/rotate`, { grace_seconds: Number(form.values.grace) }, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		const made = await action.run(form.values);
		if (!made) return;
		close();
		done();
		showSecret('The new key', made.api_key, `Key ${made.name}`);
	};
	return html`<${Dialog} title="Rotate this key" close=${close}><form onSubmit=${submit}><div class="prose"><p>A new key takes the place of <strong><bdi>${apiKey.name}</bdi></strong> (…${apiKey.last_four}), with the same scopes and the same end.</p></div>
		<${Select} field=${form.bind('grace')} label="The old key works for" error=${action.error} path="grace_seconds" options=${graces} /><${Failure} error=${action.error} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy}>Rotate</button></div></form><//>`;
}

/** How long an old secret may work beside the new one. @type {[string, string][]} */
export const graces = [['0', 'No longer'], ['3600', 'One more hour'], ['86400', 'One more day']];

/**
 * showSecret shows a secret this once.
 * @param {string} title
 * @param {string} secret
 * @param {string} what
 */
export function showSecret(title, secret, what) {
	show(close => html`<${Dialog} title=${title} close=${close} keep wide><div class="prose"><p>Copy it now: it is <strong>shown this once</strong> and stored nowhere.</p></div>
		<${Code} text=${secret} label=${what} /><div class="buttons"><${Copy} text=${secret} what=${what.toLowerCase()} label="Copy to the clipboard" /><button type="button" class="primary" onClick=${close}>I have stored it</button></div><//>`);
}
