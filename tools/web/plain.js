// SPDX-License-Identifier: GPL-2.0-or-later
// Names come from binaries: characters that steer a terminal or the direction of text, or show
// nothing, are shown by their numbers, as in memwatch's texts.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff]/g;

export function plain(text) {
	return text.replace(HIDDEN, (c) => {
		const n = c.charCodeAt(0);
		return n < 256 ? `\\x${n.toString(16).padStart(2, '0')}` : `\\u${n.toString(16).padStart(4, '0')}`;
	});
}

/** What a search means: an expression, or where it is none, a text. */
export function matcher(q) {
	try {
		const re = new RegExp(q, 'i');
		return (s) => re.test(s);
	} catch {
		const low = q.toLowerCase();
		return (s) => s.toLowerCase().includes(low);
	}
}
