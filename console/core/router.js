// @ts-check
// Paths below /console/ are the pages. The query holds what a page is filtered by.
import { createStore, useStore } from './view.js';

export const base = '/console/';

const here = () => ({ path: location.pathname.slice(base.length).replace(/\/+$/, ''), query: Object.fromEntries(new URLSearchParams(location.search)) });

export const place = createStore(here());

/** usePlace is the path below /console/ and the query. */
export const usePlace = () => useStore(place);

/** refresh reads the address again, after something else has changed it. */
export const refresh = () => place.set(here());

/** Whether the reader has come to this page by a link of the console. */
export let moved = false;

/**
 * navigate goes to a page. replace changes the address without a new entry in the history.
 * @param {string} path
 * @param {boolean} [replace]
 */
export function navigate(path, replace) {
	const before = location.pathname;
	history[replace ? 'replaceState' : 'pushState'](null, '', path);
	refresh();
	if (location.pathname !== before) {
		moved = true;
		scrollTo(0, 0);
		requestAnimationFrame(() => /** @type {HTMLElement | null} */ (document.querySelector('h1'))?.focus());
	}
}

/**
 * setQuery changes parts of the query and keeps the rest. An empty value removes a part.
 * @param {Record<string, string>} change
 */
export function setQuery(change) {
	const query = new URLSearchParams(location.search);
	for (const [name, value] of Object.entries(change)) {
		if (value) query.set(name, value);
		else query.delete(name);
	}
	const text = query.toString();
	navigate(location.pathname + (text ? '?' + text : ''), true);
}

/** listen follows the browser's buttons, and links to pages of the console. */
export function listen() {
	addEventListener('popstate', refresh);
	document.addEventListener('click', event => {
		const link = /** @type {HTMLElement} */ (event.target).closest?.('a[href]');
		if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button !== 0) return;
		if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target || link.hasAttribute('download')) return;
		if (link.origin !== location.origin || !link.pathname.startsWith(base) || link.hash) return;
		event.preventDefault();
		navigate(link.pathname + link.search);
	});
}
