// The console in a real browser, against a running platform: see scripts/test-console.sh.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { api, asAdmin, axe, closeAll, demoNumber, fits, inBothThemes, launch, narrow, open, placeCall, shot, signIn } from './bench.mjs';

let browser;
before(async () => { browser = await launch(); });
afterEach(closeAll);
after(async () => { await browser.close(); });

const heading = (page, name) => page.getByRole('heading', { level: 1, name });
const dialog = page => page.getByRole('dialog');
const rings = '+14155550107'; // answers after ten seconds
const talks = '+14155550100'; // answers after a second, and stays

test('demo signs in with one click, and again without one after a reload', async () => {
	const { page, close } = await open();
	await page.goto(api + '/console/calls');
	await heading(page, 'Sign in to the console').waitFor();
	await inBothThemes(page, 'signin');
	await signIn(page, 'demo', 'calls');
	await heading(page, 'Calls').waitFor();
	assert.equal(new URL(page.url()).pathname, '/console/calls');
	assert.equal(await page.getByRole('link', { name: 'Administration' }).count(), 0, 'demo is no administrator');
	const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
	assert.doesNotMatch(stored, /eyJ/, 'no token is stored');
	await page.goto(api + '/console/developers/limits');
	await heading(page, 'Developers').waitFor();
	assert.equal(new URL(page.url()).pathname, '/console/developers/limits');
	await page.getByRole('button', { name: 'Sign out' }).click();
	await heading(page, 'Sign in to the console').waitFor();
	await page.reload();
	await heading(page, 'Sign in to the console').waitFor();
	await close();
});

test('a call rings, is answered, is written down and is hung up', async () => {
	const { page, close } = await open();
	await signIn(page, 'demo');
	await placeCall(page, rings, 'Hello, this is <img src=x onerror="document.title=\'broken\'"> Ada.');
	const headline = page.locator('.headline');
	await headline.getByText('Ringing').waitFor();
	await shot(page, 'call-ringing');
	await headline.getByText('In progress').waitFor({ timeout: 30000 });
	const transcript = page.getByRole('log', { name: 'Transcript' });
	await transcript.getByText('<img src=x onerror=').waitFor();
	assert.equal(await transcript.locator('img').count(), 0);
	assert.doesNotMatch(await page.title(), /broken/);
	await inBothThemes(page, 'call-live');
	await page.getByRole('button', { name: 'Hang up' }).click();
	await dialog(page).getByText('ends at once').waitFor();
	await dialog(page).getByRole('button', { name: 'Cancel' }).click();
	await headline.getByText('In progress').waitFor();
	await page.getByRole('button', { name: 'Hang up' }).click();
	await dialog(page).getByRole('button', { name: 'Hang up' }).click();
	await headline.getByText('Completed').waitFor();
	await headline.getByText('Hung up by you or an administrator').waitFor();
	assert.equal(await page.getByRole('button', { name: 'Hang up' }).count(), 0);
	await page.locator('.summary').waitFor({ timeout: 40000 });
	await inBothThemes(page, 'call-ended');
	await close();
});

test('a call is transferred', async () => {
	const { page, close } = await open();
	await signIn(page, 'demo');
	await placeCall(page, talks);
	await page.locator('.headline').getByText('In progress').waitFor({ timeout: 30000 });
	await page.getByRole('button', { name: 'Transfer' }).click();
	await dialog(page).getByLabel('Number to connect to').fill('+1 415 555 0111');
	await axe(page, 'transfer');
	await dialog(page).getByRole('button', { name: 'Transfer now' }).click();
	await page.locator('.headline').getByText('Transferred to another number').waitFor({ timeout: 30000 });
	await page.locator('.step.transfer').filter({ hasText: 'Completed' }).waitFor();
	await shot(page, 'call-transferred');
	await close();
});

test('the list of calls is live, filtered and exported', async () => {
	const other = await open();
	await signIn(other.page, 'demo');
	await placeCall(other.page, '+14155550103');
	const { page, close } = await open();
	await signIn(page, 'demo', 'calls');
	const rows = page.getByRole('table', { name: 'Calls' }).locator('tbody tr');
	await rows.first().waitFor();
	await placeCall(other.page, '+14155550102');
	await rows.filter({ hasText: '+1 415 555 0102' }).filter({ hasText: 'The line was busy' }).first().waitFor({ timeout: 40000 });
	await other.close();
	await page.getByRole('combobox', { name: 'Status', exact: true }).selectOption('busy');
	await page.waitForURL(/status=busy/);
	await rows.filter({ hasText: 'In progress' }).first().waitFor({ state: 'detached' });
	await page.getByLabel('How it ended').selectOption('callee_hangup');
	await page.getByText('No call matches').waitFor();
	await page.getByRole('button', { name: 'Clear the filters' }).click();
	await rows.first().waitFor();
	const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export CSV' }).click()]);
	assert.equal(file.suggestedFilename(), 'calls.csv');
	await inBothThemes(page, 'calls');
	await page.getByRole('button', { name: 'Place a call' }).click();
	await inBothThemes(page, 'placecall');
	await close();
});

test('a number is configured, and a wrong carrier is refused at its field', async () => {
	const { page, close } = await open({ allowed: /status of 400/ });
	await signIn(page, 'demo', 'numbers');
	await page.getByRole('link', { name: '+234 801 234 5678' }).click();
	await heading(page, '+234 801 234 5678').waitFor();
	await page.locator('section', { has: page.getByRole('heading', { name: 'Agent (dispatch rule)' }) }).getByRole('button', { name: 'Change' }).click();
	await dialog(page).getByLabel('Longest inbound call').fill('30');
	await inBothThemes(page, 'rule');
	await dialog(page).getByRole('button', { name: 'Save' }).click();
	await page.getByText('30 minutes').waitFor();
	await inBothThemes(page, 'number');
	await page.locator('section', { has: page.getByRole('heading', { name: 'Carrier (SIP trunk)' }) }).getByRole('button', { name: 'Change' }).click();
	await dialog(page).getByLabel('Address').fill('10.0.0.1');
	await dialog(page).getByRole('button', { name: 'Save' }).click();
	await dialog(page).locator('.wrong').first().waitFor();
	assert.equal(await dialog(page).getByLabel('Address').getAttribute('aria-invalid'), 'true');
	await axe(page, 'trunk with an error');
	await shot(page, 'trunk-error');
	await page.keyboard.press('Escape');
	await dialog(page).waitFor({ state: 'detached' });
	await close();
});

test('ada.admin approves what demo requests', async () => {
	await asAdmin('POST', '/admin/phone-numbers', { phone_number: '+33612345678', country: 'FR', number_type: 'mobile', capabilities: ['inbound', 'outbound'], provider: 'Console test' });
	const demo = await open();
	await signIn(demo.page, 'demo', 'numbers');
	await demo.page.getByRole('button', { name: 'Request a number' }).first().click();
	await dialog(demo.page).getByLabel('Country', { exact: true }).selectOption('FR');
	await dialog(demo.page).getByLabel('Type').selectOption('mobile');
	await dialog(demo.page).getByLabel('Purpose').fill('Reminders for <b>patients</b>');
	await axe(demo.page, 'request a number');
	await shot(demo.page, 'request-number');
	await dialog(demo.page).getByRole('button', { name: 'Request', exact: true }).click();
	await demo.page.getByText('Waiting for a decision').waitFor();

	const ada = await open();
	await signIn(ada.page, 'ada.admin', 'admin/requests');
	const row = ada.page.getByRole('row').filter({ hasText: '<b>patients</b>' });
	await row.waitFor();
	await inBothThemes(ada.page, 'admin-requests');
	await row.getByRole('button', { name: 'Approve' }).click();
	await dialog(ada.page).getByRole('button', { name: 'Approve' }).click();
	await row.waitFor({ state: 'detached' });
	await ada.close();

	await demo.page.getByRole('link', { name: '+33 6 12 34 56 78' }).waitFor({ timeout: 20000 });
	await inBothThemes(demo.page, 'numbers');
	await demo.close();
});

test('a webhook is added, tested and replayed', async t => {
	const got = [];
	const server = createServer((request, response) => {
		got.push(request.headers['webhook-id']);
		request.resume().on('end', () => response.end('thank you'));
	});
	t.after(() => {
		server.close();
		server.closeAllConnections();
	});
	await new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(undefined)));
	const { page, close } = await open();
	await signIn(page, 'demo', 'developers/webhooks');
	await page.getByRole('button', { name: 'Add an endpoint' }).first().click();
	await dialog(page).getByLabel('Address').fill(`http://127.0.0.1:${server.address().port}/kros`);
	await dialog(page).getByRole('button', { name: 'Add' }).click();
	await dialog(page).getByText(/whsec_/).waitFor();
	await axe(page, 'the secret');
	await shot(page, 'secret');
	await dialog(page).getByRole('button', { name: 'I have stored it' }).click();
	await inBothThemes(page, 'webhooks');
	await page.getByRole('link', { name: /127\.0\.0\.1/ }).click();
	await page.getByRole('button', { name: 'Send a test' }).click();
	const deliveries = page.getByRole('table', { name: 'Deliveries' }).locator('tbody tr');
	await deliveries.filter({ hasText: 'Delivered' }).first().waitFor({ timeout: 20000 });
	await deliveries.first().getByRole('button', { name: 'Test event' }).click();
	await dialog(page).getByText('thank you').waitFor();
	await inBothThemes(page, 'delivery');
	await dialog(page).getByRole('button', { name: 'Send again' }).click();
	await deliveries.filter({ hasText: 'repeated' }).filter({ hasText: 'Delivered' }).waitFor({ timeout: 20000 });
	assert.equal(got.length, 2);
	assert.equal(got[0], got[1]);
	await inBothThemes(page, 'webhook');
	await page.getByRole('button', { name: 'Delete' }).click();
	await dialog(page).getByRole('button', { name: 'Delete' }).click();
	await page.getByText('No endpoints yet').waitFor();
	await close();
});

test('a key is shown once, and revoked', async () => {
	const { page, close } = await open();
	await signIn(page, 'demo', 'developers/keys');
	await page.getByRole('button', { name: 'Create a key' }).click();
	await dialog(page).getByLabel('Name').fill('Console test');
	await axe(page, 'create a key');
	await shot(page, 'create-key');
	await dialog(page).getByRole('button', { name: 'Create' }).click();
	const text = await dialog(page).locator('pre').innerText();
	assert.match(text, /^kros_live_/);
	await dialog(page).getByRole('button', { name: 'Copy key console test' }).first().click();
	assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
	await dialog(page).getByRole('button', { name: 'I have stored it' }).click();
	const row = page.getByRole('row').filter({ hasText: 'Console test' });
	await row.getByRole('button', { name: 'Revoke' }).click();
	await dialog(page).getByRole('button', { name: 'Revoke' }).click();
	await row.getByText('Revoked').waitFor();
	const used = await fetch(api + '/outbound-calls', { headers: { Authorization: 'Bearer ' + text } });
	assert.equal(used.status, 401);
	await inBothThemes(page, 'keys');
	await close();
});

test('events arrive while the page is open', async () => {
	const { page, close } = await open();
	await signIn(page, 'demo', 'developers/events');
	await page.getByText('New events appear here').waitFor();
	await placeCall(page, '+14155550103');
	await page.locator('.headline').getByText('The call was declined').waitFor({ timeout: 20000 });
	await page.getByRole('link', { name: 'Developers' }).click();
	await page.getByRole('link', { name: 'Events' }).click();
	await page.locator('.events').getByText('Call ended').first().waitFor();
	await page.getByRole('button', { name: 'Show the last 30 days' }).click();
	await page.locator('.events').getByText('Call ended').first().waitFor();
	await inBothThemes(page, 'events');
	await page.getByRole('link', { name: 'Limits' }).click();
	await page.getByText('Requests', { exact: true }).waitFor();
	await inBothThemes(page, 'limits');
	await close();
});

test('an expired token signs in again, and says so when it cannot', async () => {
	const { page, context, close } = await open({ allowed: /status of 401/ });
	await signIn(page, 'demo', 'numbers');
	await page.getByRole('link', { name: '+234 801 234 5678' }).waitFor();
	const refuse = route => route.continue({ headers: { ...route.request().headers(), authorization: 'Bearer expired' } });
	await page.route('**/outbound-calls*', refuse, { times: 1 });
	await page.getByRole('link', { name: 'Calls', exact: true }).click();
	await page.getByRole('table', { name: 'Calls' }).waitFor();
	assert.equal(new URL(page.url()).pathname, '/console/calls');
	await page.evaluate(() => sessionStorage.removeItem('kros.renewed_at'));
	await context.clearCookies();
	await page.route('**/telephony/**', refuse);
	await page.getByRole('link', { name: 'Numbers', exact: true }).click();
	await page.getByText('Your sign-in has ended. Sign in again.').waitFor();
	await shot(page, 'signin-ended');
	await close();
});

test('a page says what failed while the API is down, and goes on when it is back', async () => {
	const { page, close } = await open({ allowed: /ERR_FAILED|status of 503/ });
	await signIn(page, 'demo', 'numbers');
	await page.getByRole('link', { name: '+234 801 234 5678' }).waitFor();
	await page.route('**/outbound-calls?*', route => route.abort());
	await page.route('**/outbound-calls', route => route.abort());
	await page.getByRole('link', { name: 'Calls', exact: true }).click();
	await page.getByText('The API cannot be reached.').first().waitFor();
	await page.getByText('UNREACHABLE').first().waitFor();
	await inBothThemes(page, 'failure');
	await page.unrouteAll();
	await page.getByRole('button', { name: 'Try again' }).click();
	await page.getByRole('table', { name: 'Calls' }).waitFor();
	await close();
});

test('ten thousand calls are filtered without delay', async () => {
	const { page, close } = await open();
	await signIn(page, 'demo', 'numbers');
	const calls = Array.from({ length: 10000 }, (_, i) => ({
		call_id: 'call_' + i, status: i % 3 ? 'completed' : 'busy', direction: 'outbound', phone_number: '+1415555' + String(1000 + i % 9000), from_number: '+2348012345678',
		phone_number_id: demoNumber, room_name: 'call_' + i, agent_name: 'demo-agent', hangup_cause: i % 3 ? 'callee_hangup' : 'busy', sip_status_code: 200, metadata: {},
		created_at: new Date(Date.now() - i * 60000).toISOString(), answered_at: null, ended_at: null, duration_seconds: 0,
	}));
	await page.route('**/outbound-calls?*', route => route.fulfill({ json: { data: calls, next_cursor: null } }));
	await page.getByRole('link', { name: 'Calls', exact: true }).click();
	const list = page.getByRole('table', { name: 'Calls' });
	await list.waitFor();
	assert.ok(await list.locator('tbody tr').count() < 100, 'only what can be seen is drawn');
	const took = await page.evaluate(() => new Promise(resolve => {
		const select = [...document.querySelectorAll('.filter')].find(label => label.textContent.startsWith('How it ended')).querySelector('select');
		const began = performance.now();
		select.value = 'busy';
		select.dispatchEvent(new Event('change', { bubbles: true }));
		requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
	}));
	console.log(`filtering 10,000 calls took ${Math.round(took)} ms`);
	await page.getByText('3,334 of 10,000 read').waitFor();
	await fits(page, 'many calls');
	await shot(page, 'calls-many');
	await close();
});

test('each page works in both themes and at both widths', async () => {
	const demo = await open();
	await signIn(demo.page, 'demo');
	await demo.page.locator('.chart canvas').waitFor();
	await inBothThemes(demo.page, 'overview');
	for (const [path, name] of [['campaigns', 'Campaigns'], ['do-not-call', 'Do not call'], ['developers/reference', 'Developers'], ['nowhere', 'Page not found'], ['admin', 'Page not found']]) {
		await demo.page.goto(api + '/console/' + path);
		await heading(demo.page, name).waitFor();
		await inBothThemes(demo.page, path.replace('/', '-'));
	}
	await demo.close();

	const ada = await open();
	await signIn(ada.page, 'ada.admin', 'admin/inventory');
	for (const [path, label] of [['inventory', 'Inventory'], ['users', 'Users'], ['audit', 'Audit']]) {
		await ada.page.goto(api + '/console/admin/' + path);
		await ada.page.getByRole('table', { name: label }).waitFor();
		await inBothThemes(ada.page, 'admin-' + path);
	}
	for (const [path, text] of [['calls', 'No call is going on'], ['switch', 'Outbound calls are on'], ['users?user=demo', 'Save the policy']]) {
		await ada.page.goto(api + '/console/admin/' + path);
		await ada.page.getByText(text).first().waitFor();
		await inBothThemes(ada.page, 'admin-' + path.replace('?user=demo', '-demo'));
	}
	await ada.close();
});

test('administrators import, assign, take back and retire numbers, and switch calls off', async () => {
	const { page, close } = await open();
	await signIn(page, 'ada.admin', 'admin/inventory');
	await page.getByRole('button', { name: 'Import' }).click();
	await dialog(page).getByLabel('Table').fill('phone_number,country,number_type,capabilities,provider\n+33612345679,FR,mobile,inbound outbound,Console test\n+999,FR,mobile,inbound,x');
	await dialog(page).getByRole('button', { name: 'Import 2 rows' }).click();
	await dialog(page).getByText('1 added, 0 known already, 1 refused.').waitFor();
	await shot(page, 'import');
	await dialog(page).getByRole('button', { name: 'Done' }).click();
	const row = page.getByRole('row').filter({ hasText: '+33 6 12 34 56 79' });
	await row.getByRole('button', { name: 'Assign' }).click();
	await dialog(page).getByLabel('User').fill('alice');
	await dialog(page).getByRole('button', { name: 'Assign' }).click();
	await row.getByText('alice').waitFor();
	await row.getByRole('button', { name: 'Take back' }).click();
	await dialog(page).getByRole('button', { name: 'Take back' }).click();
	await row.getByText('Available').waitFor();
	await row.getByRole('button', { name: 'Retire' }).click();
	await dialog(page).getByRole('button', { name: 'Retire' }).click();
	await row.getByText('Retired').waitFor();
	await page.getByRole('link', { name: 'Switch' }).click();
	await page.getByLabel('Reason').fill('Console test');
	await page.getByRole('button', { name: 'Switch all calls off' }).click();
	await dialog(page).getByRole('button', { name: 'Switch off' }).click();
	await page.getByText('Outbound calls are off').waitFor();
	await page.getByRole('link', { name: 'Overview' }).click();
	await page.getByText('Outbound calls of all users are switched off').waitFor();
	await page.goto(api + '/console/admin/switch');
	await page.getByRole('button', { name: 'Switch calls on' }).click();
	await dialog(page).getByRole('button', { name: 'Switch on' }).click();
	await page.getByText('Outbound calls are on').waitFor();
	await close();
});

test('the console works by keyboard, and on a telephone', async () => {
	const { page, close } = await open();
	await signIn(page, 'demo');
	await page.setViewportSize(narrow);
	await page.getByRole('button', { name: 'Menu' }).click();
	await page.getByRole('link', { name: 'Calls', exact: true }).waitFor();
	await shot(page, 'menu');
	await axe(page, 'menu');
	await page.keyboard.press('Tab');
	await page.getByRole('link', { name: 'Calls', exact: true }).focus();
	await page.keyboard.press('Enter');
	await heading(page, 'Calls').waitFor();
	assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
	await fits(page, 'calls');
	await close();
});
