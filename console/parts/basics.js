// @ts-check
// Small parts that all pages use.
import { html, useState, useEffect, useLayoutEffect, useRef } from '../core/view.js';
import { phone, countryName, utc, dateTime, clock, duration } from '../core/format.js';
import { words, tone } from '../core/words.js';
import { moved } from '../core/router.js';
import { now } from '../core/api.js';
import { announce } from './toast.js';

/** Status is a colored dot with its word. @param {{table: any, value: string}} props */
export function Status({ table, value }) {
	return html`<span class="status ${tone(table, value)}"><span class="dot" aria-hidden="true"></span>${words(table, value)}</span>`;
}

/**
 * Phone is a number in groups, with its country.
 * @param {{number: string | null | undefined, country?: string}} props
 */
export function Phone({ number, country }) {
	const { text, country: found } = phone(number);
	const code = country || found;
	return html`<span class="phone"><bdi>${text}</bdi>${code && html` <abbr title=${countryName(code)}>${code}</abbr>`}</span>`;
}

/**
 * Time is in the reader's zone, with UTC on hover.
 * @param {{at: string | null | undefined, style?: 'clock'}} props
 */
export function Time({ at, style }) {
	if (!at) return html`<span class="muted">–</span>`;
	return html`<time datetime=${at} title=${utc(at)}>${style === 'clock' ? clock(at) : dateTime(at)}</time>`;
}

/** Clock counts the seconds since a time. @param {{since: string}} props */
export function Clock({ since }) {
	const [, draw] = useState(0);
	useEffect(() => {
		const timer = setInterval(() => draw(Date.now()), 500);
		return () => clearInterval(timer);
	}, []);
	return html`<span class="number" role="timer">${duration((now() - Date.parse(since)) / 1000)}</span>`;
}

/** Id is an identifier that can be copied. @param {{value: string}} props */
export function Id({ value }) {
	return html`<span class="id"><code>${value}</code> <${Copy} text=${value} what="the id" /></span>`;
}

/** Copy is a button that copies text. @param {{text: string, what: string, label?: string}} props */
export function Copy({ text, what, label }) {
	const [done, setDone] = useState(false);
	const copy = async () => {
		await navigator.clipboard.writeText(text);
		setDone(true);
		announce('Copied ' + what + '.');
		setTimeout(() => setDone(false), 1500);
	};
	return html`<button type="button" class="quiet small" aria-label=${'Copy ' + what} onClick=${copy}>${done ? 'Copied' : label || 'Copy'}</button>`;
}

/** Code is a block of code that can be copied. @param {{text: string, label: string}} props */
export function Code({ text, label }) {
	return html`<div class="code"><pre tabindex="0" role="region" aria-label=${label}>${text}</pre><${Copy} text=${text} what=${label.toLowerCase()} /></div>`;
}

/** Curl shows the request behind a page as a command line. @param {{text: string, label?: string}} props */
export function Curl({ text, label }) {
	return html`<details class="curl"><summary>${label || 'The same with curl'}</summary><${Code} text=${text} label="Command line" /></details>`;
}

/**
 * Facts is a list of names and values. Values that are empty are left out.
 * @param {{rows: [string, any][]}} props
 */
export function Facts({ rows }) {
	return html`<dl class="facts">${rows.filter(([, value]) => value !== undefined && value !== null && value !== '')
		.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/**
 * Tabs are links to the parts of a page.
 * @param {{label: string, tabs: {href: string, word: string}[]}} props
 */
export function Tabs({ label, tabs }) {
	const here = location.pathname.replace(/\/+$/, '');
	return html`<nav class="tabs" aria-label=${label}>${tabs.map(({ href, word }) => html`
		<a key=${href} href=${href} aria-current=${here === href || here.startsWith(href + '/') ? 'page' : undefined}>${word}</a>`)}</nav>`;
}

/** Title is the head of a page, with its actions. @param {{text: any, note?: any, children?: any}} props */
export function Title({ text, note, children }) {
	const heading = useRef(/** @type {HTMLElement | null} */ (null));
	useLayoutEffect(() => { // it takes the place of the one that had the focus while the page was loading
		if (moved && document.activeElement === document.body) heading.current?.focus();
	}, []);
	return html`<header class="title"><div><h1 ref=${heading} tabindex="-1">${text}</h1>${note && html`<p class="muted">${note}</p>`}</div>
		${children && html`<div class="actions">${children}</div>`}</header>`;
}
