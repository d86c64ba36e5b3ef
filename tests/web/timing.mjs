// SPDX-License-Identifier: GPL-2.0-or-later
// How long a page that memwatch serves takes until it can be used, what it fetches until then, and how long clicks
// in a flame graph take, in Chromium. usage: node timing.mjs URL RUNS [HASH]: prints one JSON object,
// {bytes: [], usable_ms: [], click_ms: []}: of each run the bytes as they came over the network, the time
// from the address to the first painted frame of the whole view, by the page's own clock (asking from outside
// takes longer than what is asked for), and, where the view of HASH is a flame
// graph, of each click to the next painted frame.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(join(dirname(fileURLToPath(import.meta.url)), '../../tools/web/package.json'));
const { chromium } = require('playwright-core');
const [, , url, runs, hash = ''] = process.argv;
const CLICKS = 6;

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
	args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});

/* Notes when the view was painted, the machine's plots too where it has some. */
function watch() {
	const look = () => {
		if (!document.body?.dataset.ready || document.querySelector('main').textContent.includes('loading the machine'))
			return;
		watcher.disconnect();
		requestAnimationFrame(() => requestAnimationFrame(() => { window.usableMs = performance.now(); }));
	};
	const watcher = new MutationObserver(look);
	watcher.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-ready'] });
}

/* One behind the other: into what is drawn, and out of it again. */
async function click(n) {
	const frames = [...document.querySelectorAll('g.frame')].sort((a, b) => b.getBoundingClientRect().width - a.getBoundingClientRect().width);
	const from = performance.now();
	frames[n % 2 ? Math.min(5, frames.length - 1) : 0].dispatchEvent(new MouseEvent('click', { bubbles: true }));
	await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
	return performance.now() - from;
}

const seen = { bytes: [], usable_ms: [], click_ms: [] };
for (let i = 0; i < +runs; i++) {
	const context = await browser.newContext({ viewport: { width: 1280, height: 800 } }); /* nothing is cached */
	const page = await context.newPage();
	const network = await context.newCDPSession(page);
	let bytes = 0;
	await network.send('Network.enable');
	network.on('Network.loadingFinished', (e) => { bytes += e.encodedDataLength; });
	await page.addInitScript(watch);
	await page.goto(url + hash);
	await page.waitForFunction(() => window.usableMs);
	seen.usable_ms.push(await page.evaluate(() => window.usableMs));
	seen.bytes.push(bytes);
	for (let k = 1; k <= CLICKS && await page.$('g.frame'); k++)
		seen.click_ms.push(await page.evaluate(click, k));
	await context.close();
}
await browser.close();
console.log(JSON.stringify(seen));
