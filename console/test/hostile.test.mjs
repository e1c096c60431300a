// The console against strangers and clumsy hands: see scripts/test-console.sh.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { api, closeAll, fits, launch, narrow, open, shot, signIn } from './bench.mjs';

let browser;
before(async () => { browser = await launch(); });
afterEach(closeAll);
after(async () => { await browser.close(); });

const dialog = page => page.getByRole('dialog');
const focused = page => page.evaluate(() => document.activeElement?.textContent);

test('a dialog gives the focus back, and a secret outlasts Escape', async () => {
	const { page, close } = await open();
	await signIn(page, 'demo', 'developers/keys');
	await page.getByRole('button', { name: 'Create a key' }).click();
	await page.keyboard.press('Escape');
	await dialog(page).waitFor({ state: 'detached' });
	assert.equal(await focused(page), 'Create a key');
	await page.getByRole('button', { name: 'Create a key' }).click();
	await dialog(page).getByLabel('Name').fill('Escape');
	await dialog(page).getByRole('button', { name: 'Create' }).click();
	await dialog(page).getByText('shown this once').waitFor();
	for (let i = 0; i < 6; i++) {
		await page.keyboard.press('Escape');
		await page.waitForTimeout(50);
	}
	assert.ok(await dialog(page).getByText('shown this once').isVisible());
	await dialog(page).getByRole('button', { name: 'I have stored it' }).click();
	await dialog(page).waitFor({ state: 'detached' });
	assert.equal(await focused(page), 'Create a key');
	await close();
});

test('a key is made once when its answer is lost', async () => {
	const { page, close } = await open({ allowed: /ERR_FAILED/ });
	await signIn(page, 'demo', 'developers/keys');
	await page.route('**/api-keys', async route => {
		await route.fetch();
		await route.abort();
	}, { times: 4 });
	await page.getByRole('button', { name: 'Create a key' }).click();
	await dialog(page).getByLabel('Name').fill('Lost answer');
	await dialog(page).getByRole('button', { name: 'Create' }).click();
	await dialog(page).getByText('UNREACHABLE').waitFor({ timeout: 20000 });
	await dialog(page).getByRole('button', { name: 'Create' }).click();
	await dialog(page).getByText('shown this once').waitFor();
	await dialog(page).getByRole('button', { name: 'I have stored it' }).click();
	assert.equal(await page.getByRole('row').filter({ hasText: 'Lost answer' }).count(), 1);
	await close();
});

test('another number needs consent again, and two clicks place one call', async () => {
	const { page, close } = await open();
	await signIn(page, 'demo', 'calls');
	await page.getByRole('button', { name: 'Place a call' }).click();
	await dialog(page).getByLabel('Number to call').fill('+14155550102');
	await dialog(page).getByText('More options').click();
	await dialog(page).getByLabel('Metadata').fill(`Status=Completed\n${'n'.repeat(60)}=<b>x</b>`);
	await dialog(page).getByRole('button', { name: 'Continue' }).click();
	await dialog(page).getByLabel(/has agreed/).check();
	await dialog(page).getByRole('button', { name: 'Back' }).click();
	await dialog(page).getByLabel('Number to call').fill('+14155550103');
	await dialog(page).getByRole('button', { name: 'Continue' }).click();
	assert.equal(await dialog(page).getByLabel(/has agreed/).isChecked(), false);
	await dialog(page).getByLabel(/has agreed/).check();
	assert.equal(await dialog(page).evaluate(element => element.contains(document.activeElement)), true);
	let sent = 0;
	page.on('request', request => { if (request.url().endsWith('/outbound-calls/create')) sent++; });
	await dialog(page).getByRole('button', { name: 'Call now' }).evaluate(button => {
		button.click();
		button.click();
	});
	await page.waitForURL(/\/console\/calls\/call_/);
	assert.equal(sent, 1);
	const metadata = page.locator('section', { has: page.getByRole('heading', { name: 'Metadata' }) });
	await metadata.getByText('Completed').waitFor();
	assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
	await page.setViewportSize(narrow);
	await fits(page, 'a call with long metadata');
	await shot(page, 'call-metadata');
	await close();
});

test('foreign sign-ins, Back and odd addresses leave the user signed in', async () => {
	const { page, close } = await open({ allowed: /status of 404/ });
	await page.goto(api + '/console/callback?code=x&state=forged');
	await page.getByText('This tab did not begin the sign-in').waitFor();
	await signIn(page, 'demo', 'calls');
	await page.goto(api + '/console/callback?error=access_denied&error_description=Call+us&state=forged');
	await page.getByRole('navigation', { name: 'Console' }).waitFor();
	await page.goto(api + '/console/calls/%E0%A4');
	await page.getByText('No such call').waitFor();
	await page.goto(api + '/console/developers/webhooks/x%22%3Breboot%3B%22');
	await page.getByRole('heading', { name: 'Deleted endpoint' }).waitFor();
	assert.doesNotMatch(await page.locator('.curl pre').last().textContent() || '', /;reboot/);
	await close();
});

test('a wrong clock, and what is not from the API', async () => {
	const { page, close } = await open();
	await page.addInitScript(() => {
		const { now } = Date;
		Date.now = () => now() + 3 * 3600000;
	});
	await signIn(page, 'demo', 'calls');
	await page.getByRole('button', { name: 'Place a call' }).click();
	await dialog(page).getByLabel('Number to call').fill('+14155550104');
	await dialog(page).getByRole('button', { name: 'Continue' }).click();
	await dialog(page).getByLabel(/has agreed/).check();
	await dialog(page).getByRole('button', { name: 'Call now' }).click();
	await page.locator('.headline').getByRole('timer').filter({ hasText: /^0:0[1-9]$/ }).waitFor();
	await page.getByRole('button', { name: 'Hang up' }).click();
	await dialog(page).getByRole('button', { name: 'Hang up' }).click();
	await page.route('**/outbound-calls?*', route => route.fulfill({ contentType: 'text/html', body: '<html>A network' }));
	await page.getByRole('link', { name: 'Calls', exact: true }).first().click();
	await page.getByText('Something on the way').waitFor();
	await close();
});

test('the end of a session leaves what is being typed', async () => {
	const { page, close } = await open({ allowed: /status of 401/ });
	await signIn(page, 'ada.admin', 'admin/users?user=alice');
	await page.getByLabel('Agents').fill('typed');
	const refused = page.waitForResponse(response => response.status() === 401, { timeout: 40000 });
	await page.route('**/events?*', route => route.fulfill({ status: 401, json: {} }));
	await refused;
	await page.waitForTimeout(1500);
	assert.equal(await page.getByLabel('Agents').inputValue(), 'typed');
	await close();
});
