// @ts-check
// One number: its carrier, its agent, and a test call.
import { html, useLoad } from '../core/view.js';
import { get, post, send, curl } from '../core/api.js';
import { configurationStatus, transport, direction, numberType, words } from '../core/words.js';
import { spoken } from '../core/format.js';
import { Title, Status, Phone, Time, Facts, Id, Curl } from '../parts/basics.js';
import { Loaded, Failure } from '../parts/states.js';
import { Dialog, confirm, show, useAction } from '../parts/dialog.js';
import { Field, Select, Country, Checks, useFields, given, lines, whole } from '../parts/form.js';
import { placeCall } from '../parts/placecall.js';
import { announce } from '../parts/toast.js';

/** @param {{numberId: string}} props */
export function NumberPage({ numberId }) {
	const path = '/outbound-calls/phone-numbers/' + encodeURIComponent(numberId);
	const state = useLoad(async signal => {
		const [configuration, numbers] = await Promise.all([get(path + '/configuration', {}, signal), get('/outbound-calls/phone-numbers', { limit: 100 }, signal)]);
		return { configuration, numbers: numbers.data, number: numbers.data.find((/** @type {any} */ row) => row.phone_number_id === numberId) };
	}, [numberId]);
	return html`<p class="back"><a href="/console/numbers">Numbers</a></p>
		<${Loaded} state=${state}>${(/** @type {any} */ data) => html`<${Configured} ...${data} path=${path} reload=${state.reload} />`}<//>
		${!state.data && html`<h1 class="hidden" tabindex="-1">Number</h1>`}`;
}

/** @param {{configuration: any, number: any, numbers: any[], path: string, reload: () => void}} props */
function Configured({ configuration, number, numbers, path, reload }) {
	const test = () => placeCall(numbers, { from: configuration.phone_number_id });
	const info = number && [words(numberType, number.number_type), number.capabilities.map((/** @type {string} */ value) => words(direction, value).toLowerCase()).join(' and ')].join(', ');
	return html`<${Title} text=${html`<${Phone} number=${configuration.phone_number} country=${number?.country} />`} note=${info}>
			<button type="button" disabled=${!configuration.sip_trunk?.directions.includes('outbound')} onClick=${test}>Test call</button><//>
		<div class="headline"><${Status} table=${configurationStatus} value=${configuration.configuration_status} />
			<span class="muted">${explain(configuration)}</span></div>
		<${Trunk} configuration=${configuration} number=${number} path=${path} reload=${reload} />
		<${Rule} configuration=${configuration} path=${path} reload=${reload} />
		<section aria-labelledby="about"><h2 id="about">Details</h2><${Facts} rows=${[
			['Number', html`<${Id} value=${configuration.phone_number_id} />`],
			['Yours since', number && html`<${Time} at=${number.assigned_at} />`],
			['Configured', configuration.updated_at && html`<${Time} at=${configuration.updated_at} />`],
		]} /></section>
		<${Curl} text=${curl('GET', path + '/configuration')} />`;
}

/** @param {any} configuration */
function explain({ configuration_status: status, sip_trunk: trunk, dispatch_rule: rule }) {
	if (status === 'error') return 'The last change stopped half way. Save the carrier or the agent again to repair it.';
	if (!trunk && !rule) return 'Connect a carrier to place calls, and an agent to take them.';
	if (!trunk) return 'The agent waits for a carrier.';
	if (!rule && trunk.directions.includes('inbound')) return 'Calls to this number need an agent to take them.';
	return '';
}

/** @param {{configuration: any, number: any, path: string, reload: () => void}} props */
function Trunk({ configuration, number, path, reload }) {
	const trunk = configuration.sip_trunk;
	const edit = () => show(close => html`<${TrunkForm} trunk=${trunk} capabilities=${number?.capabilities || ['inbound', 'outbound']} path=${path} close=${close} done=${reload} />`);
	const remove = () => confirm({
		title: 'Disconnect the carrier?', danger: true, button: 'Disconnect',
		text: html`<p>No new calls can be placed from <strong><${Phone} number=${configuration.phone_number} /></strong> or reach it. Calls in progress go on. The password is forgotten.</p>`,
		act: () => send('DELETE', path + '/configuration', { query: { config_type: 'sip_trunk' } }),
		done: () => finished('Disconnected.', reload),
	});
	return html`<section aria-labelledby="trunk"><div class="section-head"><h2 id="trunk">Carrier (SIP trunk)</h2><div class="actions">
			${trunk && html`<button type="button" class="quiet" onClick=${remove}>Disconnect</button>`}<button type="button" onClick=${edit}>${trunk ? 'Change' : 'Connect a carrier'}</button></div></div>
		${trunk ? html`<${Facts} rows=${[
			['Name', html`<bdi>${trunk.name}</bdi>`], ['Address', trunk.address && html`<code>${trunk.address}</code>`], ['Transport', words(transport, trunk.transport)],
			['Calls', trunk.directions.map((/** @type {string} */ value) => words(direction, value)).join(', ')],
			['User name', trunk.auth_username], ['Password', trunk.has_auth_password ? 'Set' : 'None'],
			['Inbound calls may come from', trunk.allowed_addresses.join(', ')], ['Caller ids', trunk.numbers.join(', ')], ['Most calls go to', trunk.destination_country],
		]} />` : html`<p class="muted">Your carrier connects this number to the telephone network. It gives you an address and a user name with a password.</p>`}</section>`;
}

/** @param {string} text @param {() => void} reload */
function finished(text, reload) {
	announce(text);
	reload();
}

/** @param {{trunk: any, capabilities: string[], path: string, close: () => void, done: () => void}} props */
function TrunkForm({ trunk, capabilities, path, close, done }) {
	const form = useFields({
		name: trunk?.name || '', address: trunk?.address || '', transport: trunk?.transport || 'auto', directions: trunk?.directions || capabilities,
		auth_username: trunk?.auth_username || '', auth_password: '', allowed_addresses: (trunk?.allowed_addresses || []).join('\n'),
		numbers: (trunk?.numbers || []).join('\n'), destination_country: trunk?.destination_country || '',
	});
	const v = form.values;
	const body = { sip_trunk: given({ ...v, allowed_addresses: lines(v.allowed_addresses), numbers: lines(v.numbers) }) };
	const action = useAction(key => post(path + '/configure', body, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		if (!await action.run(body)) return;
		close();
		finished('The carrier is connected.', done);
	};
	const error = action.error;
	const shown = { sip_trunk: { ...body.sip_trunk, ...(v.auth_password && { auth_password: '…' }) } };
	return html`<${Dialog} title=${trunk ? 'Change the carrier' : 'Connect a carrier'} close=${close} wide><form onSubmit=${submit}><${Failure} error=${error} />
		<div class="columns"><${Field} field=${form.bind('name')} path="sip_trunk.name" label="Name" required error=${error} hint="For you to recognize it." attributes=${{ maxlength: 64 }} />
		<${Field} field=${form.bind('address')} path="sip_trunk.address" label="Address" required=${v.directions.includes('outbound')} error=${error} hint="Carriers call it termination URI, SIP domain or proxy: example.pstn.twilio.com" /></div>
		<div class="columns"><${Field} field=${form.bind('auth_username')} path="sip_trunk.auth_username" label="User name" error=${error} hint="Of the credentials, not of your account at the carrier." />
		<${Field} field=${form.bind('auth_password')} path="sip_trunk.auth_password" label="Password" type="password" error=${error} hint=${trunk?.has_auth_password ? 'Left out, the present one stays as long as the address does.' : 'It is stored sealed and never shown.'} attributes=${{ autocomplete: 'new-password' }} /></div>
		<div class="columns"><${Checks} field=${form.bind('directions')} label="Calls" options=${capabilities.map(value => [value, words(direction, value)])} error=${error} />
		<${Select} field=${form.bind('transport')} path="sip_trunk.transport" label="Transport" options=${Object.entries(transport)} error=${error} hint="Automatic fits most carriers." /></div>
		<details class="moreinputs"><summary>More options</summary>
		<${Field} field=${form.bind('allowed_addresses')} path="sip_trunk.allowed_addresses" label="Inbound calls may come from" lines=${2} error=${error} hint="The carrier’s addresses or networks, one a line. Without them inbound calls need the user name and password." />
		<${Field} field=${form.bind('numbers')} path="sip_trunk.numbers" label="Caller ids" lines=${2} error=${error} hint="Numbers of yours that the carrier may show. Only this one if left out." />
		<${Country} field=${form.bind('destination_country')} path="sip_trunk.destination_country" label="Most calls go to" error=${error} none="Not said" hint="Calls are then placed from nearby." /></details>
		<${Curl} text=${curl('POST', path + '/configure', shown)} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy}>${action.busy ? 'Connecting …' : 'Save'}</button></div></form><//>`;
}

/** @param {{configuration: any, path: string, reload: () => void}} props */
function Rule({ configuration, path, reload }) {
	const rule = configuration.dispatch_rule;
	const edit = () => show(close => html`<${RuleForm} rule=${rule} path=${path} close=${close} done=${reload} />`);
	const remove = () => confirm({
		title: 'Remove the agent?', danger: true, button: 'Remove',
		text: html`<p>Nobody takes new calls to <strong><${Phone} number=${configuration.phone_number} /></strong> any more. Calls in progress go on.</p>`,
		act: () => send('DELETE', path + '/configuration', { query: { config_type: 'dispatch_rule' } }),
		done: () => finished('The agent is removed.', reload),
	});
	return html`<section aria-labelledby="rule"><div class="section-head"><h2 id="rule">Agent (dispatch rule)</h2><div class="actions">
			${rule && html`<button type="button" class="quiet" onClick=${remove}>Remove</button>`}<button type="button" onClick=${edit}>${rule ? 'Change' : 'Choose an agent'}</button></div></div>
		${rule ? html`<${Facts} rows=${[
			['Agent', html`<bdi>${rule.agent_name}</bdi>`], ['Name of the rule', html`<bdi>${rule.rule_name}</bdi>`], ['Longest inbound call', spoken(rule.max_duration_seconds)],
			['Inbound calls at a time', rule.max_concurrent_inbound ?? 'As many as your account may have'], ['Rooms begin with', html`<code>${rule.room_prefix}</code>`],
		]} />` : html`<p class="muted">The LiveKit agent that takes calls to this number, and talks in calls from it unless the call names another.</p>`}</section>`;
}

/** @param {{rule: any, path: string, close: () => void, done: () => void}} props */
function RuleForm({ rule, path, close, done }) {
	const form = useFields({
		agent_name: rule?.agent_name || '', rule_name: rule?.rule_name || '', minutes: rule ? String(rule.max_duration_seconds / 60) : '',
		max_concurrent_inbound: rule?.max_concurrent_inbound ?? '', room_prefix: rule?.room_prefix || '',
	});
	const { minutes, ...rest } = form.values;
	const body = { dispatch_rule: given({ ...rest, max_duration_seconds: minutes === '' ? undefined : Math.round(Number(minutes) * 60), max_concurrent_inbound: whole(rest.max_concurrent_inbound) }) };
	const action = useAction(key => post(path + '/configure', body, key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		if (!await action.run(body)) return;
		close();
		finished('The agent takes calls now.', done);
	};
	const error = action.error;
	return html`<${Dialog} title=${rule ? 'Change the agent' : 'Choose an agent'} close=${close} wide><form onSubmit=${submit}><${Failure} error=${error} />
		<div class="columns"><${Field} field=${form.bind('agent_name')} path="dispatch_rule.agent_name" label="Agent" required error=${error} hint="The name under which the agent registers with LiveKit." />
		<${Field} field=${form.bind('rule_name')} path="dispatch_rule.rule_name" label="Name of the rule" required error=${error} hint="For you to recognize it." attributes=${{ maxlength: 64 }} /></div>
		<div class="columns"><${Field} field=${form.bind('minutes')} path="dispatch_rule.max_duration_seconds" label="Longest inbound call, in minutes" type="number" error=${error} attributes=${{ min: 0.2, max: 240, step: 'any', placeholder: '240' }} />
		<${Field} field=${form.bind('max_concurrent_inbound')} path="dispatch_rule.max_concurrent_inbound" label="Inbound calls at a time" type="number" error=${error} attributes=${{ min: 1, max: 1000 }} /></div>
		<details class="moreinputs"><summary>More options</summary><${Field} field=${form.bind('room_prefix')} path="dispatch_rule.room_prefix" label="Rooms begin with" error=${error} hint="inbound- if left out." /></details>
		<${Curl} text=${curl('POST', path + '/configure', body)} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button><button type="submit" class="primary" disabled=${action.busy}>${action.busy ? 'Saving …' : 'Save'}</button></div></form><//>`;
}
