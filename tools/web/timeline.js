// SPDX-License-Identifier: GPL-2.0-or-later
// Memory over time: RSS by kind stacked with the heap in use over it, VIRT below on its own scale,
// cursors in step, drag to zoom, marks as vertical lines. The series stand in the page as JSON:
// [{pid, name, columns {time_unix_ms: [], …}, marks [{time_unix_ms, text}]}].
import uPlot from 'uplot';
import './timeline.css';

const data = JSON.parse(document.getElementById('data').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const KINDS = [
	['rss_file_bytes', 'RSS file', '#4c78a8'],
	['rss_shmem_bytes', 'RSS shared', '#4e9a51'],
	['rss_anon_bytes', 'RSS anonymous', '#d9603b'],
];

function format(v) {
	if (v == null)
		return '–';
	const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
	let i = 0;
	while (Math.abs(v) >= 1024 && i < 5) {
		v /= 1024;
		i++;
	}
	return (i ? +v.toFixed(2) : v) + units[i];
}

/** Ticks at 1, 2, 5, 10, … of binary units. */
function splits(u, axis, min, max) {
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

function marks(list) {
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
					ctx.fillText(m.text, x + (right ? -4 : 4), bbox.top + (12 + (i % 4) * 13) * devicePixelRatio);
				});
				ctx.restore();
			}],
		},
	};
}

function axes() {
	const grid = { stroke: css('--edge'), width: 1 };
	return [
		{ stroke: css('--dim'), grid, ticks: grid },
		{ stroke: css('--dim'), grid, ticks: grid, size: 78, splits, values: (u, v) => v.map(format) },
	];
}

const zero = { range: (u, min, max) => [0, max > 0 ? max * 1.05 : 1] };
const has = (col) => col && col.some((v) => v != null);

function plots(p, host) {
	const c = p.columns, x = c.time_unix_ms.map((t) => t / 1000), width = host.clientWidth;
	const sync = { key: `pid${p.pid}` };
	const series = [{}], rows = [x], kinds = KINDS.filter(([k]) => has(c[k]));
	const shown = kinds.length ? kinds : [['rss_bytes', 'RSS', '#d9603b']];
	const stack = shown.map(([k], i) =>
		x.map((_, j) => shown.slice(0, i + 1).reduce((s, [n]) => s + (c[n][j] || 0), 0)));
	/* highest sum first, so that each kind's area is painted over the one below it */
	for (let i = shown.length - 1; i >= 0; i--) {
		const [key, label, colour] = shown[i];
		rows.push(stack[i]);
		series.push({ label, stroke: colour, fill: colour, width: 1, points: { show: false },
			value: (u, v, s, at) => format(at == null ? null : c[key][at]) });
	}
	if (has(c.inuse_bytes)) {
		rows.push(c.inuse_bytes);
		series.push({ label: 'heap in use', stroke: dark.matches ? '#ffe08a' : '#1c1f23', width: 2,
			points: { show: false }, value: (u, v) => format(v) });
	}
	const main = new uPlot({ width, height: 330, series, axes: axes(), scales: { y: zero },
		cursor: { sync }, plugins: [marks(p.marks)] }, rows, host);
	const virt = new uPlot({ width, height: 150, axes: axes(), scales: { y: zero }, cursor: { sync },
		series: [{}, { label: 'VIRT', stroke: '#8a6ad0', width: 2, points: { show: false },
			value: (u, v) => format(v) }], plugins: [marks([])] }, [x, c.virt_bytes], host);
	/* zooming one zooms the other */
	const link = (from, to) => from.hooks.setScale = [(u, key) => {
		const { min, max } = u.scales.x;
		if (key === 'x' && (to.scales.x.min !== min || to.scales.x.max !== max))
			to.setScale('x', { min, max });
	}];
	link(main, virt);
	link(virt, main);
	return [main, virt];
}

let live = [];
function draw() {
	live.forEach((u) => u.destroy());
	live = [];
	document.querySelectorAll('main section').forEach((s) => s.remove());
	for (const p of data) {
		const section = document.createElement('section');
		const h = document.createElement('h2');
		h.textContent = `${p.name} `;
		const pid = document.createElement('span');
		pid.className = 'dim';
		pid.textContent = `pid ${p.pid}`;
		h.append(pid);
		section.append(h);
		document.querySelector('main').append(section);
		if (p.columns.time_unix_ms.length < 2) {
			const e = document.createElement('p');
			e.className = 'empty';
			e.textContent = 'nothing was recorded';
			section.append(e);
		} else {
			live.push(...plots(p, section));
		}
	}
}

draw();
dark.addEventListener('change', draw);
let wide = innerWidth;
addEventListener('resize', () => {
	if (innerWidth !== wide) {
		wide = innerWidth;
		draw();
	}
});
document.body.dataset.ready = Math.round(performance.now());
