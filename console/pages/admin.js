// @ts-check
// The pages for administrators. Only the role admin sees them, and the API checks it.
import { html } from '../core/view.js';
import { usePlace } from '../core/router.js';
import { Title, Tabs } from '../parts/basics.js';
import { Requests } from './adminrequests.js';
import { Inventory } from './admininventory.js';
import { Users, User } from './adminusers.js';
import { AllCalls, Switch, Audit } from './adminoperation.js';

const tabs = [
	{ href: '/console/admin/requests', word: 'Requests' }, { href: '/console/admin/inventory', word: 'Inventory' }, { href: '/console/admin/users', word: 'Users' },
	{ href: '/console/admin/calls', word: 'Active calls' }, { href: '/console/admin/switch', word: 'Switch' }, { href: '/console/admin/audit', word: 'Audit' },
];

/** @param {{tab: string}} props */
export function Administration({ tab }) {
	const { user } = usePlace().query;
	if (tab === 'users' && user) return html`<${User} key=${user} userId=${user} />`;
	return html`<${Title} text="Administration" /><${Tabs} label="Administration" tabs=${tabs} />
		${tab === 'inventory' ? html`<${Inventory} />` : tab === 'users' ? html`<${Users} />` : tab === 'calls' ? html`<${AllCalls} />`
			: tab === 'switch' ? html`<${Switch} />` : tab === 'audit' ? html`<${Audit} />` : html`<${Requests} />`}`;
}
