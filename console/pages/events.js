// @ts-check
// The user's events as they happen, and those of the last 30 days.
import { html, useStore, useState } from '../core/view.js';
import { get, curl } from '../core/api.js';
import { log } from '../core/events.js';
import { usePlace, setQuery } from '../core/router.js';
import { eventType, webhookEvents, words } from '../core/words.js';
import { Time, Code, Curl } from '../parts/basics.js';
import { Empty, Failure } from '../parts/states.js';

/** Events is the log. */
export function Events() {
	const { query } = usePlace();
	const { events, state, problem } = useStore(log);
	const [earlier, setEarlier] = useState({ data: /** @type {any[]} */ ([]), busy: false, done: false, error: /** @type {any} */ (null) });
	const load = async () => {
		setEarlier((/** @type {any} */ old) => ({ ...old, busy: true, error: null }));
		try {
			setEarlier({ data: await history(), busy: false, done: true, error: null });
		} catch (error) {
			setEarlier((/** @type {any} */ old) => ({ ...old, busy: false, error }));
		}
	};
	const shown = unique([...events, ...earlier.data]).filter(event => !query.type || event.type === query.type);
	return html`<div class="section-head"><p class="muted" role="status">${state === 'failing' ? 'Events do not arrive at the moment.' : state === 'live' ? 'New events appear here within a second.' : 'Connecting …'}</p>
			<label class="filter"><span class="hidden">Type</span><select value=${query.type || ''} onChange=${(/** @type {any} */ event) => setQuery({ type: event.target.value })}>
			${[['', 'All types'], ...webhookEvents.map(type => [type, words(eventType, type)])].map(([value, word]) => html`<option key=${value} value=${value} selected=${value === (query.type || '')}>${word}</option>`)}</select></label></div>
		${problem && html`<${Failure} error=${problem} />`}
		${shown.length ? html`<ul class="events">${shown.map(event => html`<li key=${event.event_id}><details><summary><${Time} at=${event.at} /><strong>${words(eventType, event.type)}</strong>
			<bdi class="muted break">${event.call_id || event.data.request_id || event.data.phone_number || event.data.name || event.data.url}</bdi></summary>
			<${Code} text=${JSON.stringify(event, null, 2)} label="Event" />${event.call_id && html`<p><a href=${'/console/calls/' + event.call_id}>See the call</a></p>`}</details></li>`)}</ul>`
			: html`<${Empty} title=${earlier.done ? 'No events in the last 30 days' : 'No events since you opened this page'} text="An event tells that a call was answered or has ended, a number was assigned, a key was made, and the like." />`}
		<${Failure} error=${earlier.error} retry=${load} />
		${!earlier.done && !earlier.error && html`<p class="more"><button type="button" disabled=${earlier.busy} onClick=${load}>${earlier.busy ? 'Loading …' : 'Show the last 30 days'}</button></p>`}
		<${Curl} text=${curl('GET', '/events?after=latest&wait_seconds=20')} />`;
}

const mostPages = 20;

/** history reads the events of the last 30 days, newest first. */
async function history() {
	const all = [];
	let after = '';
	for (let i = 0; i < mostPages; i++) {
		const page = await get('/events', { after, limit: 100 });
		all.push(...page.data);
		if (page.data.length < 100) break;
		after = page.next_after;
	}
	return all.reverse();
}

/** @param {any[]} events */
function unique(events) {
	return [...new Map(events.map(event => [event.event_id, event])).values()].sort((a, b) => a.at < b.at ? 1 : -1);
}
