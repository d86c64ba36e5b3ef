// SPDX-License-Identifier: GPL-2.0-or-later
// The views of a profile: flame graph, stacks, functions with their callers and callees, histograms.
// Each takes the app ({state, set, link, get, host, status}) and the profile.
import { bar, choice, h, table } from './dom.js';
import { copyStack, drawFlame, hash } from './flamechart.js';
import { matcher } from './plain.js';
import { findNodes, follow, makeTree, pathTo } from './stacks.js';
import { counted, formatBytes, formatCount, formatPercent, formatSeconds, formatValue } from './units.js';

const MAX_STACKS = 200;
const MAX_FUNCTIONS = 300;
const MAX_PEEK = 50;

const unitOf = (profile, type) => profile.data.types[type].unit;

/** Which values: the type of this name, else the profile's own default. */
function typeOf(app, profile) {
	const i = profile.data.types.findIndex((t) => t.name === app.state.type);
	return i < 0 ? profile.data.type : i;
}

function typeChoice(app, profile, type) {
	return choice('sample type', profile.data.types.map((t, i) => ({ value: i, label: t.name })), type,
		(i) => app.set({ type: profile.data.types[i].name }));
}

function searchBox(app) {
	let timer;
	return h('input', {
		type: 'search', id: 'search', placeholder: 'search ( / )', 'aria-label': 'search for functions', value: app.state.q || '',
		oninput: (e) => {
			clearTimeout(timer);
			timer = setTimeout(() => app.set({ q: e.target.value }, true), 200);
		},
	});
}

/** Total, and what is not in it. */
function summary(app, profile, type) {
	const { data } = profile, total = profile.sum(type).value[0], unit = unitOf(profile, type);
	const causes = data.losses.map((l) => `${l.cause}: ${l.count}`).join('\n');
	return h('p', { class: 'summary' }, h('b', { id: 'total' }, formatValue(total, unit)),
		` ${data.types[type].name}, ${counted(data.stacks, 'stack')}`,
		data.lost > 0 && h('span', { id: 'loss', class: 'warn', title: causes }, `, ${counted(data.lost, 'event')} lost`),
		data.cut > 0 && h('span', { id: 'cut', class: 'dim', title: causes }, `, ${counted(data.cut, 'stack')} cut`),
		data.difference && ', difference: red grew, blue shrank');
}

function tools(app, profile, type, ...more) {
	return h('div', { class: 'tools' }, typeChoice(app, profile, type), ...more, searchBox(app),
		h('a', { href: app.download(), download: '' }, 'download as pprof'));
}

export function flame(app, profile) {
	const type = typeOf(app, profile), { state } = app;
	const unit = unitOf(profile, type), total = profile.sum(type).value[0];
	const bottomUp = state.way === 'callers', icicle = state.up !== 'flame';
	const tree = bottomUp ? makeTree(profile.data, type, { bottomUp }) : profile.sum(type);
	const root = follow(tree, (state.path || '').split('.').filter(Boolean).map(Number));
	const found = profile.matching(state.q), hits = found && findNodes(tree, found);
	const held = app.host.contains(document.activeElement) && document.activeElement.closest('g.frame');
	const detail = h('p', { id: 'detail', class: 'dim', 'aria-live': 'polite' });
	const chart = h('div', { id: 'chart' });
	const zoom = (node) => app.set({ path: pathTo(tree, node).map((n) => tree.frame[n]).join('.') });
	const amount = (v) => `${formatValue(v, unit)} (${formatPercent(v, total)})`;
	const lines = (node) => [amount(tree.value[node]), profile.nameOf(node, tree),
		...(node ? [profile.frameModule(tree.frame[node]), profile.frameFile(tree.frame[node])] : [])].filter(Boolean);
	const copy = (node) => copyStack(profile, tree, node, amount(tree.value[node]))
		.then((n) => { detail.textContent = `stack of ${counted(n, 'frame')} copied`; });
	app.host.replaceChildren(
		tools(app, profile, type,
			choice('tree', [{ value: '', label: 'callees' }, { value: 'callers', label: 'reversed' }], state.way || '',
				(way) => app.set({ way, path: '' })),
			choice('direction', [{ value: '', label: 'icicle' }, { value: 'flame', label: 'flame' }], state.up || '',
				(up) => app.set({ up }))),
		summary(app, profile, type),
		h('p', { id: 'crumbs' }, [0, ...pathTo(tree, root)].map((n, i) => [i ? ' › ' : '',
			h('button', { class: 'plain', onclick: () => zoom(n) }, profile.nameOf(n, tree))])),
		h('p', { id: 'found', class: 'dim', role: 'status' }, hits ? `${counted(hits.count, 'frame')}, ${amount(hits.value)}` : ''),
		chart, detail);
	if (!(tree.weight[0] > 0)) {
		chart.append(h('p', { class: 'empty' }, app.state.base_to || app.state.from || app.state.base ? 'nothing changed between these two' : 'nothing of this type was recorded'));
		return;
	}
	const drawn = drawFlame(chart, { profile, tree, root, icicle, hits: hits && hits.hits, lines, onZoom: zoom, onCopy: copy,
		onDetail: (t) => { detail.textContent = t; } });
	if (held)
		drawn.focusOn(root);
}

const functionLink = (app, name) =>
	h('a', { class: 'name', href: app.link({ view: 'functions', fn: name }) }, name || '(unnamed)');

export function stacks(app, profile) {
	const type = typeOf(app, profile), unit = unitOf(profile, type), total = profile.sum(type).value[0];
	const found = profile.matching(app.state.q);
	let all = profile.stacks(type);
	if (found)
		all = all.filter((s) => profile.path(s.node).some((f) => found[f]));
	const shown = all.slice(0, MAX_STACKS);
	const objects = profile.data.types.findIndex((t) => t.name === profile.data.types[type].name.replace('space', 'objects'));
	const cells = new Map();
	const verdict = (s) => {
		const cell = h('span', {}), key = stackKey(profile.path(s.node).map((f) => profile.frameName(f)));
		if (!cells.has(key)) /* the largest of those that are called the same */
			cells.set(key, cell);
		return cell;
	};
	const frames = (s) => {
		const path = profile.path(s.node), id = hash(path.map((f) => profile.frameName(f)).join('\n')).toString(36);
		const ontoggle = (e) => (e.target.open ? app.note({ stack: id }) : app.state.stack === id && app.note({ stack: '' }));
		return h('details', { open: app.state.stack === id, ontoggle }, h('summary', {}, path.slice(0, 3).map((f) => profile.frameName(f) || '(unnamed)').join(' ← ')),
			h('ol', {}, path.map((f) => h('li', {}, functionLink(app, profile.frameName(f)),
				h('span', { class: 'dim' }, ` ${profile.frameModule(f)} ${profile.frameFile(f)}`)))));
	};
	app.host.replaceChildren(tools(app, profile, type), summary(app, profile, type), judge(app, cells),
		table('stacks, largest first', [
			{ label: profile.data.types[type].name, number: true, cell: (s) => formatValue(s.values[type], unit) },
			{ label: 'share', number: true, wide: true, cell: (s) => formatPercent(s.values[type], total) },
			...(objects >= 0 && objects !== type ? [{ label: 'blocks', number: true, wide: true, cell: (s) => formatCount(s.values[objects]) }] : []),
			...(app.hasVerdicts() ? [{ label: 'over time', cell: verdict }] : []),
			{ label: 'stack, innermost first', cell: frames },
		], shown),
		all.length > shown.length ? h('p', { class: 'dim' }, `${formatCount(all.length - shown.length)} smaller stacks are not shown: search narrows the list`) : '');
}

const JUDGED_FRAMES = 8; /* so many does a verdict name */
const stackKey = (names) => names.slice(0, JUDGED_FRAMES).join('\n');

/** What stacks did over time, of recordings, of a run and of what the daemon kept: into the cells of the table,
 * by stack, and in one sentence. */
function judge(app, cells) {
	const box = h('p', { id: 'verdicts', role: 'status' });
	if (!app.hasVerdicts() || app.state.base || app.state.base_to)
		return box;
	app.get('/api/verdicts', {}).then((list) => {
		for (const v of list) {
			const cell = cells.get(stackKey(v.frames));
			if (cell && (v.leak || !cell.textContent))
				cell.replaceChildren(h('span', { class: v.leak && 'warn' }, v.text));
		}
		const leaks = list.filter((v) => v.leak).length;
		box.textContent = !list.length ? 'no verdicts: they need several profiles over time'
			: leaks ? `${counted(leaks, 'stack is a likely leak', 'stacks are likely leaks')}` : 'no stack is a likely leak';
	}).catch((e) => box.replaceChildren(h('span', { class: 'warn' }, e.message)));
	return box;
}

function allFunctions(app, profile, type) {
	const unit = unitOf(profile, type), total = profile.sum(type).value[0];
	const sort = app.state.sort === 'cum' ? 'cum' : 'flat';
	const match = app.state.q ? matcher(app.state.q) : null;
	let list = profile.functions(type).sort((a, b) => Math.abs(b[sort]) - Math.abs(a[sort]) || Math.abs(b.cum) - Math.abs(a.cum));
	if (match)
		list = list.filter((f) => match(f.name));
	const shown = list.slice(0, MAX_FUNCTIONS);
	const column = (key) => [
		{ label: key, number: true, sorted: sort === key, onsort: () => app.set({ sort: key }), cell: (f) => formatValue(f[key], unit) },
		{ label: `${key} share`, number: true, cell: (f) => bar(f[key] / total, formatPercent(f[key], total)) },
	];
	return [table('functions: flat is their own, cum includes what they called',
		[...column('flat'), ...column('cum'), { label: 'function', cell: (f) => functionLink(app, f.name) },
			{ label: 'module', cell: (f) => h('span', { class: 'dim' }, f.module) }], shown),
	list.length > shown.length && h('p', { class: 'dim' }, `${formatCount(list.length - shown.length)} more functions are not shown: search narrows the list`)];
}

function sourceBox(app, profile, type, name) {
	const box = h('div', {});
	const expression = `^${name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`;
	const show = () => app.text('/api/list', { function: expression, type: profile.data.types[type].name })
		.then((t) => box.replaceChildren(h('pre', { id: 'source', tabindex: 0, 'aria-label': 'source lines' }, t)))
		.catch((e) => box.replaceChildren(h('p', { class: 'warn' }, e.message)));
	box.append(h('button', { onclick: show }, 'source lines'));
	return box;
}

export function functions(app, profile) {
	const type = typeOf(app, profile), unit = unitOf(profile, type), name = app.state.fn;
	const head = [tools(app, profile, type), summary(app, profile, type)];
	if (!name) {
		app.host.replaceChildren(...head, ...allFunctions(app, profile, type).filter(Boolean));
		return;
	}
	const p = profile.peek(type, name), total = profile.sum(type).value[0];
	const side = (caption, list, root) => [table(caption, [
		{ label: 'value', number: true, cell: (e) => formatValue(e.value, unit) },
		{ label: 'share', number: true, cell: (e) => bar(e.value / p.cum, formatPercent(e.value, p.cum)) },
		{ label: 'function', cell: (e) => (e.name ? functionLink(app, e.name) : root) },
	], list.slice(0, MAX_PEEK)),
	list.length > MAX_PEEK && h('p', { class: 'dim' }, `${list.length - MAX_PEEK} more are not shown`)];
	app.host.replaceChildren(...head,
		h('p', {}, h('a', { href: app.link({ fn: '' }) }, 'all functions')),
		h('h2', { class: 'name' }, name),
		h('p', {}, `flat ${formatValue(p.flat, unit)} (${formatPercent(p.flat, total)}), cum ${formatValue(p.cum, unit)} (${formatPercent(p.cum, total)})`),
		...side('callers', p.callers, 'nobody: it is the outermost frame').filter(Boolean),
		...side('callees', p.callees, '').filter(Boolean),
		sourceBox(app, profile, type, name));
}

function histogram(caption, list, label) {
	const most = Math.max(...list.map((b) => b.objects), 1);
	return table(caption, [
		{ label: 'range', cell: label },
		{ label: 'blocks', number: true, cell: (b) => bar(b.objects / most, formatCount(b.objects)) },
		{ label: 'bytes', number: true, cell: (b) => formatBytes(b.bytes) },
	], list);
}

export function histograms(app, profile) {
	const { size_histogram: sizes, lifetime_histogram: lives, temporary } = profile.data;
	if (!sizes) {
		app.host.replaceChildren(h('p', { class: 'empty' }, 'no histograms in this profile: they are of attached processes'));
		return;
	}
	const below = (f, v) => (v == null ? 'and more' : `to ${f(v)}`);
	app.host.replaceChildren(
		temporary ? h('p', {}, `temporary: ${formatCount(temporary.objects)} blocks, ${formatBytes(temporary.bytes)} were freed at once`) : '',
		histogram('sizes of blocks', sizes, (b) => `${formatBytes(b.from_bytes)} ${below(formatBytes, b.below_bytes)}`),
		histogram('how long blocks lived', lives,
			(b) => `${formatSeconds(b.from_us / 1e6)} ${below((v) => formatSeconds(v / 1e6), b.below_us)}`));
}
