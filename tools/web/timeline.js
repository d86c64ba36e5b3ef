// SPDX-License-Identifier: GPL-2.0-or-later
// Memory over time: RSS by kind stacked with the heap in use over it, VIRT below on its own scale,
// cursors in step, drag to zoom, marks as vertical lines. The series stand in the page as JSON:
// [{pid, name, columns {time_unix_ms: [], …}, marks [{time_unix_ms, text}]}].
// Of many processes the biggest are drawn, the others as one sum; an index has all of them, and
// draws those that are chosen.
import { plain } from './plain.js';
import { dark, iso, plots } from './timechart.js';
import { formatShort as format } from './units.js';
import './timeline.css';

const data = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);
const MANY = 12; // more than so many: an index
const DRAWN = 8; // of many, so many are drawn at first
const BUCKETS = 600;
const zoomed = new Map(); // what of a process is shown, through another drawing
/** The charts of a process, with what a keyboard and a screen reader need. */
function charts(p, host) {
	const was = zoomed.get(p);
	const drawn = plots(p, host, (min, max) => zoomed.set(p, [min, max]));
	if (was)
		drawn[0].setScale('x', { min: was[0], max: was[1] });
	for (const u of drawn) {
		u.root.setAttribute('role', 'img');
		u.root.setAttribute('tabindex', 0);
		u.root.setAttribute('aria-label', summary(p, u === drawn[1] ? 'virt_bytes' : 'rss_bytes'));
		u.root.addEventListener('keydown', (e) => walk(u, p, e));
	}
	return drawn;
}

/** Arrow keys move the cursor along the chart; what stands there is said. */
function walk(u, p, e) {
	const x = u.data[0], step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -x.length, End: x.length }[e.key];
	if (!step)
		return;
	e.preventDefault();
	const now = u.cursor.idx ?? (step > 0 ? -1 : x.length);
	const at = Math.max(0, Math.min(x.length - 1, now + step));
	u.setCursor({ left: u.valToPos(x[at], 'x'), top: u.bbox.height / devicePixelRatio / 2 });
	const values = u.series.slice(1).map((s, i) => `${s.label} ${s.value(u, u.data[i + 1][at], i + 1, at)}`);
	$('status').textContent = [iso(x[at]), ...values.reverse()].join(', ');
}

// --- many processes ---

const last = (col) => col.reduce((a, v) => (v == null ? a : v), null);
const peak = (col) => col.reduce((a, v) => (v != null && v > a ? v : a), 0);

function summary(p, key) {
	const col = p.columns[key], t = p.columns.time_unix_ms;
	return `${key === 'virt_bytes' ? 'VIRT' : 'RSS'} of ${plain(p.name)}: ${format(col.find((v) => v != null))} at first, ` +
		`${format(last(col))} at the end, at most ${format(peak(col))}, from ${iso(t[0] / 1000)} to ${iso(t[t.length - 1] / 1000)}`;
}

/** Processes as one: what each had last, while it was there. */
function together(list) {
	let t0 = Infinity, t1 = -Infinity;
	for (const { columns: { time_unix_ms: t } } of list) {
		t0 = Math.min(t0, t[0] ?? Infinity);
		t1 = Math.max(t1, t[t.length - 1] ?? -Infinity);
	}
	const n = t1 > t0 ? BUCKETS : 2, step = Math.max((t1 - t0) / (n - 1), 1);
	const keys = Object.keys(list[0].columns).filter((k) => k !== 'time_unix_ms');
	const columns = Object.fromEntries(keys.map((k) => [k, new Array(n).fill(null)]));
	columns.time_unix_ms = Array.from({ length: n }, (_, i) => t0 + i * step);
	for (const { columns: c } of list) {
		const t = c.time_unix_ms;
		for (let i = 0, at = 0; i < n && t.length; i++) {
			const now = columns.time_unix_ms[i];
			if (now < t[0] - step / 2 || now > t[t.length - 1] + step)
				continue;
			while (at + 1 < t.length && t[at + 1] <= now)
				at++;
			for (const k of keys)
				if (c[k][at] != null)
					columns[k][i] = (columns[k][i] || 0) + c[k][at];
		}
	}
	return { pid: 0, name: `${list.length.toLocaleString('en')} others together`, columns, marks: [] };
}

const order = data.map((p, i) => ({ p, i, peak: peak(p.columns.rss_bytes || []) }))
	.sort((a, b) => b.peak - a.peak || a.i - b.i);
const chosen = new Set(order.slice(0, data.length > MANY ? DRAWN : data.length).map((e) => e.i));

function cell(row, text, number) {
	const td = row.insertCell();
	td.textContent = text;
	if (number)
		td.className = 'number';
	return td;
}

function index() {
	if (data.length <= MANY)
		return;
	$('index').hidden = false;
	const body = $('index').querySelector('tbody');
	for (const e of order) {
		const { p } = e, t = p.columns.time_unix_ms, row = body.insertRow();
		const box = document.createElement('input');
		box.type = 'checkbox';
		box.checked = chosen.has(e.i);
		box.setAttribute('aria-label', `draw ${plain(p.name)}, pid ${p.pid}`);
		box.addEventListener('change', () => {
			chosen[box.checked ? 'add' : 'delete'](e.i);
			draw();
		});
		row.insertCell().append(box);
		cell(row, plain(p.name));
		cell(row, p.pid, true);
		cell(row, format(e.peak), true);
		cell(row, format(last(p.columns.rss_bytes || [])), true);
		cell(row, t.length ? iso(t[0] / 1000) : '–');
		cell(row, t.length ? ((t[t.length - 1] - t[0]) / 1000).toFixed(0) : '0', true);
	}
	const filter = () => {
		const q = $('filter').value.toLowerCase();
		let n = 0;
		for (const row of body.rows) {
			row.hidden = !`${row.cells[1].textContent} ${row.cells[2].textContent}`.toLowerCase().includes(q);
			n += !row.hidden;
		}
		$('count').textContent = `${n.toLocaleString('en')} of ${data.length.toLocaleString('en')} processes`;
	};
	$('filter').addEventListener('input', filter);
	filter();
}

let live = [];
function section(p) {
	const s = document.createElement('section');
	const h = document.createElement('h2');
	h.textContent = `${plain(p.name)} `;
	if (p.pid) {
		const pid = document.createElement('span');
		pid.className = 'dim';
		pid.textContent = `pid ${p.pid}`;
		h.append(pid);
	}
	s.append(h);
	$('plots').append(s);
	if (p.columns.time_unix_ms.length < 2) {
		const e = document.createElement('p');
		e.className = 'empty';
		e.textContent = 'nothing was recorded';
		s.append(e);
	} else {
		live.push(...charts(p, s));
	}
}

function draw() {
	live.forEach((u) => u.destroy());
	live = [];
	$('plots').replaceChildren();
	for (const e of order)
		if (chosen.has(e.i))
			section(e.p);
	const rest = order.filter((e) => !chosen.has(e.i)).map((e) => e.p);
	if (rest.length)
		section(together(rest));
}

index();
draw();
dark.onchange = draw;
let wide = innerWidth;
addEventListener('resize', () => {
	if (innerWidth !== wide) {
		wide = innerWidth;
		draw();
	}
});
document.body.dataset.ready = Math.round(performance.now());
