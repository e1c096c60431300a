// The functions that need no browser.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { phone, duration, spoken, countryName } from '../core/format.js';
import * as table from '../core/words.js';
import { csv } from '../parts/csv.js';

const { words } = table;
const document = JSON.parse(readFileSync(new URL('../../openapi.json', import.meta.url), 'utf8'));
const schemas = document.components.schemas;
const valuesOf = (schema, member) => {
	const property = schemas[schema].properties[member];
	return (property.enum || property.items.enum).filter(value => value !== null);
};

test('phone numbers are shown in groups with their country', () => {
	const rows = {
		'+14155550100': ['+1 415 555 0100', 'US'], '+16135550100': ['+1 613 555 0100', 'CA'], '+18005550100': ['+1 800 555 0100', ''],
		'+18765550100': ['+1 876 555 0100', 'JM'], '+2348012345678': ['+234 801 234 5678', 'NG'], '+442071838750': ['+44 2071 838750', 'GB'],
		'+77012345678': ['+7 701 234 5678', 'KZ'], '+35312345678': ['+353 1234 5678', 'IE'], 'anonymous': ['Withheld number', ''], '<b>': ['<b>', ''],
	};
	for (const [number, [text, country]] of Object.entries(rows)) assert.deepEqual(phone(number), { text, country }, number);
	assert.deepEqual(phone(null), { text: '', country: '' });
	assert.equal(countryName('NG'), 'Nigeria');
	assert.equal(countryName('ZZ'), 'Unknown country');
	assert.equal(countryName('not one'), 'not one');
});

test('durations are shown as on a clock and in words', () => {
	assert.deepEqual([0, 7, 65, 3723].map(duration), ['0:00', '0:07', '1:05', '1:02:03']);
	assert.deepEqual([0, 1, 90, 1800, 3600, 14400].map(spoken), ['0 seconds', '1 second', '1 minute 30 seconds', '30 minutes', '1 hour', '4 hours']);
});

test('each value of the API has words', () => {
	const rows = [
		[table.callStatus, valuesOf('Call', 'status')], [table.cause, valuesOf('Call', 'hangup_cause')], [table.timelineEvent, valuesOf('TimelineEntry', 'event')],
		[table.eventType, valuesOf('Event', 'type')], [table.eventType, valuesOf('Delivery', 'event_type')], [table.configurationStatus, valuesOf('Configuration', 'configuration_status')],
		[table.requestStatus, valuesOf('NumberRequest', 'status')], [table.inventoryStatus, valuesOf('InventoryNumber', 'status')],
		[table.endpointStatus, valuesOf('WebhookEndpoint', 'status')], [table.deliveryStatus, valuesOf('Delivery', 'status')],
		[table.deliveryError, valuesOf('Delivery', 'last_error')], [table.numberType, valuesOf('InventoryNumber', 'number_type')],
		[table.transport, valuesOf('Trunk', 'transport')], [table.scope, valuesOf('Key', 'scopes')], [table.transferStatus, valuesOf('Transfer', 'status')],
		[table.problem, valuesOf('Problem', 'code')], [table.direction, valuesOf('Call', 'direction')],
	];
	for (const [known, values] of rows) for (const value of values) assert.ok(Object.hasOwn(known, value), 'no words for ' + value);
	assert.deepEqual(table.webhookEvents, valuesOf('CreateWebhookEndpointRequest', 'events'));
});

test('a value that the console does not know is readable', () => {
	assert.equal(words(table.callStatus, 'on_hold'), 'On hold');
	assert.equal(words(table.callStatus, 'toString'), 'Tostring');
	assert.equal(words(table.cause, null), '');
	assert.equal(table.tone(table.callStatus, 'on_hold'), 'idle');
	assert.equal(table.sip(486), 'SIP 486 Busy here');
	assert.equal(table.sip(499), 'SIP 499');
});

test('an exported cell is no formula and ends no row', () => {
	assert.equal(csv(['a', 'b'], [{ a: '=1+1', b: '+14155550100' }, { a: 'x,"y"\nz', b: null }]), 'a,b\r\n\'=1+1,+14155550100\r\n"x,""y""\nz",\r\n');
});

test('the libraries are those that LICENSES.md names', () => {
	const vendor = new URL('../vendor/', import.meta.url);
	const licenses = readFileSync(new URL('LICENSES.md', vendor), 'utf8');
	for (const name of readdirSync(vendor)) {
		if (name === 'LICENSES.md') continue;
		const sum = createHash('sha256').update(readFileSync(new URL(name, vendor))).digest('hex');
		assert.ok(licenses.includes(`| \`${name}\``) && licenses.includes(sum), name + ' is not as LICENSES.md says');
	}
});

test('no page turns text into markup', () => {
	const root = new URL('../', import.meta.url);
	for (const folder of ['', 'core/', 'parts/', 'pages/']) {
		for (const name of readdirSync(new URL(folder || '.', root)).filter(file => file.endsWith('.js'))) {
			const source = readFileSync(new URL(folder + name, root), 'utf8');
			assert.doesNotMatch(source, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, folder + name);
		}
	}
});

test('index.html loads each module early, and has no inline script or style', () => {
	const root = new URL('../', import.meta.url);
	const page = readFileSync(new URL('index.html', root), 'utf8');
	for (const folder of ['core', 'parts', 'pages']) {
		for (const name of readdirSync(new URL(folder, root)).filter(file => file.endsWith('.js'))) assert.ok(page.includes(`/console/${folder}/${name}"`), folder + '/' + name);
	}
	assert.doesNotMatch(page, /<style|style=|<script>|onclick/);
});
