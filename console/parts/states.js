// @ts-check
// The states of a page: it loads, it has nothing to show, or it failed.
import { html } from '../core/view.js';
import { Problem } from '../core/api.js';
import { signIn } from '../core/auth.js';
import { problem as problems, words } from '../core/words.js';
import { Curl } from './basics.js';

/** Loading keeps the place of rows that are on their way. @param {{rows?: number, what?: string}} props */
export function Loading({ rows = 6, what = 'Loading' }) {
	return html`<div class="skeleton" role="status" aria-label=${what}>${Array.from({ length: rows }, (_, i) => html`<span key=${i}></span>`)}</div>`;
}

/**
 * Empty says that there is nothing, and what to do next.
 * @param {{title: string, text: any, curl?: string, children?: any}} props
 */
export function Empty({ title, text, curl, children }) {
	return html`<div class="empty"><h2>${title}</h2><p>${text}</p>${children && html`<div class="actions">${children}</div>`}
		${curl && html`<${Curl} text=${curl} />`}</div>`;
}

/**
 * Failure says what went wrong, with the code and the id to name when asking for help.
 * @param {{error: any, retry?: () => void}} props
 */
export function Failure({ error, retry }) {
	if (!error) return null;
	const known = error instanceof Problem;
	const detail = known ? error.message : 'The console made a mistake: ' + (error?.message || error);
	const headline = known ? words(problems, error.code) : 'This could not be shown';
	const lost = known && error.status === 401;
	return html`<div class="failure" role="alert"><p><strong>${headline}.</strong> ${sentence(detail)}</p>
		${known && html`<p class="small muted">Code <code>${error.code}</code>${error.requestId && html` · Request <code>${error.requestId}</code>`}</p>`}
		${lost ? html`<button type="button" onClick=${() => signIn(false)}>Sign in again</button>`
			: retry && html`<button type="button" onClick=${retry}>Try again</button>`}</div>`;
}

/** sentence begins with a capital and ends with a period. @param {string} text */
export function sentence(text) {
	const trimmed = text.trim();
	const first = /^[A-Z_]+$|^[a-z]+_/.test(trimmed.split(' ')[0]) ? trimmed : trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
	return /[.!?]$/.test(first) ? first : first + '.';
}

/**
 * Loaded shows the state of useLoad, and children once there is data.
 * @param {{state: {data: any, error: any, loading: boolean, reload: () => void}, rows?: number, children: (data: any) => any}} props
 */
export function Loaded({ state, rows, children }) {
	if (state.data === undefined && state.error === undefined) return html`<${Loading} rows=${rows} />`;
	return html`<div class="loaded">${state.error && html`<${Failure} error=${state.error} retry=${state.reload} />`}
		${state.data !== undefined && children(state.data)}</div>`;
}
