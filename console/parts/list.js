// @ts-check
// A list of the API that is read page by page and can be read again.
import { useState, useEffect, useRef, useCallback } from '../core/view.js';
import { get, pages } from '../core/api.js';

const pageSize = 50;

/**
 * useList reads the pages of path. reload reads as many rows again as are shown.
 * @param {string} path
 * @param {Record<string, any>} [query]
 */
export function useList(path, query = {}) {
	const key = path + JSON.stringify(query);
	const [state, setState] = useState({ key: '', data: /** @type {any} */ (undefined), error: /** @type {any} */ (undefined), loading: true });
	const abort = useRef(/** @type {AbortController | null} */ (null));
	const current = state.key === key ? state : { key, data: undefined, error: undefined, loading: true };
	const rows = useRef(/** @type {any[]} */ ([]));
	rows.current = current.data?.data || [];

	const read = useCallback(async (/** @type {any} */ cursor, /** @type {number} */ enough) => {
		abort.current?.abort();
		const mine = abort.current = new AbortController();
		setState((/** @type {any} */ old) => old.key === key ? { ...old, loading: true } : { key, data: undefined, error: undefined, loading: true });
		try {
			const page = await pages(path, { ...query, limit: Math.min(Math.max(enough, pageSize), 100), cursor }, enough, mine.signal);
			if (mine.signal.aborted) return;
			const data = cursor ? [...rows.current, ...page.data] : page.data;
			setState({ key, data: { ...page, data }, error: undefined, loading: false });
		} catch (error) {
			if (!mine.signal.aborted) setState((/** @type {any} */ old) => ({ ...old, key, error, loading: false }));
		}
	}, [key]);

	useEffect(() => {
		read(undefined, pageSize);
		return () => abort.current?.abort();
	}, [key]);
	// refresh reads the first page again and keeps the older rows as they are.
	const refresh = useCallback(async () => {
		try {
			const page = await get(path, { ...query, limit: pageSize }, abort.current?.signal);
			setState((/** @type {any} */ old) => old.key === key && old.data ? { ...old, error: undefined, data: merged(old.data, page) } : old);
		} catch (error) {
			setState((/** @type {any} */ old) => old.key === key && !aborted(error) ? { ...old, error } : old);
		}
	}, [key]);
	return {
		...current, refresh, rows: rows.current, next: current.data?.next_cursor,
		more: () => read(current.data?.next_cursor, pageSize),
		reload: () => read(undefined, Math.max(rows.current.length, pageSize)),
	};
}

/**
 * merged puts a first page that was read again before the older rows, which are ordered by
 * created_at.
 * @param {{data: any[], next_cursor: any}} old
 * @param {{data: any[], next_cursor: any}} page
 */
function merged(old, page) {
	const last = page.data.at(-1)?.created_at;
	if (!page.next_cursor || !last) return page;
	const older = old.data.filter(row => row.created_at < last);
	return older.length ? { ...page, data: [...page.data, ...older], next_cursor: old.next_cursor } : page;
}

/** @param {any} error */
const aborted = error => error?.name === 'AbortError';
