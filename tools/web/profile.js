// SPDX-License-Identifier: GPL-2.0-or-later
// A profile as it stands in a page or as the server sends it (memwatch.flame/1; flame_html.c writes
// it): types [{name, unit}], type (first shown), strings [text], frames {name, module, file} (string
// ids), nodes {parent, frame} (parents first, node 0 is the root), leaves [node], values [per type
// [per leaf]], losses [{cause, count}], lost, cut, difference, comm, pid, stacks; and what is made
// of it: trees, functions with their callers and callees.
import { matcher, plain } from './plain.js';
import { makeTree } from './stacks.js';

export class Profile {
	constructor(data) {
		this.data = data;
		data.strings = data.strings.map(plain);
		this.parent = data.nodes.parent;
		this.frame = data.nodes.frame;
		this.count = this.parent.length;
		this.sums = new Map();
	}

	text(id) {
		return this.data.strings[id] || '';
	}

	frameName(f) {
		return this.text(this.data.frames.name[f]);
	}

	frameModule(f) {
		return this.text(this.data.frames.module[f]);
	}

	frameFile(f) {
		return this.text(this.data.frames.file[f]);
	}

	/** Of a node of this tree, or of another that was made of it. */
	nameOf(node, tree = this) {
		return node ? this.frameName(tree.frame[node]) : 'all';
	}

	/** The call tree from the outermost frame down, as it is. */
	sum(type) {
		if (!this.sums.has(type))
			this.sums.set(type, makeTree(this.data, type));
		return this.sums.get(type);
	}

	/** By frame: whether its function, file or module matches. null: nothing is asked for. */
	matching(q) {
		if (!q)
			return null;
		const { name, module, file } = this.data.frames, known = new Map(), match = matcher(q);
		const ask = (id) => {
			if (!id)
				return false;
			if (!known.has(id))
				known.set(id, match(this.text(id)));
			return known.get(id);
		};
		return name.map((id, f) => (ask(id) || ask(module[f]) || ask(file[f]) ? 1 : 0));
	}

	/** Nodes without one of the same name above: recursion counts once. */
	outermost() {
		if (!this.outer) {
			const { name } = this.data.frames, { parent, frame } = this;
			this.outer = new Uint8Array(this.count);
			for (let i = 1; i < this.count; i++) {
				let up = parent[i];
				while (up && name[frame[up]] !== name[frame[i]])
					up = parent[up];
				this.outer[i] = up ? 0 : 1;
			}
		}
		return this.outer;
	}

	/** [{name, module, flat, cum}] by name. */
	functions(type) {
		const { value, self } = this.sum(type), outer = this.outermost(), by = new Map();
		for (let i = 1; i < this.count; i++) {
			const id = this.data.frames.name[this.frame[i]];
			let e = by.get(id);
			if (!e)
				by.set(id, e = { id, name: this.text(id), module: this.frameModule(this.frame[i]), flat: 0, cum: 0 });
			e.flat += self[i];
			if (outer[i])
				e.cum += value[i];
		}
		return [...by.values()].filter((e) => e.flat || e.cum);
	}

	/** Who calls the functions of this name with how much, and whom they call. */
	peek(type, name) {
		const { value, self, child, sibling } = this.sum(type), callers = new Map(), callees = new Map();
		const add = (map, key, v) => v && map.set(key, (map.get(key) || 0) + v);
		const found = { flat: 0, cum: 0 };
		const outer = this.outermost();
		for (let i = 1; i < this.count; i++) {
			if (this.nameOf(i) !== name)
				continue;
			found.flat += self[i];
			if (outer[i])
				found.cum += value[i];
			if (this.nameOf(this.parent[i]) !== name)
				add(callers, this.parent[i] ? this.nameOf(this.parent[i]) : '', value[i]);
			for (let c = child[i]; c; c = sibling[c])
				if (this.nameOf(c) !== name)
					add(callees, this.nameOf(c), value[c]);
		}
		const sorted = (m) => [...m].map(([n, v]) => ({ name: n, value: v })).sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
		return { ...found, callers: sorted(callers), callees: sorted(callees) };
	}

	/** [{node, values [per type]}] by the size of one of them. */
	stacks(type) {
		const { values, leaves } = this.data;
		return leaves.map((node, k) => ({ node, values: values.map((v) => v[k]) }))
			.filter((s) => s.values[type])
			.sort((a, b) => Math.abs(b.values[type]) - Math.abs(a.values[type]));
	}

	/** Frames of a stack, innermost first. */
	path(node) {
		const out = [];
		for (; node; node = this.parent[node])
			out.push(this.frame[node]);
		return out;
	}
}
