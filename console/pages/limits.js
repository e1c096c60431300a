// @ts-check
// The limits that the API reported with its last answers.
import { html, useStore } from '../core/view.js';
import { limits } from '../core/api.js';
import { count, clock, spoken } from '../core/format.js';
import { limit, words } from '../core/words.js';

const explained = [
	['API keys', '50 at a time, and 20 made in an hour'], ['Webhook endpoints', '10'], ['Replays and tests of webhooks', '100 in an hour'],
	['Transfers', '5 of one call'], ['Pages that follow events', '5 at a time'],
];

/** Limits is the page. */
export function Limits() {
	const known = Object.entries(useStore(limits)).filter(([, value]) => value.quota);
	return html`<p class="muted">The answers of the API report these limits. A limit appears once you have made a request that counts against it: place a call to see the limits of calls.</p>
		<ul class="limits">${known.map(([name, { quota, left, window, resets }]) => html`<li key=${name}><div class="section-head"><strong>${words(limit, name)}</strong>
			<span class="number">${count(quota - left)} <span class="muted">of ${count(quota)}${window > 0 && ` in ${window === 3600 ? 'this hour' : window === 86400 ? 'this day' : spoken(window)}`}</span></span></div>
			<meter min="0" max=${quota} value=${quota - left} high=${quota * 0.9} aria-label=${words(limit, name) + ' used'}></meter>
			${window > 0 && html`<p class="muted small">Starts again at ${clock(new Date(resets).toISOString())}</p>`}</li>`)}</ul>
		<section aria-labelledby="fixed"><h2 id="fixed">Fixed limits</h2><dl class="facts">${explained.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}
