// @ts-check
// The pages for programmers: keys, webhooks, events and limits.
import { html } from '../core/view.js';
import { Title, Tabs } from '../parts/basics.js';
import { Keys } from './keys.js';
import { Webhooks, Webhook } from './webhooks.js';
import { Events } from './events.js';
import { Limits } from './limits.js';

const tabs = [
	{ href: '/console/developers/keys', word: 'API keys' }, { href: '/console/developers/webhooks', word: 'Webhooks' },
	{ href: '/console/developers/events', word: 'Events' }, { href: '/console/developers/limits', word: 'Limits' },
	{ href: '/console/developers/reference', word: 'Reference' },
];

/** @param {{tab: string, rest: string[]}} props */
export function Developers({ tab, rest }) {
	if (tab === 'webhooks' && rest[0]) return html`<${Webhook} key=${rest[0]} endpointId=${rest[0]} />`;
	return html`<${Title} text="Developers" /><${Tabs} label="Developers" tabs=${tabs} />
		${tab === 'webhooks' ? html`<${Webhooks} />` : tab === 'events' ? html`<${Events} />` : tab === 'limits' ? html`<${Limits} />` : tab === 'reference' ? html`<${Reference} />` : html`<${Keys} />`}`;
}

function Reference() {
	return html`<section class="prose"><h2>Reference</h2>
		<p>The API is described by <code>openapi.json</code> in the platform’s repository, from which clients in most languages can be generated. Its guides are in the folder <code>docs</code>: calls, numbers, agents, webhooks, events, limits and errors.</p>
		<p>Requests go to <code>${location.origin}</code> with an <a href="/console/developers/keys">API key</a>. Each page of this console shows its request as a command line.</p></section>`;
}
