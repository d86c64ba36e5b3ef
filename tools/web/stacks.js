// SPDX-License-Identifier: GPL-2.0-or-later
// From a profile's data (profile.js) to the tree that is shown: stacks are focused, ignored, hidden,
// collapsed and turned around here.

/** Frames of the stack that ends at a node, root first. */
function pathOf(data, node) {
	const path = [];
	for (let n = node; n; n = data.nodes.parent[n])
		path.push(data.nodes.frame[n]);
	return path.reverse();
}

function isPlain(o) {
	return !o.bottomUp && !o.collapse && !o.focus && !o.ignore && !o.hide && o.module < 0;
}

/** Each function once in a stack: where it was called first. */
function once(path) {
	const seen = new Set();
	return path.filter((f) => !seen.has(f) && seen.add(f));
}

const AS_IT_IS = { bottomUp: false, collapse: false, focus: null, ignore: null, hide: null, module: -1 };

/**
 * The tree of one sample type under the options {bottomUp, collapse, focus, ignore, hide, module}:
 * {parent, frame, self, value, weight, child, sibling, bottomUp}; parents come before children, node
 * 0 is the root. value is the net sum, weight the sum of absolute values. focus, ignore and hide are
 * arrays of 0 and 1 by frame, or null; module is the id of its name.
 */
export function makeTree(data, type, options) {
	const own = data.values[type], o = { ...AS_IT_IS, ...options };
	let t;

	if (isPlain(o)) {
		t = { parent: data.nodes.parent, frame: data.nodes.frame };
		t.self = new Float64Array(t.parent.length);
		data.leaves.forEach((node, k) => { t.self[node] += own[k]; });
		t.weight = new Float64Array(t.parent.length);
		data.leaves.forEach((node, k) => { t.weight[node] += Math.abs(own[k]); });
	} else {
		t = build(data, own, o);
	}
	t.bottomUp = o.bottomUp;
	return finish(t);
}

function build(data, own, o) {
	const parent = [0], frame = [0], self = [0], weight = [0], index = new Map();
	const nframes = data.frames.name.length;

	data.leaves.forEach((node, k) => {
		if (!own[k])
			return;
		let path = pathOf(data, node);
		if (o.focus && !path.some((f) => o.focus[f]))
			return;
		if (o.ignore && path.some((f) => o.ignore[f]))
			return;
		if (o.module >= 0 && !path.some((f) => data.frames.module[f] === o.module))
			return;
		if (o.hide)
			path = path.filter((f) => !o.hide[f]);
		if (o.collapse)
			path = once(path);
		if (o.bottomUp)
			path.reverse();
		let at = 0;
		for (const f of path) {
			const key = at * nframes + f;
			let next = index.get(key);
			if (next === undefined) {
				next = parent.length;
				index.set(key, next);
				parent.push(at);
				frame.push(f);
				self.push(0);
				weight.push(0);
			}
			at = next;
		}
		self[at] += own[k];
		weight[at] += Math.abs(own[k]);
	});
	return { parent, frame, self, weight };
}

function finish(t) {
	const n = t.parent.length;

	t.value = Float64Array.from(t.self);
	t.weight = Float64Array.from(t.weight);
	t.child = new Int32Array(n);
	t.sibling = new Int32Array(n);
	for (let i = n - 1; i > 0; i--) {
		const p = t.parent[i];
		t.value[p] += t.value[i];
		t.weight[p] += t.weight[i];
		t.sibling[i] = t.child[p];
		t.child[p] = i;
	}
	return t;
}

/** Nodes from the outermost to this one, without the root. */
export function pathTo(tree, node) {
	const path = [];
	for (let n = node; n; n = tree.parent[n])
		path.unshift(n);
	return path;
}

/** The node that a path of frames leads to; the root where that is not there, or holds nothing. */
export function follow(tree, frames) {
	let at = 0;
	for (const f of frames) {
		let c = tree.child[at];
		while (c && tree.frame[c] !== f)
			c = tree.sibling[c];
		if (!c || !(tree.weight[c] > 0))
			return 0;
		at = c;
	}
	return at;
}

/** Which nodes have a frame that was found [by frame], how many, and what runs through them. */
export function findNodes(tree, found) {
	const n = tree.parent.length, below = new Uint8Array(n), hits = new Uint8Array(n);
	let count = 0, value = 0;
	for (let i = 1; i < n; i++) {
		const p = tree.parent[i];
		below[i] = below[p] | hits[p];
		hits[i] = found[tree.frame[i]];
		count += hits[i];
		if (hits[i] && !below[i])
			value += tree.value[i];
	}
	return { hits, count, value };
}
