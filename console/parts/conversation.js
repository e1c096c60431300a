// @ts-check
// A transcript as a conversation. What strangers say is shown as text only.
import { html, useRef, useLayoutEffect } from '../core/view.js';
import { Time } from './basics.js';

/** @typedef {{role: string, content: string, at: string}} Turn */

/**
 * Conversation shows turns in the order in which they were spoken. It stays at the end while the
 * reader is at the end.
 * @param {{turns: Turn[], live: boolean}} props
 */
export function Conversation({ turns, live }) {
	const list = useRef(/** @type {HTMLElement | null} */ (null));
	const atEnd = useRef(true);
	useLayoutEffect(() => {
		if (list.current && atEnd.current && live) list.current.scrollTop = list.current.scrollHeight;
	}, [turns.length]);
	const scroll = () => {
		const element = list.current;
		if (element) atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
	};
	return html`<div class="conversation" ref=${list} onScroll=${scroll} role="log" aria-live=${live ? 'polite' : 'off'} aria-label="Transcript" tabindex="0"><ol>
		${turns.map((turn, i) => html`<li key=${i} class=${turn.role === 'agent' ? 'agent' : 'phone'}>
			<p class="speaker">${turn.role === 'agent' ? 'Agent' : turn.role === 'callee' ? 'Phone' : turn.role} <${Time} at=${turn.at} style="clock" /></p>
			<p class="said" dir="auto">${turn.content}</p></li>`)}</ol></div>`;
}
