// SPDX-License-Identifier: GPL-2.0-or-later
// Bundles the pages' scripts and styles with what they use from npm, and writes them as C arrays.
// usage: node build.mjs OUTPUT.h
import { buildSync } from 'esbuild';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
let header = '/* made by tools/web/build.mjs from npm packages: see tools/web/package.json */\n';
for (const page of ['flame', 'timeline']) {
	const built = buildSync({
		entryPoints: [join(here, `${page}.js`)],
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
		const kind = file.path.endsWith('.css') ? 'css' : 'js';
		if (/<\/(script|style)/i.test(file.text))
			throw new Error(`${page}.${kind} would end its own element`);
		const bytes = Array.from(file.contents);
		let rows = '';
		for (let i = 0; i < bytes.length; i += 24)
			rows += bytes.slice(i, i + 24).join(',') + ',\n';
		header += `static const unsigned char web_${page}_${kind}[] = {\n${rows}};\n`;
	}
}
writeFileSync(process.argv[2], header);
