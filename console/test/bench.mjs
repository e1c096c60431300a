// The parts that the browser tests share: the platform's addresses, a Chromium that watches for
// mistakes, and signing in.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const api = required('KROS_URL');
export const issuer = required('KROS_ISSUER');
export const demoNumber = required('KROS_NUMBER_ID');
export const adminToken = required('KROS_ADMIN_JWT');
const shots = process.env.SCREENSHOTS || '';

const axeSource = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const wide = { width: 1440, height: 900 };
export const narrow = { width: 390, height: 844 };

function required(name) {
	assert.ok(process.env[name], name + ' is not set: run scripts/test-console.sh');
	return process.env[name];
}

let browser;
const opened = new Set();

export async function launch() {
	browser = await chromium.launch({
		executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
		args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync'],
	});
	return browser;
}

/**
 * open is a page in a browser profile of its own. check fails if the page asked another host,
 * logged an error, or broke a rule of its Content-Security-Policy. Messages that match allowed are
 * expected.
 */
export async function open({ allowed, theme = 'light', size = wide } = {}) {
	const context = await browser.newContext({ viewport: size, colorScheme: theme, permissions: ['clipboard-read', 'clipboard-write'], reducedMotion: 'reduce' });
	opened.add(context);
	const page = await context.newPage();
	page.setDefaultTimeout(15000);
	const mistakes = [];
	const note = text => { if (!allowed || !allowed.test(text)) mistakes.push(text); };
	page.on('console', message => {
		// Pages that were closed a moment ago still wait for events, and five can wait at a time.
		const waits = /status of 429/.test(message.text()) && /\/events\?/.test(message.location().url);
		if (!waits && ['error', 'warning'].includes(message.type())) note(message.text());
	});
	page.on('pageerror', error => note(String(error)));
	page.on('request', request => {
		const url = new URL(request.url());
		if (/^https?:$/.test(url.protocol) && ![new URL(api).origin, new URL(issuer).origin].includes(url.origin)) mistakes.push('asked ' + url.origin);
	});
	return {
		page, context,
		async close() {
			await context.close();
			assert.deepEqual(mistakes, []);
		},
	};
}

/** closeAll closes what a failed test has left open. */
export async function closeAll() {
	for (const context of opened) await context.close();
	opened.clear();
}

/** signIn goes to a page of the console as a user, through the issuer's page. */
export async function signIn(page, user, path = '') {
	await page.goto(api + '/console/' + path);
	await page.getByRole('button', { name: 'Sign in', exact: true }).click();
	await page.getByRole('button', { name: 'Continue as ' + user, exact: true }).click();
	await page.getByRole('navigation', { name: 'Console' }).waitFor();
}

/** placeCall calls a number with the dialog, and ends on the page of the call. */
export async function placeCall(page, number, welcome = '') {
	await page.goto(api + '/console/calls');
	await page.getByRole('button', { name: 'Place a call' }).click();
	await page.getByLabel('Number to call').fill(number);
	if (welcome) await page.getByLabel('First sentence').fill(welcome);
	await page.getByRole('button', { name: 'Continue' }).click();
	const call = page.getByRole('button', { name: 'Call now' });
	assert.ok(await call.isDisabled(), 'a call needs consent');
	await page.getByLabel(/has agreed to be called/).check();
	await call.click();
	await page.waitForURL(/\/console\/calls\/call_/);
}

/** axe checks the page against WCAG 2.2 AA. */
export async function axe(page, what) {
	if (!await page.evaluate('typeof axe === "object"')) await page.evaluate(axeSource);
	const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
	const found = violations.map(v => `${v.id}: ${v.nodes.map(node => node.html.slice(0, 160) + ' ' + (node.any[0]?.message || '')).join(' | ')}`);
	assert.deepEqual(found, [], 'axe: ' + what);
}

/** fits checks that nothing is wider than the window. */
export async function fits(page, what) {
	const [width, inner] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
	assert.ok(width <= inner, `${what} is ${width} px wide in a window of ${inner} px`);
}

/** shot keeps a screenshot, if a folder is given. */
export async function shot(page, name) {
	if (!shots) return;
	mkdirSync(shots, { recursive: true });
	await page.screenshot({ path: join(shots, name + '.png') });
}

/** inBothThemes looks at a page wide and narrow, light and dark. */
export async function inBothThemes(page, name) {
	for (const [width, size] of [['wide', wide], ['narrow', narrow]]) {
		await page.setViewportSize(size);
		for (const theme of ['light', 'dark']) {
			await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
			await page.waitForTimeout(150);
			await fits(page, name + ' ' + width);
			await shot(page, `${name}-${width}-${theme}`);
			await axe(page, `${name} ${width} ${theme}`);
		}
	}
	await page.setViewportSize(wide);
	await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
}

/** asAdmin sends a request to the API as ada.admin. */
export async function asAdmin(method, path, body) {
	const response = await fetch(api + path, { method, headers: { Authorization: 'Bearer ' + adminToken, 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
	assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
	return response.status === 204 ? null : response.json();
}
