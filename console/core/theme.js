// @ts-check
// The colors: those of the reader's system, or the ones that the reader chose.
import { createStore } from './view.js';

/** @typedef {'system' | 'light' | 'dark'} Theme */

const name = 'kros.theme';

/** @returns {Theme} */
function stored() {
	const value = localStorage.getItem(name);
	return value === 'light' || value === 'dark' ? value : 'system';
}

export const theme = createStore(stored());

/** setTheme chooses the colors and keeps the choice. @param {Theme} value */
export function setTheme(value) {
	localStorage.setItem(name, value);
	theme.set(value);
	applyTheme();
	dispatchEvent(new Event('kros-theme'));
}

/** applyTheme gives the choice to the style sheet. */
export function applyTheme() {
	const value = theme.get();
	if (value === 'system') delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = value;
}
