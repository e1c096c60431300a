// @ts-check
// The timeline of a call: a bar whose parts are as long as they lasted, and the steps in words.
import { html, useState, useEffect } from '../core/view.js';
import { now as serverNow } from '../core/api.js';
import { Time, Phone } from './basics.js';
import { duration } from '../core/format.js';
import { words, timelineEvent, detail, sip, ended, transferStatus } from '../core/words.js';

/** @type {Record<string, string>} */
const phaseAfter = { created: 'Setup', dialing: 'Dialing', ringing: 'Ringing', answered: 'Talking' };

/** Timeline draws what has happened to a call. @param {{call: any}} props */
export function Timeline({ call }) {
	const running = !ended(call.status);
	const [now, setNow] = useState(serverNow());
	useEffect(() => {
		if (!running) return undefined;
		const timer = setInterval(() => setNow(serverNow()), 1000);
		return () => clearInterval(timer);
	}, [running]);
	const steps = [{ event: 'created', at: call.created_at }, ...call.timeline];
	return html`<div class="timeline"><${Bar} phases=${phases(steps, running ? now : Date.parse(call.ended_at || call.created_at))} />
		<ol>${steps.map((step, i) => html`<li key=${i} class=${'step ' + step.event}>
			<${Time} at=${step.at} style="clock" /><span><strong>${words(timelineEvent, step.event)}</strong>${' '}<${Explain} step=${step} call=${call} /></span></li>`)}
		${running && html`<li class="step now"><span class="muted">now</span><span class="muted">${waiting(call.status)}</span></li>`}</ol></div>`;
}

/** @param {string} status */
function waiting(status) {
	return status === 'in_progress' ? 'The phone and the agent are talking' : status === 'ringing' ? 'Waiting for an answer'
		: status === 'dialing' ? 'Waiting for the carrier' : 'Waiting for the agent';
}

/**
 * phases are the spans between steps that change what the call does.
 * @param {{event: string, at: string}[]} steps
 * @param {number} end
 */
function phases(steps, end) {
	const starts = steps.filter(step => phaseAfter[step.event]);
	return starts.map((step, i) => {
		const next = starts[i + 1];
		const length = Math.max(0, (next ? Date.parse(next.at) : end) - Date.parse(step.at)) / 1000;
		return { kind: step.event, word: phaseAfter[step.event], length };
	}).filter(phase => phase.length >= 0.05);
}

/** @param {{phases: {kind: string, word: string, length: number}[]}} props */
function Bar({ phases }) {
	const total = phases.reduce((sum, phase) => sum + phase.length, 0) || 1;
	return html`<div class="bar" role="img" aria-label=${phases.map(phase => `${phase.word} ${duration(phase.length)}`).join(', ') || 'Nothing yet'}>
		${phases.map((phase, i) => html`<div key=${i} class=${'phase ' + phase.kind} style=${{ flexGrow: Math.max(phase.length / total, 0.08) }}>
			<span class="track"></span><span class="name">${phase.word}</span><span class="length number">${duration(phase.length)}</span></div>`)}</div>`;
}

/** @param {{step: any, call: any}} props */
function Explain({ step, call }) {
	if (step.event === 'created') return html`<span class="muted">${call.direction === 'inbound' ? 'the call came in' : 'the request was accepted'}</span>`;
	if (step.event === 'transfer') {
		return html`<span>${call.transfer && html`to <${Phone} number=${call.transfer.phone_number} /> · `}${words(transferStatus, step.detail)}
			${call.transfer?.sip_status_code && html` <span class="muted">${sip(call.transfer.sip_status_code)}</span>`}</span>`;
	}
	if (step.event !== 'ended') return null;
	return html`<span>${words(detail, step.detail || call.hangup_cause)}${call.sip_status_code && html` <span class="muted">${sip(call.sip_status_code)}</span>`}</span>`;
}
