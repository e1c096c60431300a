// @ts-check
// The console: its frame, its navigation and its pages.
import { html, render, useState, useEffect, useStore, useErrorBoundary } from './core/view.js';
import { session, start, signIn, signOut, isAdmin, settings } from './core/auth.js';
import { usePlace, listen, refresh } from './core/router.js';
import { follow, unfollow } from './core/events.js';
import { theme, setTheme, applyTheme } from './core/theme.js';
import { Toasts } from './parts/toast.js';
import { Dialogs, closeAll } from './parts/dialog.js';
import { Icon } from './parts/icons.js';
import { Failure, Loading, Empty } from './parts/states.js';
import { Title } from './parts/basics.js';
import { Overview } from './pages/overview.js';
import { Calls } from './pages/calls.js';
import { Call } from './pages/call.js';
import { Numbers } from './pages/numbers.js';
import { NumberPage } from './pages/number.js';
import { Campaigns, DoNotCall } from './pages/later.js';
import { Developers } from './pages/developers.js';
import { Administration } from './pages/admin.js';

const links = [
	{ path: '', word: 'Overview', icon: 'overview' },
	{ path: 'calls', word: 'Calls', icon: 'calls' },
	{ path: 'numbers', word: 'Numbers', icon: 'numbers' },
	{ path: 'campaigns', word: 'Campaigns', icon: 'campaigns' },
	{ path: 'do-not-call', word: 'Do not call', icon: 'blocked' },
	{ path: 'developers', word: 'Developers', icon: 'developers' },
	{ path: 'admin', word: 'Administration', icon: 'admin', admin: true },
];

/** decoded is a part of a path. One that is not UTF-8 stays as it is. @param {string} part */
function decoded(part) {
	try {
		return decodeURIComponent(part);
	} catch {
		return part;
	}
}

/** pageOf is what a path shows. @param {string} path */
function pageOf(path) {
	const [first, second, ...rest] = path.split('/').map(decoded);
	if (!first) return { word: 'Overview', page: html`<${Overview} />` };
	if (first === 'calls' && second && !rest.length) return { word: 'Call', page: html`<${Call} key=${second} callId=${second} />` };
	if (first === 'numbers' && second && !rest.length) return { word: 'Number', page: html`<${NumberPage} key=${second} numberId=${second} />` };
	if (first === 'developers') return { word: 'Developers', page: html`<${Developers} tab=${second || 'keys'} rest=${rest} />` };
	if (first === 'admin' && isAdmin()) return { word: 'Administration', page: html`<${Administration} tab=${second || 'requests'} />` };
	if (!second && first === 'calls') return { word: 'Calls', page: html`<${Calls} />` };
	if (!second && first === 'numbers') return { word: 'Numbers', page: html`<${Numbers} />` };
	if (!second && first === 'campaigns') return { word: 'Campaigns', page: html`<${Campaigns} />` };
	if (!second && first === 'do-not-call') return { word: 'Do not call', page: html`<${DoNotCall} />` };
	return { word: 'Not found', page: html`<${Title} text="Page not found" /><${Empty} title="There is no such page" text=${html`The address may be old. <a href="/console/">Go to the overview</a>.`} />` };
}

function App() {
	const { state } = useStore(session);
	if (state === 'starting') return html`<main class="alone"><${Loading} what="Signing in" rows=${4} /></main>`;
	return html`${state === 'signed-out' ? html`<${SignIn} />` : html`<${Shell} />`}<${Dialogs} /><${Toasts} />`;
}

function SignIn() {
	const { message } = useStore(session);
	useEffect(() => { document.title = 'Sign in · KrosAI Telephony'; }, []);
	return html`<main class="alone"><div class="signin"><p class="brand"><${Mark} />KrosAI Telephony</p>
		<h1 tabindex="-1">Sign in to the console</h1>
		<p class="muted">Phone calls by AI agents: calls, numbers, webhooks and keys of your account.</p>
		${message && html`<p class="failure" role="alert">${message}</p>`}
		<button type="button" class="primary" onClick=${() => signIn(false)}>Sign in</button>
		<p class="small muted">Signing in takes you to <bdi>${hostOf(settings().issuer)}</bdi> and back.</p></div></main>`;
}

/** @param {string} url */
function hostOf(url) {
	try {
		return new URL(url).host;
	} catch {
		return 'your identity provider';
	}
}

const Mark = () => html`<img src="/console/parts/icon.svg" width="20" height="20" alt="" />`;

function Shell() {
	const { path } = usePlace();
	const [open, setOpen] = useState(false);
	const { word, page } = pageOf(path);
	useEffect(() => {
		document.title = word + ' · KrosAI Telephony';
		setOpen(false);
		closeAll();
	}, [path]);
	useEffect(() => {
		follow();
		return unfollow;
	}, []);
	return html`<a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
		<div class="shell"><header class=${'side' + (open ? ' open' : '')}>
			<div class="head"><a class="brand" href="/console/"><${Mark} />KrosAI Telephony</a>
				<button type="button" class="menu quiet" aria-expanded=${open} aria-controls="navigation" onClick=${() => setOpen(!open)}><${Icon} name="menu" />Menu</button></div>
			<div class="body" id="navigation"><${Navigation} path=${path} /><${Account} /></div></header>
		<main id="main" tabindex="-1"><${Guard} key=${path}>${page}<//></main></div>`;
}

/** @param {Event} event */
function skip(event) {
	event.preventDefault();
	document.getElementById('main')?.focus();
}

/** @param {{path: string}} props */
function Navigation({ path }) {
	const first = path.split('/')[0];
	return html`<nav aria-label="Console"><ul>${links.filter(link => !link.admin || isAdmin()).map(link => html`
		<li key=${link.path}><a href=${'/console/' + link.path} aria-current=${first === link.path ? 'page' : undefined}><${Icon} name=${link.icon} />${link.word}</a></li>`)}</ul></nav>`;
}

function Account() {
	const { name, roles } = useStore(session);
	const chosen = useStore(theme);
	return html`<div class="account"><p class="who"><bdi>${name}</bdi>${roles.includes('admin') && html`<span class="muted small">administrator</span>`}</p>
		<label class="theme"><span class="hidden">Colors</span><select value=${chosen} onChange=${(/** @type {any} */ event) => setTheme(event.target.value)}>
			${[['system', 'System colors'], ['light', 'Light'], ['dark', 'Dark']].map(([value, word]) => html`<option key=${value} value=${value} selected=${value === chosen}>${word}</option>`)}</select></label>
		<button type="button" class="quiet" onClick=${signOut}>Sign out</button></div>`;
}

/** Guard shows a failure in place of a page that throws. @param {{children?: any}} props */
function Guard({ children }) {
	const [error, reset] = useErrorBoundary();
	return html`<div class="page">${error ? html`<${Title} text="Something went wrong" /><${Failure} error=${error} retry=${reset} />` : children}</div>`;
}

async function main() {
	applyTheme();
	listen();
	const root = /** @type {HTMLElement} */ (document.getElementById('app'));
	render(html`<${App} />`, root);
	try {
		await start();
		refresh();
	} catch (error) {
		render(html`<main class="alone"><h1>The console cannot start</h1><${Failure} error=${error} retry=${() => location.reload()} /></main>`, root);
	}
}

main();
