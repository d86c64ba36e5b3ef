// SPDX-License-Identifier: GPL-2.0-or-later
// Bundles the pages' scripts and styles with what they use from npm. usage: node build.mjs FOLDER
import { buildSync } from 'esbuild';
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// what comes out; tools/web.mk reads this line too
const files = ['app.js', 'app.css', 'flame.js', 'flame.css', 'timeline.js', 'timeline.css'];

const here = dirname(fileURLToPath(import.meta.url));
const made = [];
for (const page of files.filter((f) => f.endsWith('.js'))) {
	const built = buildSync({
		entryPoints: [join(here, page)],
		bundle: true,
		minify: true,
		write: false,
		format: 'iife',
		target: 'es2020',
		outdir: 'out',
		legalComments: 'inline',
		logLevel: 'warning',
	});
	for (const file of built.outputFiles) {
		const name = basename(file.path);
		if (/<\/(script|style)/i.test(file.text))
			throw new Error(`${name} would end its own element`);
		writeFileSync(join(process.argv[2], name), file.contents);
		made.push(name);
	}
}
if (made.sort().join() !== [...files].sort().join())
	throw new Error(`made ${made}, not ${files}`);
