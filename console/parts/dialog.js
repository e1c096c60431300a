// @ts-check
// Dialogs: the browser's own element keeps the focus inside and closes with Escape.
import { html, createStore, useStore, useState, useRef, useLayoutEffect } from '../core/view.js';
import { newKey } from '../core/api.js';
import { Failure } from './states.js';

const open = createStore(/** @type {{id: number, body: () => any}[]} */ ([]));
let last = 0;

/** show opens a dialog. body draws it, and close closes it. @param {(close: () => void) => any} body */
export function show(body) {
	const id = ++last;
	const close = () => open.set(open.get().filter(dialog => dialog.id !== id));
	open.set([...open.get(), { id, body: () => body(close) }]);
	return close;
}

/** closeAll closes what is open, when the page changes. */
export const closeAll = () => { if (open.get().length) open.set([]); };

/** Dialogs is the place of the open dialogs. */
export function Dialogs() {
	return useStore(open).map(({ id, body }) => html`<${Body} key=${id} body=${body} />`);
}

/** @param {{body: () => any}} props */
const Body = ({ body }) => body();

/**
 * Dialog is a modal window with a title.
 * @param {{title: string, close: () => void, wide?: boolean, keep?: boolean, children?: any}} props
 */
export function Dialog({ title, close, wide, keep, children }) {
	const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
	const id = useRef('dialog-' + Math.random().toString(36).slice(2)).current;
	useLayoutEffect(() => {
		const dialog = /** @type {HTMLDialogElement} */ (element.current);
		dialog.showModal();
		return () => dialog.close(); // gives the focus back to where it was
	}, []);
	useLayoutEffect(() => { // the next step of a dialog has taken the field with the focus away
		if (!element.current?.contains(document.activeElement)) element.current?.querySelector('h2')?.focus();
	}, [title]);
	const cancel = (/** @type {Event} */ event) => {
		event.preventDefault();
		if (!keep) close();
	};
	// The browser closes a dialog at the second Escape in a row, without asking.
	const closed = (/** @type {any} */ event) => {
		if (!event.currentTarget.isConnected) return;
		if (keep) event.currentTarget.showModal();
		else close();
	};
	return html`<dialog ref=${element} class=${wide ? 'wide' : ''} aria-labelledby=${id} onCancel=${cancel} onClose=${closed}>
		<h2 id=${id} tabindex="-1">${title}</h2>${children}</dialog>`;
}

/**
 * useAction runs an action of the user once, and keeps its Idempotency-Key while its input stays
 * the same, so that "try again" cannot do anything twice.
 * @param {(key: string) => Promise<any>} act
 */
export function useAction(act) {
	const [state, setState] = useState({ busy: false, error: /** @type {any} */ (null) });
	const key = useRef({ key: '', sent: '' });
	const running = useRef(false);
	const run = async (/** @type {any} */ input) => {
		if (running.current) return undefined; // a second click comes before the button is drawn as busy
		running.current = true;
		const sent = JSON.stringify(input ?? null);
		if (!key.current.key || key.current.sent !== sent) key.current = { key: newKey(), sent };
		setState({ busy: true, error: null });
		try {
			const answer = await act(key.current.key);
			key.current.key = '';
			setState({ busy: false, error: null });
			return answer;
		} catch (error) {
			setState({ busy: false, error });
			return undefined;
		} finally {
			running.current = false;
		}
	};
	return { ...state, run };
}

/**
 * confirm asks before something that cannot be taken back.
 * @param {{title: string, text: any, button: string, danger?: boolean, act: (key: string) => Promise<any>, done?: (answer: any) => void}} question
 */
export function confirm(question) {
	show(close => html`<${Confirm} ...${question} close=${close} />`);
}

/** @param {any} props */
function Confirm({ title, text, button, danger, act, done, close }) {
	const action = useAction(async key => ({ answer: await act(key) }));
	const submit = async (/** @type {Event} */ event) => {
		event.preventDefault();
		const result = await action.run(null);
		if (!result) return;
		close();
		done?.(result.answer);
	};
	return html`<${Dialog} title=${title} close=${close}><form onSubmit=${submit}>
		<div class="prose">${text}</div><${Failure} error=${action.error} />
		<div class="buttons"><button type="button" onClick=${close}>Cancel</button>
		<button type="submit" class=${danger ? 'danger' : 'primary'} disabled=${action.busy}>${action.busy ? 'Please wait …' : button}</button></div></form><//>`;
}
