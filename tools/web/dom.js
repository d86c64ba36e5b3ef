// SPDX-License-Identifier: GPL-2.0-or-later
// Elements. Names are hostile: they reach the page as text nodes and attributes only.

/** h('a', {href, onclick, …}, children…): strings become text; false and null are left out. */
export function h(tag, props = {}, ...children) {
	const e = document.createElement(tag);
	for (const [k, v] of Object.entries(props)) {
		if (v == null || v === false)
			continue;
		if (k.startsWith('on'))
			e.addEventListener(k.slice(2), v);
		else
			e.setAttribute(k, v === true ? '' : v);
	}
	e.append(...children.flat(Infinity).filter((c) => c != null && c !== false));
	return e;
}

/** A group of buttons of which one is pressed: options [{value, label}]. */
export function choice(label, options, value, act) {
	return h('span', { class: 'group', role: 'group', 'aria-label': label }, options.map((o) =>
		h('button', { 'aria-pressed': String(o.value === value), onclick: () => act(o.value) }, o.label)));
}

/** What is said where there is nothing to show, and why. */
export const empty = (text) => h('p', { class: 'empty' }, text);

/** A name that may be long: cut off where there is no room, whole as a title. */
export const cut = (text, more = {}) => h('span', { class: 'name cut', title: text, ...more }, text);

const AT_ONCE = 80; /* rows, more than a screen has */
const BETWEEN = 140; /* and so many more between two frames */

/** The rows that a screen shows are there at once, those below it in the frames that follow; all at once for who
 * has scrolled down to them. */
function fill(body, rows, make) {
	let n = 0;
	const add = (count) => {
		body.append(...rows.slice(n, n + count).map(make));
		n += count;
	};
	const more = () => {
		if (!body.isConnected)
			return;
		add(BETWEEN);
		if (n < rows.length)
			requestAnimationFrame(() => setTimeout(more));
	};
	add(scrollY > 0 ? rows.length : AT_ONCE);
	if (n < rows.length)
		requestAnimationFrame(() => setTimeout(more));
	return body;
}

/** A table that scrolls in itself. columns: [{label, number, cell(row), key, wide}]; wide: left out
 * where the window is narrow. */
export function table(caption, columns, rows, attributes = {}) {
	return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
		h('table', attributes, h('caption', {}, caption),
			h('thead', {}, h('tr', {}, columns.map((c) =>
				h('th', { scope: 'col', class: kind(c), 'aria-sort': c.sorted && 'descending' },
					c.onsort ? h('button', { class: 'plain', onclick: c.onsort }, c.label) : c.label)))),
			fill(h('tbody'), rows, (r) => h('tr', {}, columns.map((c) => h('td', { class: kind(c) }, c.cell(r)))))));
}

const kind = (c) => [c.number && 'number', c.wide && 'wide'].filter(Boolean).join(' ') || null;

/** A bar of a share between 0 and 1, and beside it the number that says the same: bars of a column stand in line. */
export function bar(share, text) {
	const e = h('span', { class: 'bar', 'aria-hidden': 'true' });
	const inner = h('span', {});
	inner.style.width = `${Math.max(0, Math.min(1, Math.abs(share) || 0)) * 100}%`;
	e.append(inner);
	return [e, h('span', { class: 'beside' }, text)];
}
