// @ts-check
// How phone numbers, times, durations and counts are written for people.

// The country of each calling code. Codes of several countries name the largest.
const callingCodes = Object.fromEntries((
	'20EG 27ZA 211SS 212MA 213DZ 216TN 218LY 220GM 221SN 222MR 223ML 224GN 225CI 226BF 227NE 228TG 229BJ 230MU 231LR 232SL 233GH ' +
	'234NG 235TD 236CF 237CM 238CV 239ST 240GQ 241GA 242CG 243CD 244AO 245GW 246IO 248SC 249SD 250RW 251ET 252SO 253DJ 254KE ' +
	'255TZ 256UG 257BI 258MZ 260ZM 261MG 262RE 263ZW 264NA 265MW 266LS 267BW 268SZ 269KM 290SH 291ER 297AW 298FO 299GL 30GR ' +
	'31NL 32BE 33FR 34ES 350GI 351PT 352LU 353IE 354IS 355AL 356MT 357CY 358FI 359BG 36HU 370LT 371LV 372EE 373MD 374AM 375BY ' +
	'376AD 377MC 378SM 380UA 381RS 382ME 383XK 385HR 386SI 387BA 389MK 39IT 40RO 41CH 420CZ 421SK 423LI 43AT 44GB 45DK 46SE ' +
	'47NO 48PL 49DE 500FK 501BZ 502GT 503SV 504HN 505NI 506CR 507PA 508PM 509HT 51PE 52MX 53CU 54AR 55BR 56CL 57CO 58VE 590GP ' +
	'591BO 592GY 593EC 594GF 595PY 596MQ 597SR 598UY 599CW 60MY 61AU 62ID 63PH 64NZ 65SG 66TH 670TL 672NF 673BN 674NR 675PG ' +
	'676TO 677SB 678VU 679FJ 680PW 681WF 682CK 683NU 685WS 686KI 687NC 688TV 689PF 690TK 691FM 692MH 7RU 81JP 82KR 84VN 850KP ' +
	'852HK 853MO 855KH 856LA 86CN 880BD 886TW 90TR 91IN 92PK 93AF 94LK 95MM 960MV 961LB 962JO 963SY 964IQ 965KW 966SA 967YE ' +
	'968OM 970PS 971AE 972IL 973BH 974QA 975BT 976MN 977NP 992TJ 993TM 994AZ 995GE 996KG 998UZ'
).split(' ').map(entry => [entry.slice(0, -2), entry.slice(-2)]));

// The area codes of +1 that are not in the United States.
const areaCodes = Object.fromEntries(Object.entries({
	CA: '204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 387 403 416 418 428 431 437 438 450 468 474 506 514 519 548 579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905',
	BS: '242', BB: '246', AI: '264', AG: '268', VG: '284', VI: '340', KY: '345', BM: '441', GD: '473', TC: '649', JM: '658 876', MS: '664',
	MP: '670', GU: '671', AS: '684', SX: '721', LC: '758', DM: '767', VC: '784', PR: '787 939', DO: '809 829 849', TT: '868', KN: '869',
}).flatMap(([country, codes]) => codes.split(' ').map(code => [code, country])));

// The groups of digits after the calling code, where people have a habit.
/** @type {Record<string, number[]>} */
const groups = { 1: [3, 3, 4], 234: [3, 3, 4], 27: [2, 3, 4], 33: [1, 2, 2, 2, 2], 44: [4, 6], 254: [3, 6], 233: [2, 3, 4], 91: [5, 5], 55: [2, 5, 4] };

const regionNames = new Intl.DisplayNames(['en'], { type: 'region' });

/**
 * phone splits a number in E.164 for reading. Anything else is shown as it is.
 * @param {string | null | undefined} number
 * @returns {{text: string, country: string}}
 */
export function phone(number) {
	const digits = /^\+([1-9]\d{6,14})$/.exec(number || '')?.[1];
	if (!digits) return { text: number === 'anonymous' ? 'Withheld number' : number || '', country: '' };
	const code = callingCode(digits);
	if (!code) return { text: '+' + digits, country: '' };
	const national = digits.slice(code.length);
	return { text: '+' + code + ' ' + grouped(national, groups[code]), country: countryOf(code, national) };
}

/** @param {string} digits */
function callingCode(digits) {
	if (digits[0] === '1') return '1';
	return [3, 2, 1].map(n => digits.slice(0, n)).find(code => callingCodes[code]) || '';
}

/** @param {string} code @param {string} national */
function countryOf(code, national) {
	if (code !== '1') return code === '7' && /^[67]/.test(national) ? 'KZ' : callingCodes[code];
	if (/^8(00|33|44|55|66|77|88)/.test(national)) return '';
	return areaCodes[national.slice(0, 3)] || 'US';
}

/** @param {string} national @param {number[]} [sizes] */
function grouped(national, sizes) {
	if (!sizes || sizes.reduce((a, b) => a + b) !== national.length) {
		const first = national.slice(0, -4);
		return (first.length > 4 ? first.replace(/(\d{3})(?=\d)/g, '$1 ') : first) + ' ' + national.slice(-4);
	}
	let at = 0;
	return sizes.map(size => national.slice(at, at += size)).join(' ');
}

/** countryName is the name of an ISO 3166-1 code. @param {string} code */
export function countryName(code) {
	if (!code || code === 'ZZ') return 'Unknown country';
	try {
		return regionNames.of(code) || code;
	} catch {
		return code;
	}
}

/** countryCodes are those that have a calling code, in the order of their names. */
export function countryCodes() {
	const codes = new Set(['US', ...Object.values(callingCodes), ...Object.values(areaCodes)]);
	return [...codes].sort((a, b) => countryName(a).localeCompare(countryName(b)));
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const dayFormat = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' });
const yearFormat = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric' });

/** utc is the time for the title, such as 2026-11-22 09:30:00 UTC. @param {string} iso */
export function utc(iso) {
	return iso.slice(0, 19).replace('T', ' ') + ' UTC';
}

/** dateTime is the time in the reader's zone, without the date if it is today. @param {string} iso */
export function dateTime(iso) {
	const at = new Date(iso);
	const now = new Date();
	if (at.toDateString() === now.toDateString()) return clockFormat.format(at);
	const day = at.getFullYear() === now.getFullYear() ? dayFormat : yearFormat;
	return day.format(at) + ', ' + clockFormat.format(at).slice(0, 5);
}

/** clock is the time of day in the reader's zone. @param {string} iso */
export const clock = iso => clockFormat.format(new Date(iso));

/** date is a day, such as 22 Nov 2026. @param {string} iso */
export const date = iso => yearFormat.format(new Date(iso));

/** shortDate is a UTC day of a chart. @param {string} day */
export function shortDate(day) {
	return new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', timeZone: 'UTC' }).format(new Date(day + 'T00:00:00Z'));
}

/** duration is 0:07, 12:30 or 1:02:03. @param {number} seconds */
export function duration(seconds) {
	const whole = Math.max(0, Math.floor(seconds));
	const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
	const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
	return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** spoken is a span in words, such as 30 minutes or 1 hour 5 minutes. @param {number} seconds */
export function spoken(seconds) {
	const parts = [[Math.floor(seconds / 3600), 'hour'], [Math.floor(seconds / 60) % 60, 'minute'], [Math.floor(seconds) % 60, 'second']];
	const shown = parts.filter(([n]) => n).slice(0, 2).map(([n, unit]) => `${n} ${unit}${n === 1 ? '' : 's'}`);
	return shown.join(' ') || '0 seconds';
}

const counts = new Intl.NumberFormat('en');

/** count is a number with separators. @param {number} n */
export const count = n => counts.format(n);

/** percent is a share of 1. @param {number} share */
export const percent = share => new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 }).format(share);
