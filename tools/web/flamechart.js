// SPDX-License-Identifier: GPL-2.0-or-later
// The flame graph of a tree (stacks.js), zoomed to one of its nodes. Only frames wide enough to be
// seen are drawn, and again at each zoom; by hand, since a library's boxes for labels, listeners and
// transitions of every frame took most of the time of a click. Arrow keys walk it, Enter zooms.
import { pathTo } from './stacks.js';

const MIN_PX = 1.5;
const ROW = 19;
const FOUND = '#e83fb8';

const LABEL_PX = 35; /* narrower ones have no room for a word */

const nodeOf = (g) => g.node;
const frameOf = (e) => e.target.closest?.('g.frame');

export function hash(s) {
	let h = 2166136261;
	for (let i = 0; i < s.length; i++)
		h = Math.imul(h ^ s.charCodeAt(i), 16777619);
	return (h ^ (h >>> 15)) >>> 0;
}

/** By the direction of a difference (share: of what changed, from -1 to 1), else by module and name. */
function colourOf(name, module, share) {
	if (share != null)
		return `hsl(${share >= 0 ? 4 : 214} ${20 + Math.abs(share) * 65}% ${88 - Math.abs(share) * 18}%)`;
	if (name.startsWith('['))
		return `hsl(0 0% ${72 + (hash(name) % 10)}%)`;
	const h = hash(name), m = hash(module);
	return `hsl(${(m % 5) * 14 + (h % 12)} ${70 + ((h >> 8) % 20)}% ${66 + ((h >> 16) % 10)}%)`;
}

/** Children that can be seen, widest first. */
function kidsOf(tree, node, isSeen) {
	const kids = [];
	for (let c = tree.child[node]; c; c = tree.sibling[c])
		if (isSeen(c))
			kids.push(c);
	return kids.sort((a, b) => tree.weight[b] - tree.weight[a] || a - b);
}

/** The part of the tree that can be seen: {node, depth, from, to} with places as shares of the width, in the
 * order of the tree. Ancestors of the root are as wide as it. */
function visible(tree, root, width) {
	const least = (tree.weight[root] * MIN_PX) / width, all = tree.weight[root];
	const isWide = (node) => tree.weight[node] >= least && tree.weight[node] > 0;
	const above = root ? [0, ...pathTo(tree, root)] : [0], found = above.map((node, depth) => ({ node, depth, from: 0, to: 1 }));
	const grow = (node, depth, from) => {
		for (const kid of kidsOf(tree, node, isWide)) {
			const to = from + tree.weight[kid] / all;
			found.push({ node: kid, depth, from, to });
			grow(kid, depth + 1, from);
			from = to;
		}
	};
	grow(root, above.length, 0);
	return found;
}

const placed = (frames, width) => frames.map((f) => ({ ...f, x: f.from * width, width: (f.to - f.from) * width }));

function element(tag, attributes) {
	const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const [k, v] of Object.entries(attributes))
		e.setAttribute(k, v);
	return e;
}

/** Whole, as its accessible name has it: an svg in the svg shows what there is room for. */
function label(text, width) {
	const box = element('svg', { width: width - 3, height: ROW }), e = element('text', { x: 3, y: ROW - 6 });
	e.textContent = text;
	box.append(e);
	return box;
}

/**
 * Draws into host. options: {profile, tree, root, icicle, hits [by node] or null, lines(node): what
 * is told of it (its amount, its name, where it is), onZoom(node), onDetail(text), onCopy(node)}.
 * Returns {current(), focusOn(node)}: the frame that the keys are at.
 */
export function drawFlame(host, options) {
	const { profile, tree, root, icicle, hits } = options;
	const width = Math.max(280, host.clientWidth);
	const name = (node) => profile.nameOf(node, tree);
	/* values before the name: names may be longer than the screen */
	const describe = (node) => options.lines(node).join('  ');
	let current = root;

	const colour = (node) => {
		if (hits && hits[node])
			return FOUND;
		if (!node)
			return 'hsl(30 15% 80%)';
		const share = profile.data.difference ? tree.value[node] / (tree.weight[node] || 1) : null;
		return colourOf(name(node), profile.frameModule(tree.frame[node]), share);
	};
	const frames = () => [...host.querySelectorAll('g.frame')];
	const frameFor = (node) => frames().find((g) => nodeOf(g) === node);

	/** Makes one frame the one that Tab leads to. */
	const visit = (node) => {
		frameFor(current)?.setAttribute('tabindex', -1);
		current = node;
		frameFor(node)?.setAttribute('tabindex', 0);
		options.onDetail(describe(node));
	};
	const focusOn = (node) => {
		const g = frameFor(node);
		if (!g)
			return;
		visit(node);
		g.focus();
	};

	/** The drawn neighbour of a frame in a direction. */
	const neighbour = (node, key) => {
		const drawn = new Set(frames().map(nodeOf)), isDrawn = (n) => drawn.has(n);
		const inward = icicle ? 'ArrowDown' : 'ArrowUp', outward = icicle ? 'ArrowUp' : 'ArrowDown';
		if (key === outward)
			return node ? tree.parent[node] : null;
		if (key === inward)
			return kidsOf(tree, node, isDrawn)[0];
		const row = node ? kidsOf(tree, tree.parent[node], isDrawn) : [0];
		return row[row.indexOf(node) + (key === 'ArrowRight' ? 1 : -1)];
	};

	/* a click draws all anew: what is the same for all is asked once, and only what can be read is written */
	const paint = () => {
		const drawn = placed(visible(tree, root, width), width), rows = 1 + Math.max(...drawn.map((f) => f.depth));
		const svg = element('svg', {
			class: 'flame-graph', role: 'group', width, height: rows * ROW, viewBox: `0 0 ${width} ${rows * ROW}`,
			'aria-label': 'flame graph; arrow keys move, Enter zooms, c copies the stack',
		});
		for (const f of drawn) {
			const g = element('g', {
				class: 'frame', name: name(f.node), role: 'button', tabindex: f.node === current ? 0 : -1, 'aria-label': describe(f.node),
				transform: `translate(${f.x},${(icicle ? f.depth : rows - 1 - f.depth) * ROW})`,
			});
			g.append(element('rect', { width: f.width, height: ROW, fill: colour(f.node) }));
			if (f.width >= LABEL_PX)
				g.append(label(name(f.node), f.width));
			g.node = f.node;
			svg.append(g);
		}
		host.replaceChildren(svg);
		host.dataset.frames = drawn.length;
	};
	paint();
	host.onclick = (e) => {
		const g = frameOf(e);
		if (g)
			options.onZoom(g.node);
	};
	host.onmouseover = (e) => options.onDetail(frameOf(e) ? describe(frameOf(e).node) : '');
	host.onfocusin = (e) => {
		if (frameOf(e))
			visit(frameOf(e).node);
	};
	host.onkeydown = (e) => {
		if (!frameOf(e))
			return;
		if (e.key === 'Enter' || e.key === ' ') {
			e.preventDefault();
			options.onZoom(current);
		} else if (e.key.startsWith('Arrow')) {
			e.preventDefault();
			const to = neighbour(current, e.key);
			if (to != null)
				focusOn(to);
		} else if (e.key === 'c' && !e.ctrlKey && !e.metaKey) {
			options.onCopy(current);
		}
	};
	return { current: () => current, focusOn };
}

/** Shows what is told of the frame under the pointer beside it, in lines. */
export function showTips(host, tip, lines) {
	host.addEventListener('pointermove', (e) => {
		const g = frameOf(e);
		tip.hidden = !g;
		if (!g)
			return;
		tip.replaceChildren();
		for (const [i, line] of lines(nodeOf(g)).entries()) {
			const p = document.createElement(i === 1 ? 'b' : 'div');
			p.textContent = line;
			tip.append(p);
		}
		const box = tip.getBoundingClientRect();
		tip.style.left = `${Math.max(4, Math.min(e.clientX + 14, innerWidth - box.width - 8))}px`;
		tip.style.top = `${e.clientY + 18 + box.height > innerHeight ? e.clientY - box.height - 10 : e.clientY + 18}px`;
	});
	host.addEventListener('pointerleave', () => { tip.hidden = true; });
}

/** The stack of a node to the clipboard, innermost first, below its amount; how many frames it has. */
export async function copyStack(profile, tree, node, amount) {
	const path = pathTo(tree, node);
	if (!tree.bottomUp)
		path.reverse();
	const stack = `${amount}\n${path.map((n) => profile.nameOf(n, tree)).join('\n')}\n`;
	try {
		await navigator.clipboard.writeText(stack);
	} catch { // pages from files may have no clipboard
		const area = document.createElement('textarea');
		area.value = stack;
		document.body.append(area);
		area.select();
		document.execCommand('copy');
		area.remove();
	}
	document.body.dataset.copied = stack;
	return path.length;
}
