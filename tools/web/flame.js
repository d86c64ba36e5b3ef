// SPDX-License-Identifier: GPL-2.0-or-later
// The page of one flame graph: its profile (profile.js) stands in it as JSON.
// Names are hostile: they reach the page as text nodes and attributes only, through plain().
// The state of the page stands in its address, so that a link leads to the same view.
import { copyStack, drawFlame, showTips } from './flamechart.js';
import { plain } from './plain.js';
import { Profile } from './profile.js';
import { findNodes, follow, makeTree, pathTo } from './stacks.js';
import { counted, formatPercent, formatValue } from './units.js';
import './flame.css';

const data = JSON.parse(document.getElementById('data').textContent);
const profile = new Profile(data);
const $ = (id) => document.getElementById(id);
const base = (path) => path.slice(path.lastIndexOf('/') + 1);
const FILTERS = ['focus', 'ignore', 'hide'];
const state = { type: data.type, root: 0, icicle: true, bottomUp: false, collapse: false, module: -1,
	search: '', focus: '', ignore: '', hide: '' };

let tree, hits, drawn;
const nameOf = (node) => profile.nameOf(node, tree);
const current = () => (drawn ? drawn.current() : state.root);
const format = (v) => formatValue(v, data.types[state.type].unit);
const amount = (v) => format(v) + (tree.value[0] ? ` (${formatPercent(v, tree.value[0])})` : '');
const lines = (node) => [amount(tree.value[node]), nameOf(node),
	...(node ? [profile.frameModule(tree.frame[node]), profile.frameFile(tree.frame[node])] : [])].filter(Boolean);
const framesOf = (node) => pathTo(tree, node).map((n) => tree.frame[n]);

function say(what) {
	$('status').textContent = what;
}

function zoom(node) {
	const held = document.activeElement.closest('g.frame');
	state.root = node;
	draw();
	if (held)
		drawn.focusOn(node);
	say(node ? `zoomed to ${lines(node).join('  ')}` : 'everything is shown');
}

function crumbs() {
	const path = pathTo(tree, state.root);
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

async function copy(node) {
	say(`stack of ${counted(await copyStack(profile, tree, node, amount(tree.value[node])), 'frame')} copied`);
}

function draw() {
	$('tip').hidden = true;
	$('chart').replaceChildren();
	drawn = null;
	crumbs();
	remember();
	$('total').textContent = format(tree.value[0]);
	$('empty').hidden = tree.weight[0] > 0;
	if (tree.weight[0] > 0)
		drawn = drawFlame($('chart'), { profile, tree, root: state.root, icicle: state.icicle, hits, lines, onZoom: zoom,
			onCopy: copy, onDetail: (t) => { $('detail').textContent = t; } });
}

function search() {
	const found = profile.matching(state.search), nodes = found && findNodes(tree, found);
	hits = nodes && nodes.hits;
	$('found').textContent = nodes ? `${counted(nodes.count, 'frame')}, ${amount(nodes.value)}` : '';
}

/** The tree anew; the zoom is kept where its frames are still there. */
function refresh(rootFrames) {
	const keep = rootFrames || (tree ? framesOf(state.root) : []);
	tree = makeTree(data, state.type, { ...state, focus: profile.matching(state.focus),
		ignore: profile.matching(state.ignore), hide: profile.matching(state.hide) });
	state.root = follow(tree, keep);
	search();
	draw();
}

// --- the address ---

function remember() {
	const p = new URLSearchParams();
	if (state.type !== data.type)
		p.set('type', data.types[state.type].name);
	if (!state.icicle)
		p.set('way', 'flame');
	if (state.bottomUp)
		p.set('view', 'bottom-up');
	if (state.collapse)
		p.set('collapse', '1');
	if (state.module >= 0)
		p.set('module', state.module);
	for (const k of [...FILTERS, 'search'])
		if (state[k])
			p.set(k, state[k]);
	if (state.root)
		p.set('zoom', framesOf(state.root).join('.'));
	const hash = p.toString();
	if (location.hash.slice(1) !== hash)
		history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search);
}

/** From the address; the frames of the zoom are returned. */
function recall() {
	const p = new URLSearchParams(location.hash.slice(1));
	const type = data.types.findIndex((t) => t.name === p.get('type'));
	state.type = type >= 0 ? type : data.type;
	state.icicle = p.get('way') !== 'flame';
	state.bottomUp = p.get('view') === 'bottom-up';
	state.collapse = p.get('collapse') === '1';
	state.module = data.frames.module.includes(+p.get('module')) && +p.get('module') ? +p.get('module') : -1;
	for (const k of [...FILTERS, 'search'])
		state[k] = p.get(k) || '';
	return (p.get('zoom') || '').split('.').filter(Boolean).map(Number);
}

/** Makes the controls show the state. */
function reflect() {
	const press = (group, i) => [...$(group).children].forEach((b, k) => b.setAttribute('aria-pressed', k === i));
	press('types', state.type);
	press('way', state.icicle ? 0 : 1);
	press('view', state.bottomUp ? 1 : 0);
	$('collapse').checked = state.collapse;
	$('module').value = state.module;
	for (const k of [...FILTERS, 'search'])
		$(k).value = state[k];
	if (FILTERS.some((k) => state[k]) || state.collapse)
		$('filters').open = true;
}

function button(group, label, act) {
	const b = document.createElement('button');
	b.textContent = label;
	b.addEventListener('click', () => { act(); reflect(); });
	$(group).append(b);
}

function modules() {
	const seen = new Map();
	for (const m of data.frames.module)
		seen.set(m, (seen.get(m) || 0) + 1);
	const add = (label, v) => $('module').append(new Option(label, v));
	add('all modules', -1);
	[...seen].filter(([m]) => m).sort((a, b) => b[1] - a[1]).forEach(([m]) => add(base(profile.text(m)), m));
	$('module').addEventListener('change', () => {
		state.module = +$('module').value;
		refresh();
	});
}

function controls() {
	data.types.forEach((t, i) => button('types', plain(t.name), () => { state.type = i; refresh(); }));
	button('way', 'icicle', () => { state.icicle = true; draw(); });
	button('way', 'flame', () => { state.icicle = false; draw(); });
	button('view', 'top-down', () => { state.bottomUp = false; refresh([]); });
	button('view', 'bottom-up', () => { state.bottomUp = true; refresh([]); });
	modules();
	$('collapse').addEventListener('change', () => { state.collapse = $('collapse').checked; refresh(); });
	let timer;
	for (const k of [...FILTERS, 'search']) {
		$(k).addEventListener('input', () => {
			clearTimeout(timer);
			timer = setTimeout(() => {
				state[k] = $(k).value;
				if (k === 'search') {
					search();
					draw();
				} else {
					refresh();
				}
			}, 150);
		});
	}
	$('reset').addEventListener('click', () => zoom(0));
	$('copy').addEventListener('click', () => copy(current()));
	showTips($('chart'), $('tip'), lines);
}

function title() {
	$('title').textContent = plain(data.comm) || 'memory profile';
	$('pid').textContent = data.pid ? `pid ${data.pid}` : '';
	$('stacks').textContent = `${data.stacks.toLocaleString('en')} stacks`;
	$('loss').textContent = data.lost ? `${data.lost.toLocaleString('en')} events lost` : '';
	$('cut').textContent = data.cut ? `${data.cut.toLocaleString('en')} stacks cut` : '';
	$('loss').title = $('cut').title = data.losses.map((l) => `${plain(l.cause)}: ${l.count}`).join('\n');
	$('legend').textContent = data.difference ? 'difference: red grew, blue shrank' : '';
}

function start() {
	title();
	controls();
	const zoomed = recall();
	reflect();
	document.addEventListener('keydown', (e) => {
		const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName || '');
		if (e.key === '/' && !typing) {
			e.preventDefault();
			$('search').focus();
		} else if (e.key === 'Escape') {
			$('search').value = state.search = '';
			search();
			zoom(0);
		}
	});
	addEventListener('hashchange', () => {
		const frames = recall();
		reflect();
		refresh(frames);
	});
	let wide = innerWidth;
	addEventListener('resize', () => {
		if (innerWidth !== wide) {
			wide = innerWidth;
			draw();
		}
	});
	refresh(zoomed);
	document.body.dataset.ready = Math.round(performance.now());
}

start();
