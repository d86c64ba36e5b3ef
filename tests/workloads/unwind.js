// SPDX-License-Identifier: GPL-2.0-or-later
// unwind.js: code generated at run time between native frames; buffers, JSON, zlib, hashes.
const crypto = require('crypto');
const zlib = require('zlib');

function work() {
	const o = [];
	for (let i = 0; i < 10000; i++)
		o.push({ a: i, b: 'x'.repeat(i % 100), c: Buffer.alloc(100 + i % 1000) });
	JSON.parse(JSON.stringify(o.map((x) => x.b)));
	zlib.gzipSync(Buffer.alloc(100000, 'abc'));
	crypto.createHash('sha256').update('x').digest();
}

let left = 12;
function step() {
	work();
	if (--left)
		setImmediate(step);
	else
		console.log('done');
}

console.log('ready');
process.stdin.once('data', step);
