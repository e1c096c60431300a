// @ts-check
// Short messages that are shown for a while and read aloud.
import { html, createStore, useStore } from '../core/view.js';

const messages = createStore(/** @type {{id: number, text: string}[]} */ ([]));
let last = 0;

/** announce shows a short message. @param {string} text */
export function announce(text) {
	const id = ++last;
	messages.set([...messages.get(), { id, text }].slice(-3));
	setTimeout(() => messages.set(messages.get().filter(message => message.id !== id)), 5000);
}

/** Toasts is the place of the messages. */
export function Toasts() {
	return html`<div class="toasts" role="status" aria-live="polite">${useStore(messages).map(({ id, text }) => html`<p key=${id}>${text}</p>`)}</div>`;
}
