// @ts-check
// Pages of features that this platform does not have yet. They say so, and what serves meanwhile.
import { html } from '../core/view.js';
import { curl } from '../core/api.js';
import { Title } from '../parts/basics.js';
import { Empty } from '../parts/states.js';

/** Campaigns is the page of calls to many recipients. */
export function Campaigns() {
	return html`<${Title} text="Campaigns" />
		<${Empty} title="Campaigns are not enabled" curl=${curl('POST', '/outbound-calls/create', { phone_number: '+14155550100', metadata: { campaign: 'spring' } })}
			text=${html`This version of the platform places one call for each request. A campaign will call a list of recipients at the pace that your limits allow, and show here how far it is, how the calls ended and what holds it back.`}>
			<p>Until then, place calls with a common entry in their metadata, and <a href="/console/calls?metadata=campaign%3Dspring">filter the calls by it</a>.</p><//>`;
}

/** DoNotCall is the page of numbers that must not be called. */
export function DoNotCall() {
	return html`<${Title} text="Do not call" />
		<${Empty} title="The do-not-call list is not enabled" text=${html`This version of the platform keeps no list of numbers that must not be called. The list will be checked before each call, and a file of numbers can be added here.`}>
			<p>Until then, check your own list before you place a call. Emergency, service and premium numbers are always refused, and so are countries that your account may not call.</p><//>`;
}
