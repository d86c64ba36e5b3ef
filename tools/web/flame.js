// SPDX-License-Identifier: GPL-2.0-or-later
// The interactive flame graph. The profile stands in the page as JSON (flame_html.c writes it):
//   types [{name, unit}], type (first shown), strings [text], frames {name, module, file} (string
//   ids), nodes {parent, frame} (parents first, node 0 is the root), leaves [node] and
//   values [per type [per leaf]], losses [{cause, count}], comm, pid, stacks.
// Only frames wide enough to be seen are given to the drawing library, and again at each zoom.
// Names are hostile: they reach the page as text nodes and attributes only.
import flamegraph from 'd3-flame-graph';
import { select } from 'd3-selection';
import './flame.css';

const data = JSON.parse(document.getElementById('data').textContent);
const MIN_PX = 1.5;
const ROW = 19;
const $ = (id) => document.getElementById(id);
const { parent, frame } = data.nodes;
const count = parent.length;
const state = { type: data.type, root: 0, icicle: true, module: -1, search: '' };

const firstChild = new Int32Array(count);
const sibling = new Int32Array(count);
for (let i = count - 1; i > 0; i--) {
	sibling[i] = firstChild[parent[i]];
	firstChild[parent[i]] = i;
}

const text = (id) => data.strings[id] || '';
const base = (path) => path.slice(path.lastIndexOf('/') + 1);
const nameOf = (node) => (node ? text(data.frames.name[frame[node]]) : 'all');
const moduleOf = (node) => (node ? data.frames.module[frame[node]] : 0);

let value, weight, inModule, hits;
const negative = data.values.map((v) => v.some((x) => x < 0));

/** Net values and weights (sums of absolute values) of the chosen type within the chosen module. */
function sum() {
	value = new Float64Array(count);
	weight = new Float64Array(count);
	inModule = null;
	if (state.module >= 0) {
		inModule = new Uint8Array(count);
		for (let i = 1; i < count; i++)
			inModule[i] = inModule[parent[i]] || moduleOf(i) === state.module ? 1 : 0;
	}
	const own = data.values[state.type];
	data.leaves.forEach((node, k) => {
		if (inModule && !inModule[node])
			return;
		value[node] += own[k];
		weight[node] += Math.abs(own[k]);
	});
	for (let i = count - 1; i > 0; i--) {
		value[parent[i]] += value[i];
		weight[parent[i]] += weight[i];
	}
}

function format(v) {
	if (data.types[state.type].unit !== 'bytes')
		return v.toLocaleString('en');
	const units = ['B', 'kB', 'MB', 'GB', 'TB'];
	let i = 0;
	while (Math.abs(v) >= 1024 && i < 4) {
		v /= 1024;
		i++;
	}
	return (i ? v.toFixed(2) : String(v)) + units[i];
}

const percent = (v) => (value[0] ? ` (${((100 * v) / Math.abs(value[0])).toFixed(2)}%)` : '');

function describe(node) {
	const where = [moduleOf(node), node ? data.frames.file[frame[node]] : 0].filter(Boolean).map(text);
	return `${nameOf(node)}  ${format(value[node])}${percent(value[node])}${where.length ? '  ' + where.join('  ') : ''}`;
}

function hash(s) {
	let h = 2166136261;
	for (let i = 0; i < s.length; i++)
		h = Math.imul(h ^ s.charCodeAt(i), 16777619);
	return (h ^ (h >>> 15)) >>> 0;
}

function colour(node) {
	if (hits && hits[node])
		return '#e83fb8';
	if (!node)
		return 'hsl(30 15% 80%)';
	const name = nameOf(node);
	if (negative[state.type]) {
		const share = value[node] / (weight[node] || 1);
		return `hsl(${share >= 0 ? 4 : 214} ${20 + Math.abs(share) * 65}% ${88 - Math.abs(share) * 22}%)`;
	}
	if (name.startsWith('['))
		return `hsl(0 0% ${72 + (hash(name) % 10)}%)`;
	const h = hash(name), m = hash(text(moduleOf(node)));
	return `hsl(${(m % 5) * 14 + (h % 12)} ${70 + ((h >> 8) % 20)}% ${62 + ((h >> 16) % 12)}%)`;
}

/** The part of the tree that can be seen, as the library wants it: ancestors, then what is below. */
function view(width) {
	const least = (weight[state.root] * MIN_PX) / width;
	const grow = (node) => {
		const kids = [];
		for (let c = firstChild[node]; c; c = sibling[c])
			if (weight[c] >= least && weight[c] > 0)
				kids.push(c);
		kids.sort((a, b) => weight[b] - weight[a] || a - b);
		return { name: nameOf(node), value: weight[node], node, children: kids.map(grow) };
	};
	let top = grow(state.root);
	for (let n = state.root; n; n = parent[n])
		top = { name: nameOf(parent[n]), value: weight[state.root], node: parent[n], children: [top] };
	return top;
}

function zoom(node) {
	state.root = node;
	draw();
}

function crumbs() {
	const path = [];
	for (let n = state.root; n; n = parent[n])
		path.unshift(n);
	const shown = path.length > 5 ? [path[0], -1, ...path.slice(-3)] : path;
	$('crumbs').replaceChildren();
	[0, ...shown].forEach((n, i) => {
		if (i)
			$('crumbs').append(' › ');
		if (n < 0) {
			$('crumbs').append('…');
			return;
		}
		const b = document.createElement('button');
		b.textContent = nameOf(n);
		b.addEventListener('click', () => zoom(n));
		$('crumbs').append(b);
	});
	$('reset').disabled = !state.root;
}

function draw() {
	const width = Math.max(320, $('chart').clientWidth);
	$('chart').replaceChildren();
	crumbs();
	$('total').textContent = format(value[0]);
	$('empty').hidden = weight[0] > 0;
	if (!(weight[0] > 0))
		return;
	const chart = flamegraph().width(width).cellHeight(ROW).transitionDuration(0).inverted(state.icicle)
		.sort(false).setLabelHandler((d) => describe(d.data.node))
		.setColorMapper((d) => colour(d.data.node))
		.onClick((d) => zoom(d.data.node));
	chart.setDetailsHandler((t) => { $('detail').textContent = t || ''; });
	select($('chart')).datum(view(width)).call(chart);
	$('chart').dataset.frames = $('chart').querySelectorAll('g.frame').length;
}

function search() {
	const q = state.search;
	hits = null;
	let total = 0, n = 0;
	if (q) {
		let match;
		try {
			const re = new RegExp(q, 'i');
			match = (s) => re.test(s);
		} catch {
			const low = q.toLowerCase();
			match = (s) => s.toLowerCase().includes(low);
		}
		const names = data.frames.name.map((id) => match(text(id)));
		const below = new Uint8Array(count);
		hits = new Uint8Array(count);
		for (let i = 1; i < count; i++) {
			below[i] = below[parent[i]] | hits[parent[i]];
			hits[i] = names[frame[i]] ? 1 : 0;
			n += hits[i];
			if (hits[i] && !below[i])
				total += value[i];
		}
	}
	$('found').textContent = q ? `${n} frames, ${format(total)}${percent(total)}` : '';
}

function refresh() {
	sum();
	if (!(weight[state.root] > 0))
		state.root = 0;
	search();
	draw();
}

function button(group, label, pressed, act) {
	const b = document.createElement('button');
	b.textContent = label;
	b.setAttribute('aria-pressed', pressed);
	b.addEventListener('click', () => {
		for (const other of group.children)
			other.setAttribute('aria-pressed', other === b);
		act();
	});
	group.append(b);
}

function modules() {
	const seen = new Map();
	for (const m of data.frames.module)
		seen.set(m, (seen.get(m) || 0) + 1);
	const add = (label, v) => $('module').append(new Option(label, v));
	add('all modules', -1);
	[...seen].filter(([m]) => m).sort((a, b) => b[1] - a[1]).forEach(([m]) => add(base(text(m)), m));
	$('module').addEventListener('change', () => {
		state.module = +$('module').value;
		refresh();
	});
}

function start() {
	$('title').textContent = data.comm || 'memory profile';
	$('pid').textContent = data.pid ? `pid ${data.pid}` : '';
	$('stacks').textContent = `${data.stacks.toLocaleString('en')} stacks`;
	const lost = data.losses.reduce((n, l) => n + l.count, 0);
	$('loss').textContent = lost ? `${lost.toLocaleString('en')} events lost` : '';
	$('loss').title = data.losses.map((l) => `${l.cause}: ${l.count}`).join('\n');
	data.types.forEach((t, i) =>
		button($('types'), t.name, i === state.type, () => { state.type = i; refresh(); }));
	button($('way'), 'icicle', true, () => { state.icicle = true; draw(); });
	button($('way'), 'flame', false, () => { state.icicle = false; draw(); });
	$('legend').textContent = negative.some(Boolean) ? 'difference: red grew, blue shrank' : '';
	modules();
	let timer;
	$('search').addEventListener('input', () => {
		clearTimeout(timer);
		timer = setTimeout(() => { state.search = $('search').value; search(); draw(); }, 150);
	});
	$('reset').addEventListener('click', () => zoom(0));
	document.addEventListener('keydown', (e) => {
		if (e.key === '/' && document.activeElement !== $('search')) {
			e.preventDefault();
			$('search').focus();
		} else if (e.key === 'Escape') {
			$('search').value = state.search = '';
			search();
			zoom(0);
		}
	});
	let wide = innerWidth;
	addEventListener('resize', () => {
		if (innerWidth !== wide) {
			wide = innerWidth;
			draw();
		}
	});
	refresh();
	document.body.dataset.ready = Math.round(performance.now());
}

start();
