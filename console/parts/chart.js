// @ts-check
// Charts: days as stacked bars by uPlot, shares as bars of HTML. Each has its numbers as text.
import { html, useRef, useEffect } from '../core/view.js';
import { shortDate, count, percent } from '../core/format.js';

/** @type {Promise<any> | null} */
let loading = null;

/** loadPlot adds uPlot to the page, at the first chart. */
function loadPlot() {
	loading ||= new Promise((resolve, reject) => {
		const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: '/console/vendor/uPlot.min.css' });
		const script = Object.assign(document.createElement('script'), { src: '/console/vendor/uPlot.iife.min.js' });
		script.onload = () => resolve(/** @type {any} */ (window).uPlot);
		script.onerror = () => {
			loading = null;
			reject(new Error('The chart could not be loaded.'));
		};
		document.head.append(style, script);
	});
	return loading;
}

/**
 * Days draws completed and other calls of each day.
 * @param {{days: {date: string, total_calls: number, completed: number}[]}} props
 */
export function Days({ days }) {
	const place = useRef(/** @type {HTMLElement | null} */ (null));
	useEffect(() => {
		let plot = /** @type {any} */ (null);
		let gone = false;
		const draw = async () => {
			const uPlot = await loadPlot();
			if (gone || !place.current) return;
			plot?.destroy();
			plot = new uPlot(options(uPlot, place.current.clientWidth, days), series(days), place.current);
		};
		const again = () => { draw().catch(() => {}); };
		const resize = new ResizeObserver(again);
		if (place.current) resize.observe(place.current);
		const dark = matchMedia('(prefers-color-scheme: dark)');
		dark.addEventListener('change', again);
		addEventListener('kros-theme', again);
		return () => {
			gone = true;
			resize.disconnect();
			dark.removeEventListener('change', again);
			removeEventListener('kros-theme', again);
			plot?.destroy();
		};
	}, [JSON.stringify(days)]);
	const total = days.reduce((sum, day) => sum + day.total_calls, 0);
	return html`<figure class="chart"><figcaption class="legend"><span class="key completed">Completed</span><span class="key other">Other ends</span></figcaption>
		<div class="plot" ref=${place} role="img" aria-label=${`Calls per day over ${days.length} days, ${count(total)} in all`}></div>
		<details><summary>The numbers</summary><div class="table"><table><thead><tr><th scope="col">Day (UTC)</th><th scope="col" class="number">Completed</th><th scope="col" class="number">Other ends</th></tr></thead>
		<tbody>${days.filter(day => day.total_calls).map(day => html`<tr key=${day.date}><td>${shortDate(day.date)}</td><td class="number">${count(day.completed)}</td>
			<td class="number">${count(day.total_calls - day.completed)}</td></tr>`)}</tbody></table></div></details></figure>`;
}

/** @param {{total_calls: number, completed: number}[]} days */
function series(days) {
	return [days.map((_, i) => i), days.map(day => day.total_calls), days.map(day => day.completed)];
}

/** @param {string} name */
const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @param {any} uPlot @param {number} width @param {{date: string}[]} days */
function options(uPlot, width, days) {
	const bars = uPlot.paths.bars({ size: [0.7, 28], radius: 0.1 });
	const axis = { stroke: color('--muted'), font: '12px system-ui', ticks: { show: false } };
	const every = Math.ceil(days.length / Math.max(2, Math.floor(width / 70)));
	return {
		width, height: 200, legend: { show: false }, cursor: { show: false }, padding: [8, 22, 0, 0],
		scales: { x: { time: false, range: [-0.6, days.length - 0.4] }, y: { range: (/** @type {any[]} */ ...[, , high]) => [0, Math.max(4, high * 1.1)] } },
		axes: [
			{ ...axis, grid: { show: false }, splits: () => days.map((_, i) => i).filter(i => (days.length - 1 - i) % every === 0), values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(i => shortDate(days[i].date)) },
			{ ...axis, size: 44, grid: { stroke: color('--line'), width: 1 }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000], values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(count) },
		],
		series: [{}, { paths: bars, fill: color('--chart-other'), width: 0, points: { show: false } }, { paths: bars, fill: color('--chart-completed'), width: 0, points: { show: false } }],
	};
}

/**
 * Shares lists parts of a whole with a bar each.
 * @param {{rows: {key: string, word: any, value: number, note?: any}[], label: string}} props
 */
export function Shares({ rows, label }) {
	const total = rows.reduce((sum, row) => sum + row.value, 0) || 1;
	return html`<ul class="shares" aria-label=${label}>${rows.map(row => html`<li key=${row.key}><span class="word">${row.word}</span>
		<span class="value number">${count(row.value)} <span class="muted">${row.note || percent(row.value / total)}</span></span>
		<span class="track" aria-hidden="true"><span style=${{ width: row.value / total * 100 + '%' }}></span></span></li>`)}</ul>`;
}
