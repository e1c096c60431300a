// @ts-check
// Icons of the navigation. Each is a line drawing in the color of its text.
import { html } from '../core/view.js';

/** @type {Record<string, string>} */
const shapes = {
	overview: 'M2.5 13.5v-5h3v5zM6.5 13.5v-11h3v11zM10.5 13.5v-8h3v8z',
	calls: 'M5.2 2.5H3.6c-.7 0-1.2.6-1.1 1.3.5 5 4.7 9.2 9.7 9.7.7.1 1.3-.4 1.3-1.1v-1.6c0-.5-.4-1-.9-1.1l-1.7-.3c-.4-.1-.8.1-1 .4l-.5.8A8.6 8.6 0 0 1 5.4 6.6l.8-.5c.3-.2.5-.6.4-1L6.3 3.4c-.1-.5-.6-.9-1.1-.9z',
	numbers: 'M6.5 2.5l-1 11M10.5 2.5l-1 11M3 6h10.5M2.5 10H13',
	campaigns: 'M2.5 6.5v3h2l6 3.5v-10l-6 3.5zM12.5 6.5v3',
	blocked: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM4.2 4.2l7.6 7.6',
	developers: 'M5.5 4.5L2 8l3.5 3.5M10.5 4.5L14 8l-3.5 3.5',
	admin: 'M8 1.8l5 2v4c0 3-2.1 5.3-5 6.4-2.9-1.1-5-3.4-5-6.4v-4z',
	menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
	outbound: 'M5 11l6-6M6 5h5v5',
	inbound: 'M11 5l-6 6M10 11H5V6',
};

/** Icon is decoration: the text beside it has the meaning. @param {{name: string}} props */
export function Icon({ name }) {
	return html`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.4"
		stroke-linejoin="round" stroke-linecap="round" aria-hidden="true"><path d=${shapes[name]} /></svg>`;
}
