// @ts-check
// Signing in with OpenID Connect: authorization code with PKCE. Tokens stay in memory.
import { createStore } from './view.js';

/**
 * @typedef {{issuer: string, client_id: string, scope?: string, roles_claim?: string, authorization_endpoint?: string,
 *   token_endpoint?: string, end_session_endpoint?: string, version?: string, account?: string}} Config
 */

/** @type {ReturnType<typeof createStore<{state: 'starting' | 'signed-out' | 'signed-in', name: string, userId: string, roles: string[], message: string}>>} */
export const session = createStore({ state: 'starting', name: '', userId: '', roles: [], message: '' });

const marker = 'kros.signed_in'; // the tab was signed in, so a reload signs in silently
const renewedAt = 'kros.renewed_at'; // keeps a silent sign-in from looping
const wanted = 'kros.return_to';
const base = '/console/';

/** @type {Config} */
let config = { issuer: '', client_id: '' };
/** @type {any} */
let manager = null;
/** @type {any} */
let user = null;

/** accessToken is the bearer token of the API. */
export function accessToken() {
	return user ? user.access_token : '';
}

/** settings are those that the deployment gave the console. */
export function settings() {
	return config;
}

/** isAdmin reports whether the token has the role admin. The API checks it again. */
export function isAdmin() {
	return session.get().roles.includes('admin');
}

/** start reads the configuration and finds out whether somebody is signed in. */
export async function start() {
	config = await readConfig();
	manager = newManager(config);
	if (location.pathname === base + 'callback') return finishSignIn();
	if (sessionStorage.getItem(marker)) return signIn(true);
	return signedOut('');
}

async function readConfig() {
	const response = await fetch(base + 'config.json', { cache: 'no-cache' });
	if (!response.ok) throw new Error('The console has no configuration: ' + base + 'config.json answered ' + response.status + '.');
	return response.json();
}

/** @param {Config} c */
function newManager(c) {
	const oidc = /** @type {any} */ (window).oidc;
	const metadata = c.authorization_endpoint && c.token_endpoint ? {
		issuer: c.issuer, authorization_endpoint: c.authorization_endpoint,
		token_endpoint: c.token_endpoint, end_session_endpoint: c.end_session_endpoint || undefined,
	} : undefined;
	return new oidc.UserManager({
		authority: c.issuer, client_id: c.client_id, scope: c.scope || 'openid', metadata,
		redirect_uri: location.origin + base + 'callback', post_logout_redirect_uri: location.origin + base,
		response_type: 'code', loadUserInfo: false, automaticSilentRenew: false, monitorSession: false,
		userStore: new oidc.WebStorageStateStore({ store: new oidc.InMemoryWebStorage() }),
		stateStore: new oidc.WebStorageStateStore({ store: sessionStorage }),
	});
}

/**
 * signIn leaves the page for the issuer's. A silent sign-in shows nothing to the user there.
 * @param {boolean} silent
 */
export async function signIn(silent) {
	const here = location.pathname === base + 'callback' ? '' : location.pathname + location.search;
	sessionStorage.setItem(wanted, here && here !== base ? here : sessionStorage.getItem(wanted) || base);
	try {
		await manager.signinRedirect(silent ? { prompt: 'none' } : {});
	} catch (error) {
		signedOut('The sign-in service cannot be reached: ' + messageOf(error));
	}
}

async function finishSignIn() {
	const returnTo = sessionStorage.getItem(wanted) || base;
	const silent = Boolean(sessionStorage.getItem(marker));
	try {
		user = await manager.signinCallback(location.href);
	} catch (/** @type {any} */ error) {
		history.replaceState(null, '', returnTo);
		const foreign = /^No .*state/.test(error?.message) && 'This tab did not begin the sign-in, or has finished it. Sign in again.';
		if (silent && foreign) return renew(foreign); // such as the browser's Back to the issuer's page
		return signedOut(silent || askedFor(error) ? sessionStorage.getItem(renewedAt) ? 'Your sign-in has ended. Sign in again.' : '' : foreign || messageOf(error));
	}
	history.replaceState(null, '', returnTo);
	sessionStorage.removeItem(wanted);
	sessionStorage.setItem(marker, '1');
	signedIn();
}

/** askedFor recognizes the answers to prompt=none that only say that the user must act. @param {any} error */
function askedFor(error) {
	return ['login_required', 'interaction_required', 'consent_required', 'account_selection_required'].includes(error?.error);
}

/** @param {any} error */
function messageOf(error) {
	return error?.error_description || error?.error || error?.message || String(error);
}

function signedIn() {
	const claims = claimsOf(user.access_token);
	const profile = user.profile || {};
	const userId = claims.sub || profile.sub || '';
	session.set({
		state: 'signed-in', message: '', userId, roles: rolesOf(claims),
		name: profile.name || profile.email || profile.preferred_username || claims.username || userId,
	});
	scheduleRenewal();
}

/** @param {string} message */
function signedOut(message) {
	user = null;
	sessionStorage.removeItem(marker);
	sessionStorage.removeItem(renewedAt);
	session.set({ state: 'signed-out', name: '', userId: '', roles: [], message });
}

/**
 * claimsOf reads the claims of a token without checking it. The API checks it.
 * @param {string} token
 * @returns {any}
 */
function claimsOf(token) {
	try {
		const text = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
		return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, c => c.charCodeAt(0))));
	} catch {
		return {};
	}
}

/** @param {any} claims @returns {string[]} */
function rolesOf(claims) {
	const names = config.roles_claim ? [config.roles_claim] : ['roles', 'cognito:groups'];
	return names.flatMap(name => {
		const value = claims[name];
		return Array.isArray(value) ? value : typeof value === 'string' ? value.split(' ') : [];
	});
}

/** scheduleRenewal exchanges the refresh token, if the issuer gave one, before the token ends. */
function scheduleRenewal() {
	if (!user.refresh_token || !user.expires_in) return;
	const wait = Math.min(Math.max(user.expires_in - 60, 5), 86400);
	setTimeout(async () => {
		try {
			user = await manager.signinSilent() || user;
			scheduleRenewal();
		} catch {
			// The API answers 401 when the token ends, and credentialRefused signs in again.
		}
	}, wait * 1000);
}

/**
 * credentialRefused reacts to a 401. A read signs in again at once. A write, an open dialog, or a
 * field with the focus leaves the page as it is, so that the user keeps what they typed.
 * @param {boolean} read
 */
export function credentialRefused(read) {
	if (!read || session.get().state !== 'signed-in' || document.querySelector('dialog[open]') || document.activeElement?.matches('input, textarea')) return;
	renew('The API does not accept the token of this sign-in. Sign in again.');
}

/**
 * renew signs in silently, or ends the session with message if it did so a moment ago.
 * @param {string} message
 */
function renew(message) {
	const last = Number(sessionStorage.getItem(renewedAt) || 0);
	if (Date.now() - last < 30000) return signedOut(message);
	sessionStorage.setItem(renewedAt, String(Date.now()));
	session.set({ ...session.get(), state: 'starting' });
	return signIn(true);
}

/** signOut ends the session here and at the issuer. */
export async function signOut() {
	const idToken = user?.id_token;
	signedOut('');
	if (!(await manager.metadataService.getEndSessionEndpoint().catch(() => ''))) return;
	await manager.signoutRedirect({ id_token_hint: idToken });
}
