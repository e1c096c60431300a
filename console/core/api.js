// @ts-check
// Requests to the API: credentials, retries, idempotency keys, problems and limits.
import { createStore } from './view.js';
import { accessToken, credentialRefused } from './auth.js';

/** A problem is an answer of the API that is no success, or the failure to get an answer. */
export class Problem extends Error {
	/**
	 * @param {number} status
	 * @param {{code?: string, detail?: string, request_id?: string, errors?: {field: string, code: string, detail: string}[]}} body
	 * @param {number} [retryAfter]
	 */
	constructor(status, body, retryAfter) {
		super(body.detail || 'The request failed.');
		this.status = status;
		this.code = body.code || (status ? 'HTTP_' + status : 'UNREACHABLE');
		this.requestId = body.request_id || '';
		this.errors = body.errors || [];
		this.retryAfter = retryAfter;
	}
}

/**
 * The limits that the last answers reported, by name.
 * @type {ReturnType<typeof createStore<Record<string, {quota: number, window: number, left: number, resets: number}>>>}
 */
export const limits = createStore({});

let skew = 0; // milliseconds by which this machine's clock is ahead

/** now is the time by the API's clock, if this machine's is more than a minute away from it. */
export const now = () => Date.now() - skew;

const maxRetries = 3;
const longestWait = 10; // seconds that a request waits for a retry before it fails

/** newKey makes the Idempotency-Key of one action of the user. */
export function newKey() {
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	return 'console-' + Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * get reads path. It is repeated when the API is busy.
 * @param {string} path
 * @param {Record<string, any>} [query]
 * @param {AbortSignal} [signal]
 */
export function get(path, query, signal) {
	return request('GET', path, { query, signal });
}

/**
 * post sends body with the key of the user's action, so that a repetition does nothing twice.
 * @param {string} path
 * @param {any} body
 * @param {string} key
 * @param {string} [contentType]
 */
export function post(path, body, key, contentType) {
	return request('POST', path, { body, key, contentType });
}

/**
 * send carries out a PUT, PATCH or DELETE, whose repetition has the same effect.
 * @param {'PUT' | 'PATCH' | 'DELETE'} method
 * @param {string} path
 * @param {{query?: Record<string, any>, body?: any}} [options]
 */
export function send(method, path, options = {}) {
	return request(method, path, options);
}

/**
 * pages reads the pages of a list one after the other, until enough rows came or the list ends.
 * @param {string} path
 * @param {Record<string, any>} query
 * @param {number} enough
 * @param {AbortSignal} [signal]
 */
export async function pages(path, query, enough, signal) {
	/** @type {any[]} */
	const data = [];
	let cursor = query.cursor;
	let page;
	do {
		page = await get(path, { ...query, cursor }, signal);
		data.push(...page.data);
		cursor = page.next_cursor;
	} while (cursor && data.length < enough);
	return { ...page, data, next_cursor: cursor };
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{query?: Record<string, any>, body?: any, key?: string, contentType?: string, signal?: AbortSignal}} options
 */
async function request(method, path, options) {
	for (let attempt = 0; ; attempt++) {
		try {
			return await once(method, path, options);
		} catch (error) {
			if (!(error instanceof Problem) || attempt >= maxRetries || !repeatable(error, method, options.key)) throw error;
			const wait = error.retryAfter ?? 2 ** attempt;
			if (wait > longestWait) throw error;
			await sleep(wait * 1000, options.signal);
		}
	}
}

/**
 * repeatable reports whether a repetition may succeed and cannot do anything twice.
 * @param {Problem} error
 * @param {string} method
 * @param {string} [key]
 */
function repeatable(error, method, key) {
	if (error.code === 'IDEMPOTENCY_IN_PROGRESS') return true;
	if (method === 'POST' && !key) return false;
	if (error.status === 503) return true;
	return error.status === 429 && error.retryAfter !== undefined || error.status === 0 && method !== 'GET';
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{query?: Record<string, any>, body?: any, key?: string, contentType?: string, signal?: AbortSignal}} options
 */
async function once(method, path, { query, body, key, contentType, signal }) {
	/** @type {Record<string, string>} */
	const headers = { Authorization: 'Bearer ' + accessToken(), Accept: 'application/json' };
	if (body !== undefined) headers['Content-Type'] = contentType || 'application/json';
	if (key) headers['Idempotency-Key'] = key;
	const text = body === undefined || contentType ? body : JSON.stringify(body);
	let response;
	try {
		response = await fetch(path + queryText(query), { method, headers, body: text, signal, credentials: 'omit', cache: 'no-store' });
	} catch (error) {
		if (signal?.aborted) throw error;
		throw new Problem(0, { detail: 'Check that it is running and that you are online.' });
	}
	noteLimits(response.headers);
	const ahead = Date.now() - Date.parse(response.headers.get('Date') || '');
	skew = Math.abs(ahead) > 60000 ? ahead : 0;
	if (response.ok) return response.status === 204 ? null : readJSON(response);
	if (response.status === 401) credentialRefused(method === 'GET');
	throw await problemOf(response);
}

/** @param {Response} response */
async function readJSON(response) {
	const text = await response.text();
	try {
		return text ? JSON.parse(text) : null;
	} catch {
		throw new Problem(0, { detail: 'Something on the way has answered in its place, such as the sign-in page of a network.' });
	}
}

/** @param {Response} response */
async function problemOf(response) {
	const after = response.headers.get('Retry-After');
	/** @type {any} */
	let body = {};
	try {
		body = JSON.parse(await response.text()) || {};
	} catch {
		// API Gateway and proxies answer some failures without a problem document.
	}
	if (!body.detail) body.detail = body.message || 'The API answered ' + response.status + ' ' + response.statusText + '.';
	if (!body.request_id) body.request_id = response.headers.get('X-Request-Id') || '';
	return new Problem(response.status, body, after === null ? undefined : Number(after));
}

/**
 * queryText leaves out values that are empty. A value that is an object becomes name[key]=value.
 * @param {Record<string, any>} [query]
 */
export function queryText(query) {
	const parts = [];
	for (const [name, value] of Object.entries(query || {})) {
		if (value === undefined || value === null || value === '') continue;
		if (typeof value === 'object' && !Array.isArray(value)) {
			for (const [key, text] of Object.entries(value)) parts.push(encodeURIComponent(`${name}[${key}]`) + '=' + encodeURIComponent(String(text)));
		} else {
			parts.push(encodeURIComponent(name) + '=' + encodeURIComponent(String(value)));
		}
	}
	return parts.length ? '?' + parts.join('&') : '';
}

/**
 * noteLimits reads RateLimit-Policy, such as "requests";q=1000;w=3600, and RateLimit, such as
 * "requests";r=993;t=1800.
 * @param {Headers} headers
 */
function noteLimits(headers) {
	const policy = parameters(headers.get('RateLimit-Policy'));
	const left = parameters(headers.get('RateLimit'));
	const names = Object.keys(policy);
	if (!names.length) return;
	const next = { ...limits.get() };
	for (const name of names) {
		next[name] = {
			quota: policy[name].q, window: policy[name].w || 0,
			left: left[name]?.r ?? policy[name].q, resets: Date.now() + (left[name]?.t || 0) * 1000,
		};
	}
	limits.set(next);
}

/** @param {string | null} header */
function parameters(header) {
	/** @type {Record<string, Record<string, number>>} */
	const found = {};
	for (const item of (header || '').split(',')) {
		const [name, ...rest] = item.trim().split(';');
		if (!name) continue;
		found[name.replaceAll('"', '')] = Object.fromEntries(rest.map(pair => pair.split('=')).map(([key, value]) => [key, Number(value)]));
	}
	return found;
}

/**
 * sleep waits, or ends early when signal aborts.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 */
export function sleep(ms, signal) {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(resolve, ms);
		signal?.addEventListener('abort', () => {
			clearTimeout(timer);
			reject(new DOMException('aborted', 'AbortError'));
		});
	});
}

/**
 * curl is the same request as a command line. No API key reaches the routes of administrators.
 * @param {string} method
 * @param {string} path
 * @param {any} [body]
 */
export function curl(method, path, body) {
	const lines = [`curl -s${method === 'GET' || (method === 'POST' && body !== undefined) ? '' : ' -X ' + method} "$KROS_URL${path}"`,
		`  -H "Authorization: Bearer $${path.startsWith('/admin/') ? 'KROS_ADMIN_JWT' : 'KROS_API_KEY'}"`];
	if (body !== undefined) {
		lines.push("  -H 'Content-Type: application/json'", `  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
	}
	return lines.join(' \\\n');
}
