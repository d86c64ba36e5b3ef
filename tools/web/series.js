// SPDX-License-Identifier: GPL-2.0-or-later
// The views over time: a process's memory, its ledger, OOM kills, alerts, the machine and its processes.
import uPlot from 'uplot';
import { bar, choice, cut, empty, h, table } from './dom.js';
import { axes, dark, ledgerBands, ledgerPlot, marks, plots, time, widthIn, zero } from './timechart.js';
import { clock, counted, day, formatBytes, formatCount, formatPercent, formatSeconds, formatTime } from './units.js';

const MAX_PROCESSES = 16; /* drawn one below the other */
const MAX_EVENTS = 200;
const MAX_MARKS = 50;
const FINE_S = 10; /* moments of a shorter window are shown to the millisecond */
const HOUR = 3600e3;
const SPANS = [['', '1 h', HOUR], ['6h', '6 h', 6 * HOUR], ['1d', '1 day', 24 * HOUR], ['7d', '7 days', 168 * HOUR], ['30d', '30 days', 720 * HOUR]];
let live = [];

/** Of the view that was shown before. */
export function forget() {
	dark.onchange = null;
	live.forEach((u) => u.destroy());
	live = [];
}

/** What of the daemon's history is asked for: the span up to now, and what a link shows in it. */
export function windowOf(app) {
	if (app.mode() !== 'daemon')
		return {};
	const to = Date.now(), [, , span] = SPANS.find(([v]) => v === (app.state.span || '')) || SPANS[0];
	return { from: Math.round(Math.min(to - span, +app.state.t0 || Infinity)), to };
}

const spanChoice = (app) => app.mode() === 'daemon' && choice('time that is shown',
	SPANS.map(([value, label]) => ({ value, label })), app.state.span || '', (span) => app.set({ span, t0: '', t1: '' }));

/** The recorded moments about a window, in ms after the first: what changed in between is known. The later one
 * is rounded up, so that the moment is in it. */
function momentsAbout(times, from, to) {
	const i = times.findLastIndex((t) => t - times[0] <= from), k = times.findIndex((t) => t - times[0] >= to);
	return { from: times[Math.max(0, i)] - times[0], to: (k < 0 ? times[times.length - 1] : times[k]) - times[0] + 1 };
}

/** Two moments of a series: chosen by dragging over it, or written; what can be done with them. */
function windowBox(app, times, min, max, zoom) {
	const start = times[0], from = Math.max(0, Math.round(min * 1000 - start)), to = Math.max(1, Math.round(max * 1000 - start));
	const files = app.mode() === 'files', at = (ms) => (files ? ms : Math.round(start + ms));
	const fine = max - min < FINE_S, milli = (ms) => `.${String(ms % 1000).padStart(3, '0')}`;
	const local = (s) => {
		const ms = Math.round(s * 1000), d = new Date(ms);
		return `${day(d)}T${clock(d)}${fine ? milli(ms) : ''}`;
	};
	const box = (label, value, act) => h('input', { type: 'datetime-local', step: fine ? 0.001 : 1, 'aria-label': label, value: local(value),
		onchange: (e) => e.target.value && act(new Date(e.target.value).getTime() / 1000) });
	const items = [box('from', min, (v) => v < max && zoom(v, max)), h('span', {}, '–'), box('to', max, (v) => v > min && zoom(min, v)),
		h('span', { class: 'dim' }, formatSeconds(max - min))];
	if (app.canLookBack())
		items.push(h('a', { href: app.link({ view: 'flame', path: '', from: '', kept: '', base_to: '', to: at(to) }) }, 'profile at its end'),
			h('a', { href: app.link({ view: 'flame', path: '', kept: '', to: at(to), ...(files ? momentsAbout(times, from, to) : { base_to: at(from) }) }) }, 'what changed in it'));
	return items;
}

function heading(app, p) {
	const section = h('section', { 'aria-label': `memory of ${p.name || p.pid}` },
		h('h2', {}, `${p.name} `, p.pid > 0 && h('span', { class: 'dim' }, `pid ${p.pid}`)));
	app.host.append(section);
	return section;
}

/** Charts that zoom together, with what their window can be used for. draw(onWindow): the plots. */
function zoomable(app, section, times, draw) {
	const n = times.length, box = h('div', { class: 'window tools', role: 'group', 'aria-label': 'window' });
	let drawn = [];
	const zoom = (min, max) => drawn[0].setScale('x', { min, max });
	drawn = draw((min, max) => {
		const all = min * 1000 <= times[0] && max * 1000 >= times[n - 1];
		box.replaceChildren(...windowBox(app, times, min, max, zoom));
		app.note({ t0: all ? '' : Math.round(min * 1000), t1: all ? '' : Math.round(max * 1000) });
	});
	section.append(box);
	live.push(...drawn);
	const { t0, t1 } = app.state;
	if (t0 && t1 && +t0 < +t1)
		zoom(t0 / 1000, t1 / 1000);
	else
		box.replaceChildren(...windowBox(app, times, times[0] / 1000, times[n - 1] / 1000, zoom));
}

function process(app, p) {
	const times = p.columns.time_unix_ms, n = times.length, section = heading(app, p);
	if (n < 2) {
		section.append(empty(n ? 'one moment so far: a line needs two, the next comes with the next pass' : 'nothing was recorded in this time'));
		return;
	}
	const last = (key) => formatBytes(p.columns[key] && p.columns[key].findLast((v) => v != null));
	section.append(h('p', { class: 'dim' }, `${formatTime(times[0])} – ${formatTime(times[n - 1])}: RSS ${last('rss_bytes')}, VIRT ${last('virt_bytes')} at the end; drag to zoom, double click to see all`));
	zoomable(app, section, times, (onWindow) => plots(p, section, onWindow));
	if (p.marks.length)
		section.append(h('ul', { class: 'marks' }, p.marks.slice(-MAX_MARKS).map((m) => h('li', {}, `${formatTime(m.time_unix_ms)} ${m.text}`))),
			left(p.marks_left_out + Math.max(0, p.marks.length - MAX_MARKS)) || '');
}

export function timeline(app, list) {
	forget();
	app.host.replaceChildren(h('div', { class: 'tools' }, spanChoice(app)));
	for (const p of list.slice(0, MAX_PROCESSES))
		process(app, p);
	if (!list.length)
		app.host.append(empty('no process was recorded in this time'));
	if (list.length > MAX_PROCESSES)
		app.host.append(h('p', { class: 'dim' }, `${counted(list.length - MAX_PROCESSES, 'more process', 'more processes')} not drawn`));
	dark.onchange = () => timeline(app, list);
}

/** One bar of all kinds, as wide as they are large. */
function shares(lines, all, colour) {
	const e = h('div', { class: 'stack', role: 'img', 'aria-label': lines.map((x) => `${x.name} ${formatBytes(x.rss_bytes)}`).join(', ') });
	lines.filter((x) => x.rss_bytes > 0).forEach((x, i) => {
		const s = h('span', { title: `${x.name} ${formatBytes(x.rss_bytes)}` });
		s.style.width = `${(100 * x.rss_bytes) / all}%`;
		s.style.background = colour(x, i);
		e.append(s);
	});
	return e;
}

const COLOURS = ['#d9603b', '#4c78a8', '#4e9a51', '#c28a1b', '#8a6ad0', '#2f9c95', '#b0568f', '#7c8794'];

function ledgerNow(app, l) {
	const lines = l.lines.filter((x) => x.rss_bytes || x.virt_bytes || x.swap_bytes).sort((a, b) => b.rss_bytes - a.rss_bytes);
	const all = l.rss_bytes || lines.reduce((s, x) => s + x.rss_bytes, 0);
	const colour = (x) => COLOURS[Math.min(lines.indexOf(x), COLOURS.length - 1)];
	const key = (x) => {
		const e = h('span', { class: 'key', 'aria-hidden': 'true' });
		e.style.background = x.rss_bytes > 0 ? colour(x) : 'none';
		return e;
	};
	const swapped = lines.some((x) => x.swap_bytes);
	app.host.append(shares(lines, all, colour), table(`where every resident byte of ${l.comm || 'the process'} (${l.pid}) belongs: ${formatBytes(all)}`, [
		{ label: 'what', cell: (x) => [key(x), x.name] },
		{ label: 'resident', number: true, cell: (x) => formatBytes(x.rss_bytes) },
		{ label: 'share', number: true, cell: (x) => bar(x.rss_bytes / all, formatPercent(x.rss_bytes, all)) },
		{ label: 'virtual', number: true, wide: true, cell: (x) => formatBytes(x.virt_bytes) },
		...(swapped ? [{ label: 'swapped', number: true, cell: (x) => formatBytes(x.swap_bytes) }] : []),
	], lines));
}

/** Areas over time where the ledger was kept, and the newest as a table. data: {now: [ledger], list: [process]}. */
export function ledger(app, data) {
	forget();
	app.host.replaceChildren(h('div', { class: 'tools' }, spanChoice(app)));
	const over = data.list.map((p) => [p, ledgerBands(p)]).filter(([, l]) => l && l.x.length > 1);
	for (const [p, l] of over.slice(0, MAX_PROCESSES)) {
		const section = heading(app, p);
		section.append(h('p', { class: 'dim' }, `${formatTime(l.x[0] * 1000)} – ${formatTime(l.x[l.x.length - 1] * 1000)}: resident bytes by what they are; drag to zoom, double click to see all`));
		zoomable(app, section, l.x.map((s) => s * 1000), (onWindow) => [ledgerPlot(p, l, section, onWindow)]);
	}
	for (const l of data.now)
		ledgerNow(app, l);
	if (!over.length && !data.now.length)
		app.host.append(empty(app.mode() === 'daemon' ? 'no ledger so far: it is read of profiled processes, each within some seconds'
			: 'no ledger here: it is made with --ledger'));
	dark.onchange = () => ledger(app, data);
}

function kill(app, e, open) {
	const v = e.victim || {}, m = e.memcg;
	const facts = [
		['command', v.cmdline], ['user', v.uid], ['cgroup', v.cgroup],
		['RSS anonymous', formatBytes(v.anon_rss_bytes)], ['RSS file', formatBytes(v.file_rss_bytes)],
		['RSS shared', formatBytes(v.shmem_rss_bytes)], ['VIRT', formatBytes(v.total_vm_bytes)],
		['swapped', formatBytes(v.swap_bytes)], ['oom_score_adj', v.oom_score_adj],
		['triggered by', e.trigger && e.trigger.comm ? `${e.trigger.comm}${e.trigger.pid == null ? '' : ` (${e.trigger.pid})`}` : null],
		['limit', m ? `${m.path}: ${formatBytes(m.usage_bytes)} of ${formatBytes(m.limit_bytes)}` : e.constraint],
		['profile', e.kept ? h('a', { href: app.link({ view: 'flame', pid: v.pid, kept: e.kept, to: '', base_to: '', path: '', q: '' }) }, 'of that moment') : e.profile],
	].filter(([, x]) => x != null && x !== '' && x !== '–');
	const tasks = e.tasks || [];
	const at = e.time ? formatTime(Date.parse(e.time)) : 'at an unknown time';
	const head = e.victim ? [h('b', { class: 'name' }, v.comm || '?'), ` (${v.pid ?? '?'}) killed ${at}`]
		: [h('b', {}, 'nobody'), ` could be killed ${e.repeats ? `${counted(e.repeats, 'more time', 'more times')}, last ` : ''}${at}`];
	return h('details', { open, class: 'card' }, h('summary', {}, head),
		h('dl', {}, facts.map(([k, x]) => [h('dt', {}, k), h('dd', { class: 'name' }, x instanceof Node ? x : String(x))])),
		tasks.length > 0 && table('tasks with the most memory then', [
			{ label: 'pid', number: true, cell: (t) => String(t.pid) },
			{ label: 'command', cell: (t) => cut(t.comm || '') },
			{ label: 'RSS', number: true, cell: (t) => formatBytes(t.rss_bytes) },
			{ label: 'swapped', number: true, wide: true, cell: (t) => formatBytes(t.swap_bytes) },
			{ label: 'oom_score_adj', number: true, wide: true, cell: (t) => String(t.oom_score_adj ?? '') },
		], tasks.slice(0, 20)));
}

const left = (n) => n > 0 && h('p', { class: 'dim' }, `${counted(n, 'older one', 'older ones')} not shown`);

/** data: {left_out, events}, of files in their order, of the daemon the newest first. */
export function oom(app, data) {
	const list = data.events, all = list.length + data.left_out;
	const kills = list.filter((e) => e.victim).length + data.left_out;
	const times = list.reduce((n, e) => n + (e.victim ? 0 : e.repeats || 1), 0);
	app.host.replaceChildren(...[
		list.length ? h('p', {}, `${counted(kills, 'kill')}${times ? `, ${counted(times, 'time', 'times')} nobody could be killed` : ''}`) : empty('no OOM kill was recorded'),
		...list.slice(0, MAX_EVENTS).map((e, i) => kill(app, e, i < 10)), more(app, all),
	].filter(Boolean));
}

/** How many of all are not shown. */
const more = (app, all) => (app.mode() === 'daemon' ? left(all - MAX_EVENTS)
	: all > MAX_EVENTS && h('p', { class: 'dim' }, `${formatCount(all - MAX_EVENTS)} more in the file are not shown`));

const MEASURES = { bytes: formatBytes, 'bytes/s': (v) => `${formatBytes(v)}/s`, ratio: (v) => formatPercent(v, 1), seconds: formatSeconds, percent: (v) => `${v} %` };
const measured = (a, v) => (v == null ? '' : (MEASURES[a.unit] || String)(v));

export function alerts(app, data) {
	const list = data.events, all = list.length + data.left_out;
	app.host.replaceChildren(...(list.length ? [table(counted(all, 'alert'), [
		{ label: 'time', cell: (a) => h('span', { class: 'nobr' }, formatTime(a.time_unix_ms)) },
		{ label: 'process', cell: (a) => [cut(a.comm || a.scope || '?'), h('span', { class: 'dim' }, a.pid ? ` ${a.pid}` : ''),
			a.scope === 'cgroup' && a.limit_path && [' in ', cut(a.limit_path)]] },
		{ label: 'rule', cell: (a) => h('span', { class: a.state === 'firing' && 'warn' }, `${a.rule} ${a.state || ''}`) },
		{ label: 'value', number: true, cell: (a) => measured(a, a.value) },
		{ label: 'threshold', number: true, wide: true, cell: (a) => measured(a, a.threshold) },
		{ label: 'profile', cell: (a) => a.kept && h('a', { href: app.link({ view: 'flame', pid: a.pid, kept: a.kept, to: '', base_to: '', path: '', q: '' }) }, 'of then') },
	], list.slice(0, MAX_EVENTS)), left(all - MAX_EVENTS)] : [empty('no alert was told: [alert] sections of the configuration say when one is')]).filter(Boolean));
}

/** A small line of a series; the numbers beside it say where it stands. */
function trace(values) {
	const max = Math.max(...values, 1), min = Math.min(...values, max), w = 90, t = 18;
	/* what moves by less than a tenth looks as flat as it is */
	const low = Math.max(0, Math.min(min, max - max / 10)), span = max - low || 1;
	const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
	svg.setAttribute('viewBox', `0 0 ${w} ${t}`);
	const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
	line.setAttribute('points', values.map((v, i) =>
		`${(i * w) / Math.max(values.length - 1, 1)},${t - 1 - ((v - low) / span) * (t - 2)}`).join(' '));
	svg.append(line);
	return svg;
}

const waiting = new WeakMap();
function draw(box) {
	if (waiting.has(box))
		box.append(trace(waiting.get(box)));
	waiting.delete(box);
}

/* A screen beyond what is seen, so that nothing is missing when it comes there. */
const near = new IntersectionObserver((list) => {
	for (const e of list)
		if (e.isIntersecting) {
			near.unobserve(e.target);
			draw(e.target);
		}
}, { rootMargin: '100%' });
addEventListener('beforeprint', () => document.querySelectorAll('.spark').forEach(draw));

/** Drawn when it comes near to what is seen: of hundreds of processes few are looked at. */
function spark(values) {
	const box = h('span', { class: 'spark', 'aria-hidden': 'true' });
	waiting.set(box, values);
	near.observe(box);
	return box;
}

const SORTS = { rss_bytes: 'RSS', virt_bytes: 'VIRT', growth_bytes_s: 'growth' };

/** data: {list, machine: on its way}. */
export function processes(app, { list: data, machine: ofMachine }) {
	const sort = SORTS[app.state.sort] ? app.state.sort : 'rss_bytes';
	const q = (app.state.q || '').toLowerCase();
	const rows = data.processes.filter((p) => !q || `${p.comm} ${p.user} ${p.cgroup} ${p.pid}`.toLowerCase().includes(q))
		.sort((a, b) => b[sort] - a[sort]);
	const column = (key, cell, more = {}) => ({ label: SORTS[key], number: true, sorted: sort === key, onsort: () => app.set({ sort: key }), cell, ...more });
	const go = (p) => app.link({ view: p.profiled ? 'flame' : 'timeline', pid: p.pid, kept: '', to: '', base_to: '', path: '', q: '', t0: '', t1: '' });
	const profiled = data.processes.filter((p) => p.profiled).length;
	app.host.replaceChildren(
		h('div', { id: 'machine' }, h('p', { class: 'dim' }, 'loading the machine …')),
		h('div', { class: 'tools' }, h('h2', {}, 'processes'), h('input', {
			type: 'search', id: 'search', placeholder: 'search ( / )', 'aria-label': 'search for processes', value: app.state.q || '',
			oninput: (e) => app.set({ q: e.target.value }, true),
		}), h('span', { class: 'dim', role: 'status' }, `${q ? `${formatCount(rows.length)} of ` : ''}${counted(data.processes.length, 'process', 'processes')}, ${formatCount(profiled)} profiled`)),
		rows.length ? table('processes', [
			{ label: 'pid', number: true, cell: (p) => String(p.pid) },
			{ label: 'command', cell: (p) => [h('a', { class: 'name cut', title: p.comm, href: go(p) }, p.comm || '(no name)'), p.profiled && h('span', { class: 'tag', title: p.sample_bytes && `for what it cost: one sample per ${formatBytes(p.sample_bytes)}` },
				p.sample_bytes ? 'profiled, sampled less' : 'profiled')] },
			{ label: 'user', wide: true, cell: (p) => cut(p.user || '') },
			column('rss_bytes', (p) => formatBytes(p.rss_bytes)),
			column('virt_bytes', (p) => formatBytes(p.virt_bytes), { wide: true }),
			column('growth_bytes_s', (p) => (p.growth_bytes_s ? h('span', { class: p.growth_bytes_s > 1e5 && 'warn' }, `${p.growth_bytes_s > 0 ? '+' : ''}${formatBytes(p.growth_bytes_s)}/s`) : '')),
			{ label: 'last minute', cell: (p) => spark(p.spark || []) },
			{ label: 'cgroup', wide: true, cell: (p) => cut(p.cgroup || '') },
		], rows, { class: 'processes' }) : empty(`no process matches '${app.state.q}'`),
		data.left_out > 0 ? h('p', { class: 'dim' }, `${counted(data.left_out, 'smaller process', 'smaller processes')} not shown`) : '');
	ofMachine.then((m) => machine(app, m), (e) => {
		const box = document.getElementById('machine');
		if (box)
			box.replaceChildren(h('p', { class: 'warn', role: 'alert' }, e.message));
	});
}

const tile = (label, value, note) => h('div', { class: 'tile' }, h('dt', {}, label), h('dd', {}, value, note && h('span', { class: 'dim' }, ` ${note}`)));

function machine(app, m) {
	const box = document.getElementById('machine'), c = m.columns;
	if (!box || !c)
		return;
	forget();
	dark.onchange = () => machine(app, m);
	const x = c.time_unix_ms.map((t) => t / 1000), n = x.length - 1;
	if (n < 0) {
		box.replaceChildren(empty('nothing was recorded in this time'));
		return;
	}
	const used = c.total_bytes.map((t, i) => (t == null ? null : t - c.available_bytes[i]));
	const percent = (v) => (v == null ? '–' : `${v} %`);
	box.replaceChildren(h('h2', {}, 'machine'), h('dl', { class: 'tiles' },
		tile('memory in use', formatBytes(used[n]), `of ${formatBytes(c.total_bytes[n])}`),
		tile('available', formatBytes(c.available_bytes[n]), formatPercent(c.available_bytes[n], c.total_bytes[n])),
		tile('swapped', formatBytes(c.swap_used_bytes[n])),
		tile('memory pressure', percent(c.pressure_some[n]), 'of the last 10 s'),
		tile('events', formatCount(m.marks.length + m.marks_left_out), `kills, alerts, groups held up${m.marks_left_out > 0 ? `; the newest ${formatCount(m.marks.length)} are drawn` : ''}`)),
	h('div', { class: 'tools' }, spanChoice(app)));
	if (n < 1) {
		box.append(empty('one moment so far: a line needs two, the next comes with the next pass'));
		return;
	}
	const line = (label, stroke, value, more = {}) => ({ label, stroke, width: 2, points: { show: false }, value: (u, v) => value(v), ...more });
	const sync = { key: 'machine' };
	live.push(new uPlot({ width: widthIn(box), height: 190, axes: axes(), scales: { y: zero }, cursor: { sync }, plugins: [marks(m.marks)],
		series: [time, line('in use', '#d9603b', formatBytes, { fill: '#d9603b33' }), line('swapped', '#8a6ad0', formatBytes),
			line('all there is', '#7c8794', formatBytes, { width: 1, dash: [5, 4] })] }, [x, used, c.swap_used_bytes, c.total_bytes], box));
	if (c.pressure_some.some((v) => v != null))
		live.push(new uPlot({ width: widthIn(box), height: 120, scales: { y: zero }, cursor: { sync },
			axes: [axes()[0], { ...axes()[1], splits: null, values: (u, v) => v.map((p) => `${+p.toFixed(2)} %`) }],
			series: [time, line('pressure, some tasks', '#c28a1b', percent), line('pressure, all tasks', '#b0103c', percent)] }, [x, c.pressure_some, c.pressure_full], box));
}
