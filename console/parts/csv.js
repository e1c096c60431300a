// @ts-check
// Files with comma-separated values: written for spreadsheets.

/**
 * csv writes rows. Text that a spreadsheet would take for a formula gets an apostrophe.
 * @param {string[]} columns
 * @param {any[]} rows
 */
export function csv(columns, rows) {
	return [columns, ...rows.map(row => columns.map(column => row[column]))].map(line => line.map(cell).join(',')).join('\r\n') + '\r\n';
}

/** @param {any} value */
function cell(value) {
	let text = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
	if (/^[=+\-@\t\r]/.test(text) && !/^\+\d+$/.test(text)) text = "'" + text;
	return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

/** download gives the reader a file. @param {string} name @param {string} text */
export function download(name, text) {
	const link = document.createElement('a');
	link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }));
	link.download = name;
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
