// @ts-check
// A table with a sticky head. A long one draws only the rows that can be seen.
import { html, useState, useRef, useLayoutEffect } from '../core/view.js';

const many = 200; // rows from which only the visible ones are drawn
const rowHeight = 41;
const spare = 10; // rows that are drawn above and below the visible ones

/** @typedef {{name: any, cell: (row: any) => any, kind?: 'number' | 'actions', hide?: 'narrow' | 'medium', label?: string}} Column */

/**
 * Table draws rows. href makes a row a link, which its first cell holds.
 * @param {{label: string, columns: Column[], rows: any[], id: (row: any) => string, href?: (row: any) => string}} props
 */
export function Table({ label, columns, rows, id, href }) {
	const frame = useRef(/** @type {HTMLElement | null} */ (null));
	const [view, setView] = useState({ top: 0, height: 800 });
	const long = rows.length > many;
	useLayoutEffect(() => {
		if (long && frame.current) setView({ top: frame.current.scrollTop, height: frame.current.clientHeight });
	}, [long]);
	const from = long ? Math.max(0, Math.floor(view.top / rowHeight) - spare) : 0;
	const to = long ? Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + spare) : rows.length;
	const scroll = (/** @type {any} */ event) => setView({ top: event.target.scrollTop, height: event.target.clientHeight });
	return html`<div class=${'table' + (long ? ' long' : '')} ref=${frame} onScroll=${long ? scroll : undefined}
			role=${long ? 'region' : undefined} aria-label=${long ? label : undefined} tabindex=${long ? 0 : undefined}>
		<table aria-label=${label} aria-rowcount=${rows.length + 1}>
		<thead><tr>${columns.map((column, i) => html`<th key=${i} scope="col" class=${classOf(column)}>${column.name || html`<span class="hidden">${column.label}</span>`}</th>`)}</tr></thead>
		<tbody>${from > 0 && html`<tr aria-hidden="true" class="space" key="above"><td colspan=${columns.length} style=${{ height: from * rowHeight + 'px' }}></td></tr>`}
		${rows.slice(from, to).map((row, i) => html`<${Row} key=${id(row)} row=${row} columns=${columns} href=${href?.(row)} index=${from + i + 2} />`)}
		${to < rows.length && html`<tr aria-hidden="true" class="space" key="below"><td colspan=${columns.length} style=${{ height: (rows.length - to) * rowHeight + 'px' }}></td></tr>`}</tbody>
		</table></div>`;
}

/** @param {{row: any, columns: Column[], href?: string, index: number}} props */
function Row({ row, columns, href, index }) {
	return html`<tr aria-rowindex=${index} class=${href ? 'link' : ''}>${columns.map((column, i) => html`
		<td key=${i} class=${classOf(column)}>${href && i === 0 ? html`<a class="row" href=${href}>${column.cell(row)}</a>` : column.cell(row)}</td>`)}</tr>`;
}

/** @param {Column} column */
function classOf(column) {
	return [column.kind, column.hide && 'hide-' + column.hide].filter(Boolean).join(' ');
}

/**
 * More loads the next page of a list.
 * @param {{next: any, busy: boolean, load: () => void, shown: number}} props
 */
export function More({ next, busy, load, shown }) {
	return html`<p class="more"><span class="muted">${shown} shown</span>
		${next && html`<button type="button" disabled=${busy} onClick=${load}>${busy ? 'Loading …' : 'Show more'}</button>`}</p>`;
}
