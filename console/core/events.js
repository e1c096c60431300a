// @ts-check
// One long poll of the user's events for the whole page, and one for the call that is shown.
import { get, sleep, Problem } from './api.js';
import { createStore, useEffect, useRef } from './view.js';

/** @typedef {{event_id: string, type: string, at: string, call_id?: string, data: any}} Event */

const kept = 500;

/**
 * The events that came since the page was opened, newest first, and whether they arrive now.
 * @type {ReturnType<typeof createStore<{events: Event[], state: 'waiting' | 'live' | 'failing', problem: any}>>}
 */
export const log = createStore({ events: [], state: 'waiting', problem: null });

/** @type {Set<(event: Event) => void>} */
const listeners = new Set();
/** @type {AbortController | null} */
let running = null;
let after = 'latest';

/**
 * useEvents calls listener with each new event while the component is shown.
 * @param {(event: Event) => void} listener
 */
export function useEvents(listener) {
	const latest = useRef(listener);
	latest.current = listener;
	useEffect(() => {
		const call = (/** @type {Event} */ event) => latest.current(event);
		listeners.add(call);
		return () => { listeners.delete(call); };
	}, []);
}

/** follow starts the long poll. It pauses while the page is hidden. */
export function follow() {
	if (running) return;
	running = new AbortController();
	poll(running.signal).catch(() => {});
}

/** unfollow ends the long poll, when the user signs out. */
export function unfollow() {
	running?.abort();
	running = null;
	after = 'latest';
	log.set({ events: [], state: 'waiting', problem: null });
}

/** @param {AbortSignal} signal */
async function poll(signal) {
	for (let failures = 0; !signal.aborted;) {
		await visible(signal);
		try {
			const page = await get('/events', { after, wait_seconds: after === 'latest' ? 0 : 20 }, signal);
			failures = 0;
			after = page.next_after;
			const events = [...page.data].reverse();
			log.set({ events: [...events, ...log.get().events].slice(0, kept), state: 'live', problem: null });
			for (const event of page.data) for (const call of [...listeners]) call(event);
		} catch (error) {
			if (signal.aborted) return;
			log.set({ ...log.get(), state: 'failing', problem: error });
			await sleep(backoff(error, failures++), signal);
		}
	}
}

/**
 * backoff is how many milliseconds to wait after a failure.
 * @param {any} error
 * @param {number} failures
 */
export function backoff(error, failures) {
	if (error instanceof Problem && error.retryAfter) return Math.min(error.retryAfter, 60) * 1000;
	return Math.min(2 ** failures, 30) * 1000;
}

/** @param {AbortSignal} signal */
export function visible(signal) {
	if (!document.hidden) return Promise.resolve();
	return new Promise(resolve => {
		const check = () => {
			if (document.hidden) return;
			document.removeEventListener('visibilitychange', check);
			resolve(undefined);
		};
		document.addEventListener('visibilitychange', check);
		signal.addEventListener('abort', check);
	});
}

/**
 * useCallEvents follows one call, its transcript included, until it is stopped.
 * @param {string} callId
 * @param {boolean} active
 * @param {(events: Event[]) => void} listener
 */
export function useCallEvents(callId, active, listener) {
	const latest = useRef(listener);
	latest.current = listener;
	const position = useRef({ callId: '', after: '' });
	useEffect(() => {
		if (!active) return undefined;
		if (position.current.callId !== callId) position.current = { callId, after: '' };
		const abort = new AbortController();
		followCall(callId, position.current, abort.signal, events => latest.current(events)).catch(() => {});
		return () => abort.abort();
	}, [callId, active]);
}

/**
 * @param {string} callId
 * @param {{after: string}} position
 * @param {AbortSignal} signal
 * @param {(events: Event[]) => void} tell
 */
async function followCall(callId, position, signal, tell) {
	for (let failures = 0; !signal.aborted;) {
		await visible(signal);
		try {
			const path = `/outbound-calls/${encodeURIComponent(callId)}/events`;
			const page = await get(path, { after: position.after, include: 'transcript', wait_seconds: position.after ? 20 : 0 }, signal);
			failures = 0;
			position.after = page.next_after;
			if (page.data.length) tell(page.data);
		} catch (error) {
			if (signal.aborted) return;
			await sleep(backoff(error, failures++), signal);
		}
	}
}
