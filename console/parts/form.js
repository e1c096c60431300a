// @ts-check
// Fields with labels, hints and the errors that the API names.
import { html, useState, useRef } from '../core/view.js';
import { countryCodes, countryName } from '../core/format.js';
import { Problem } from '../core/api.js';
import { sentence } from './states.js';

/**
 * useFields holds the values of a form.
 * @template {Record<string, any>} T
 * @param {T} initial
 */
export function useFields(initial) {
	const [values, setValues] = useState(initial);
	/** @param {string} name */
	const bind = name => ({
		name, value: values[name],
		set: (/** @type {any} */ value) => setValues((/** @type {T} */ old) => ({ ...old, [name]: value })),
	});
	return { values: /** @type {T} */ (values), bind, setValues };
}

/** fieldError is the API's sentence about one field. @param {any} error @param {string} field */
export function fieldError(error, field) {
	if (!(error instanceof Problem)) return '';
	return error.errors.filter(e => e.field === field || e.field === 'body.' + field || e.field.startsWith(field + '[') || e.field.startsWith(field + '.'))
		.map(e => sentence(e.detail)).join(' ');
}

let made = 0;

/** useId is an id for a label, the same at each drawing. */
function useId() {
	const id = useRef('');
	if (!id.current) id.current = 'field-' + (++made);
	return id.current;
}

/**
 * Field is one line of text, or another input, with its label.
 * @param {{field: {name: string, value: any, set: (value: any) => void}, label: string, hint?: any, error?: any, path?: string, type?: string,
 *   required?: boolean, lines?: number, attributes?: Record<string, any>}} props
 */
export function Field({ field, label, hint, error, path, type = 'text', required, lines, attributes }) {
	const id = useId();
	const wrong = fieldError(error, path || field.name);
	const described = [hint && id + '-hint', wrong && id + '-error'].filter(Boolean).join(' ') || undefined;
	const common = {
		id, name: field.name, value: field.value, required, 'aria-invalid': wrong ? 'true' : undefined, 'aria-describedby': described,
		onInput: (/** @type {any} */ event) => field.set(event.target.value), autocomplete: 'off', ...attributes,
	};
	return html`<div class="field"><label for=${id}>${label}${!required && html` <span class="muted">optional</span>`}</label>
		${lines ? html`<textarea rows=${lines} ...${common}></textarea>` : html`<input type=${type} ...${common} />`}
		<${Notes} id=${id} hint=${hint} wrong=${wrong} /></div>`;
}

/**
 * Select is a choice of one.
 * @param {{field: {name: string, value: any, set: (value: any) => void}, label: string, options: [string, string][], hint?: any, error?: any, path?: string}} props
 */
export function Select({ field, label, options, hint, error, path }) {
	const id = useId();
	const wrong = fieldError(error, path || field.name);
	return html`<div class="field"><label for=${id}>${label}</label>
		<select id=${id} name=${field.name} value=${field.value} aria-describedby=${hint ? id + '-hint' : undefined} onChange=${(/** @type {any} */ event) => field.set(event.target.value)}>
		${options.map(([value, word]) => html`<option key=${value} value=${value} selected=${value === field.value}>${word}</option>`)}</select>
		<${Notes} id=${id} hint=${hint} wrong=${wrong} /></div>`;
}

/** Country is a choice of one country. @param {any} props */
export function Country(props) {
	const options = [['', props.none || 'Any'], ...countryCodes().map(code => [code, `${countryName(code)} (${code})`])];
	return html`<${Select} ...${props} options=${options} />`;
}

/**
 * Checks is a choice of several.
 * @param {{field: {name: string, value: string[], set: (value: string[]) => void}, label: string, options: [string, string, string?][], hint?: any, error?: any}} props
 */
export function Checks({ field, label, options, hint, error }) {
	const id = useId();
	const wrong = fieldError(error, field.name);
	const toggle = (/** @type {string} */ value) => field.set(field.value.includes(value) ? field.value.filter(v => v !== value) : [...field.value, value]);
	return html`<fieldset class="field" aria-describedby=${wrong ? id + '-error' : undefined}><legend>${label}</legend>
		<div class="checks">${options.map(([value, word, note]) => html`<label key=${value} class="check">
			<input type="checkbox" name=${field.name} value=${value} checked=${field.value.includes(value)} onChange=${() => toggle(value)} />
			<span>${word}${note && html`<span class="muted note">${note}</span>`}</span></label>`)}</div>
		<${Notes} id=${id} hint=${hint} wrong=${wrong} /></fieldset>`;
}

/** Check is a single yes or no. @param {{field: {name: string, value: boolean, set: (value: boolean) => void}, label: any, required?: boolean}} props */
export function Check({ field, label, required }) {
	return html`<label class="check"><input type="checkbox" name=${field.name} checked=${field.value} required=${required}
		onChange=${(/** @type {any} */ event) => field.set(event.target.checked)} /><span>${label}</span></label>`;
}

/** @param {{id: string, hint?: any, wrong?: string}} props */
function Notes({ id, hint, wrong }) {
	return html`${hint && html`<p class="hint" id=${id + '-hint'}>${hint}</p>`}${wrong && html`<p class="wrong" id=${id + '-error'}>${wrong}</p>`}`;
}

/** given leaves out members that are empty. @param {Record<string, any>} values */
export function given(values) {
	return Object.fromEntries(Object.entries(values).filter(([, value]) =>
		value !== '' && value !== undefined && value !== null && !(Array.isArray(value) && !value.length) && !Number.isNaN(value)));
}

/** whole is a number, or nothing for an empty field. @param {string | number} text */
export const whole = text => text === '' || text === undefined || text === null ? undefined : Number(text);

/** lines splits a text into its words, one a line or with commas between them. @param {string} text */
export const lines = text => text.split(/[\s,;]+/).filter(Boolean);
