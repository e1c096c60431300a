// @ts-check
// Placing a call: what to say and to whom, then a confirmation of cost and consent.
import { html, useState } from '../core/view.js';
import { curl, post } from '../core/api.js';
import { navigate } from '../core/router.js';
import { phone, countryName, spoken } from '../core/format.js';
import { Dialog, show, useAction } from './dialog.js';
import { Field, Select, Check, useFields, given, whole } from './form.js';
import { Failure } from './states.js';
import { Curl, Phone } from './basics.js';

/**
 * placeCall opens the dialog. numbers are those of the user.
 * @param {any[]} numbers
 * @param {{from?: string, to?: string}} [preset]
 */
export function placeCall(numbers, preset = {}) {
	show(close => html`<${PlaceCall} numbers=${numbers} preset=${preset} close=${close} />`);
}

/** @param {{numbers: any[], preset: {from?: string, to?: string}, close: () => void}} props */
function PlaceCall({ numbers, preset, close }) {
	const usable = numbers.filter(number => number.has_outbound_trunk);
	const form = useFields({
		phone_number: preset.to || '', phone_number_id: preset.from || usable[0]?.phone_number_id || '', agent_name: '',
		welcome_message: '', system_prompt: '', minutes: '5', ringing_timeout_seconds: '', dtmf: '', language: '', metadata: '',
	});
	const [step, setStep] = useState('write');
	const [consent, setConsent] = useState(false);
	const write = () => {
		setConsent(false); // the number may change
		setStep('write');
	};
	const action = useAction(key => post('/outbound-calls/create', bodyOf(form.values), key));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		if (step === 'write') return setStep('confirm');
		const call = await action.run(form.values);
		if (!call) return write();
		close();
		navigate('/console/calls/' + call.call_id);
	};
	const confirming = step === 'confirm';
	return html`<${Dialog} title=${confirming ? 'Place this call?' : 'Place a call'} close=${close} keep=${action.busy} wide><form onSubmit=${submit}>
		${confirming ? html`<${Confirmation} values=${form.values} numbers=${usable} consent=${{ name: 'consent', value: consent, set: setConsent }} />`
			: html`<${Failure} error=${action.error} /><${Inputs} form=${form} usable=${usable} error=${action.error} />`}
		<div class="buttons"><button type="button" onClick=${confirming ? write : close} disabled=${action.busy}>${confirming ? 'Back' : 'Cancel'}</button>
		<button type="submit" class="primary" disabled=${action.busy || confirming && !consent}>${confirming ? (action.busy ? 'Placing the call …' : 'Call now') : 'Continue'}</button></div>
	</form><//>`;
}

/** @param {{form: any, usable: any[], error: any}} props */
function Inputs({ form, usable, error }) {
	const from = usable.map(number => [number.phone_number_id, phone(number.phone_number).text]);
	return html`<div class="columns"><${Field} field=${form.bind('phone_number')} label="Number to call" required error=${error} type="tel"
			hint="With plus and country, such as +14155550100." attributes=${{ pattern: '\\+[1-9][0-9 \\-]{7,20}', title: 'A number with plus and country', autofocus: true }} />
		<${Select} field=${form.bind('phone_number_id')} label="Call from" options=${from} error=${error} /></div>
		<${Field} field=${form.bind('welcome_message')} label="First sentence" error=${error} hint="What the agent says when the phone is answered." />
		<${Field} field=${form.bind('system_prompt')} label="Instructions for the agent" lines=${3} error=${error} />
		<div class="columns"><${Field} field=${form.bind('minutes')} label="Longest talk, in minutes" type="number" required error=${error} path="max_duration_seconds" attributes=${{ min: 1, max: 240 }} />
		<${Field} field=${form.bind('agent_name')} label="Agent" error=${error} hint="The number’s own if left out." /></div>
		<details class="moreinputs"><summary>More options</summary>
		<div class="columns"><${Field} field=${form.bind('ringing_timeout_seconds')} label="Longest ringing, in seconds" type="number" error=${error} attributes=${{ min: 5, max: 80, placeholder: '30' }} />
		<${Field} field=${form.bind('dtmf')} label="Digits to send on answer" error=${error} hint="0–9, *, #, and w for half a second." attributes=${{ pattern: '[0-9A-D*#w]{1,64}' }} /></div>
		<${Field} field=${form.bind('language')} label="Language" error=${error} path="voice.language" hint="Such as en or fr-CA." />
		<${Field} field=${form.bind('metadata')} label="Metadata" lines=${2} error=${error} hint="One entry a line: order=A-1001" /></details>
		<${Curl} text=${curl('POST', '/outbound-calls/create', bodyOf(form.values))} />`;
}

/** @param {{values: any, numbers: any[], consent: any}} props */
function Confirmation({ values, numbers, consent }) {
	const { country } = phone(bodyOf(values).phone_number);
	const from = numbers.find(number => number.phone_number_id === values.phone_number_id);
	const longest = spoken(Number(values.minutes) * 60);
	return html`<div class="prose"><p>The phone of <strong><${Phone} number=${bodyOf(values).phone_number} /></strong>${country && ` in ${countryName(country)}`} will ring now${from && html`, and show <${Phone} number=${from.phone_number} />`}.</p>
		<p>Your carrier bills the call, and your speech and language services bill what the agent uses: <strong>for ${longest} of talk at most</strong>.
		The call also counts against your calls of this hour, and its talk against your minutes of today.</p></div>
		<${Check} field=${consent} required label="The person has agreed to be called by an AI agent, or the law allows me to call them." />`;
}

/** bodyOf is the request of the form. @param {any} values */
function bodyOf(values) {
	const body = given({
		phone_number: values.phone_number.replace(/[ -]/g, ''), phone_number_id: values.phone_number_id, agent_name: values.agent_name.trim(),
		welcome_message: values.welcome_message.trim(), system_prompt: values.system_prompt.trim(), dtmf: values.dtmf.trim(),
		max_duration_seconds: values.minutes === '' ? undefined : Number(values.minutes) * 60,
		ringing_timeout_seconds: whole(values.ringing_timeout_seconds),
	});
	if (values.language.trim()) body.voice = { language: values.language.trim() };
	const metadata = Object.fromEntries(values.metadata.split('\n').filter((/** @type {string} */ line) => line.includes('='))
		.map((/** @type {string} */ line) => [line.slice(0, line.indexOf('=')).trim(), line.slice(line.indexOf('=') + 1).trim()]));
	if (Object.keys(metadata).length) body.metadata = metadata;
	return body;
}
