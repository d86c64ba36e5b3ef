// SPDX-License-Identifier: GPL-2.0-or-later
// Memory over time: RSS by kind stacked with the heap in use over it, VIRT below on its own scale,
// cursors in step, drag to zoom, marks as vertical lines. A process is
// {pid, name, columns {time_unix_ms: [], …}, marks [{time_unix_ms, text}]}; null: not known.
import uPlot from 'uplot';
import { plain } from './plain.js';
import { clock, day, formatShort as format, formatTime } from './units.js';

const screenIsDark = matchMedia('(prefers-color-scheme: dark)');
const PAPER = 690; // pixels that fit across a page of A4 or Letter
let onPaper = false;
/** onchange: draw anew, for another scheme of colours or for paper, which is light and narrow. */
export const dark = { get matches() { return !onPaper && screenIsDark.matches; }, onchange: null };
const changed = () => dark.onchange && dark.onchange();
screenIsDark.addEventListener('change', changed);
for (const [event, paper] of [['beforeprint', true], ['afterprint', false]])
	addEventListener(event, () => {
		onPaper = paper;
		document.documentElement.toggleAttribute('data-paper', paper);
		changed();
	});
/** How wide a chart in host is. */
export const widthIn = (host) => (onPaper ? PAPER : host.clientWidth);
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
	172800, 604800, 1209600, 2419200];
/* anonymous memory is the lowest band: the heap in use, a line from 0, lies in it */
const KINDS = [
	['rss_anon_bytes', 'RSS anonymous', '#d9603b'],
	['rss_shmem_bytes', 'RSS shared', '#4e9a51'],
	['rss_file_bytes', 'RSS file', '#4c78a8'],
];

export const iso = (seconds) => formatTime(seconds == null ? null : seconds * 1000);

/** Ticks at 1, 2, 5, 10, … of binary units. */
export function splits(u, axis, min, max) {
	let unit = 1;
	while (max / unit >= 1536)
		unit *= 1024;
	let step = 10 ** Math.floor(Math.log10(Math.max(max / unit / 5, 1e-9)));
	for (let k = 0; step * 6 * unit < max; k++)
		step *= k % 3 === 1 ? 2.5 : 2;
	const out = [];
	for (let v = 0; v <= max + 1e-9; v += step * unit)
		out.push(v);
	return out;
}

function times(u, values, axis, space, step) {
	return values.map((v) => {
		const d = new Date(v * 1000);
		return step >= 86400 ? day(d).slice(5) : step >= 60 ? clock(d).slice(0, 5) : clock(d);
	});
}

export function marks(list) {
	return {
		hooks: {
			draw: [(u) => {
				const { ctx, bbox } = u;
				ctx.save();
				ctx.strokeStyle = ctx.fillStyle = dark.matches ? '#ff7a9c' : '#b0103c';
				ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
				ctx.setLineDash([4, 3]);
				list.forEach((m, i) => {
					const x = u.valToPos(m.time_unix_ms / 1000, 'x', true);
					if (x < bbox.left || x > bbox.left + bbox.width)
						return;
					ctx.beginPath();
					ctx.moveTo(x, bbox.top);
					ctx.lineTo(x, bbox.top + bbox.height);
					ctx.stroke();
					const right = x > bbox.left + bbox.width * 0.8;
					ctx.textAlign = right ? 'right' : 'left';
					ctx.fillText(plain(m.text), x + (right ? -4 : 4), bbox.top + (12 + (i % 4) * 13) * devicePixelRatio);
				});
				ctx.restore();
			}],
		},
	};
}

export function axes() {
	const grid = { stroke: css('--edge'), width: 1 };
	return [
		{ stroke: css('--dim'), grid, ticks: grid, values: times, incrs: STEPS, space: 80, size: 34 },
		{ stroke: css('--dim'), grid, ticks: grid, size: 78, splits, values: (u, v) => v.map(format) },
	];
}

export const zero = { range: (u, min, max) => [0, max > 0 ? max * 1.05 : 1] };
export const time = { label: 'time', value: (u, v) => iso(v) };
const has = (col) => col && col.some((v) => v != null);

/** Bands one above the other: bands [[column, label, colour]], the lowest first. */
function areas(x, c, bands) {
	const series = [time], rows = [x], sum = new Float64Array(x.length), sums = [];
	for (const [key] of bands) {
		x.forEach((_, j) => { sum[j] += c[key][j] || 0; });
		sums.push([...sum]);
	}
	/* highest sum first, so that each band is painted over the one above it */
	for (let i = bands.length - 1; i >= 0; i--) {
		const [key, label, colour] = bands[i];
		rows.push(sums[i]);
		series.push({ label, stroke: colour, fill: colour, width: 1, points: { show: false },
			value: (u, v, s, at) => format(at == null ? null : c[key][at]) });
	}
	return { series, rows };
}

/* of dark and light grounds alike; the last is for what is summed up */
const BANDS = ['#d9603b', '#4c78a8', '#4e9a51', '#c28a1b', '#8a6ad0', '#2f9c95', '#b0568f', '#7c8794'];
const lineName = (key) => key.slice(7, -6).replaceAll('_', ' ');

/** Where resident bytes belong over time: {x, columns, bands}, the largest lines first and the small
 * ones in one; null: no ledger was read. */
export function ledgerBands(p) {
	const c = p.columns, keys = Object.keys(c).filter((k) => k.startsWith('ledger_') && has(c[k]));
	if (!keys.length)
		return null;
	/* a moment without is one before the first reading, or of another process's peak */
	const at = c.time_unix_ms.map((_, i) => i).filter((i) => keys.some((k) => c[k][i] != null));
	const columns = Object.fromEntries(keys.map((k) => [k, at.map((i) => c[k][i] || 0)]));
	keys.sort((a, b) => Math.max(...columns[b]) - Math.max(...columns[a]));
	const shown = keys.slice(0, BANDS.length - 1).filter((k) => Math.max(...columns[k]) > 0);
	const rest = keys.slice(BANDS.length - 1);
	const bands = shown.map((k, i) => [k, lineName(k), BANDS[i]]);
	if (rest.length) {
		columns.rest = at.map((_, j) => rest.reduce((s, k) => s + columns[k][j], 0));
		bands.push(['rest', `${rest.length} smaller lines`, BANDS[BANDS.length - 1]]);
	}
	return { x: at.map((i) => c.time_unix_ms[i] / 1000), columns, bands, keys };
}

export function ledgerPlot(p, l, host, onWindow) {
	const { series, rows } = areas(l.x, l.columns, l.bands);
	const u = new uPlot({ width: widthIn(host), height: 300, series, axes: axes(), scales: { y: zero },
		plugins: [marks(p.marks)] }, rows, host);
	u.hooks.setScale = [(u, key) => key === 'x' && onWindow(u.scales.x.min, u.scales.x.max)];
	return u;
}

/** Draws a process into host. onWindow(min, max) in seconds: what is shown after a zoom. */
export function plots(p, host, onWindow = () => {}) {
	const c = p.columns, x = c.time_unix_ms.map((t) => t / 1000), width = widthIn(host);
	const sync = { key: `pid${p.pid}` };
	const kinds = KINDS.filter(([k]) => has(c[k]));
	const { series, rows } = areas(x, c, kinds.length ? kinds : [['rss_bytes', 'RSS', '#d9603b']]);
	if (has(c.inuse_bytes)) {
		rows.push(c.inuse_bytes);
		series.push({ label: 'heap in use', stroke: dark.matches ? '#ffe08a' : '#1c1f23', width: 2,
			points: { show: false }, value: (u, v) => format(v) });
	}
	const main = new uPlot({ width, height: 330, series, axes: axes(), scales: { y: zero },
		cursor: { sync }, plugins: [marks(p.marks)] }, rows, host);
	main.hooks.setScale = [(u, key) => key === 'x' && onWindow(u.scales.x.min, u.scales.x.max)];
	if (!has(c.virt_bytes))
		return [main];
	const virt = new uPlot({ width, height: 150, axes: axes(), scales: { y: zero }, cursor: { sync },
		series: [time, { label: 'VIRT', stroke: '#8a6ad0', width: 2, points: { show: false },
			value: (u, v) => format(v) }], plugins: [marks([])] }, [x, c.virt_bytes], host);
	/* zooming one zooms the other */
	const link = (from, to) => from.hooks.setScale = [(u, key) => {
		const { min, max } = u.scales.x;
		if (key === 'x')
			onWindow(min, max);
		if (key === 'x' && (to.scales.x.min !== min || to.scales.x.max !== max))
			to.setScale('x', { min, max });
	}];
	link(main, virt);
	link(virt, main);
	return [main, virt];
}
