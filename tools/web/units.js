// SPDX-License-Identifier: GPL-2.0-or-later
// Numbers as people read them.

function scaled(v, digits) {
	if (v == null)
		return '–';
	const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
	let i = 0;
	while (Math.abs(v) >= 1024 && i < 5) {
		v /= 1024;
		i++;
	}
	return (i ? digits(v) : v) + units[i];
}

export const formatBytes = (v) => scaled(v, (x) => x.toFixed(2));
/** Without zeros at the end: for axes. */
export const formatShort = (v) => scaled(v, (x) => +x.toFixed(2));

export const formatCount = (v) => (v == null ? '–' : Math.round(v).toLocaleString('en'));
export const formatValue = (v, unit) => (unit === 'bytes' ? formatBytes(v) : formatCount(v));
export const formatPercent = (v, all) => (all ? `${((100 * v) / Math.abs(all)).toFixed(2)}%` : '');

const two = (n) => String(n).padStart(2, '0');
export const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
export const day = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;

/** "+0100": what the reader's clock is ahead of UTC by. */
function zone(d) {
	const off = -d.getTimezoneOffset(), min = Math.abs(off);
	return `${off < 0 ? '-' : '+'}${two(Math.floor(min / 60))}${two(min % 60)}`;
}

/** The reader's time zone, which is stated, but no language's habits. */
export function formatTime(ms) {
	const d = new Date(ms);
	return ms == null || Number.isNaN(d.getTime()) ? '–' : `${day(d)} ${clock(d)} ${zone(d)}`;
}

/** "1 frame", "2,000 frames". */
export const counted = (n, one, many = `${one}s`) => `${formatCount(n)} ${n === 1 ? one : many}`;

export function formatSeconds(s) {
	if (s < 120)
		return `${+s.toFixed(1)} s`;
	return s < 7200 ? `${+(s / 60).toFixed(1)} min` : `${+(s / 3600).toFixed(1)} h`;
}
