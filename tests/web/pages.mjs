// SPDX-License-Identifier: GPL-2.0-or-later
// Opens pages that memwatch wrote in Chromium, uses them as a person would, and prints what was
// seen as one JSON object. usage: node pages.mjs flame|svg|timeline|graph FILE SHOTS-PREFIX
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(here, '../../tools/web/package.json'));
const { chromium } = require('playwright-core');
const [, , kind, file, shots] = process.argv;
const seen = { errors: [], requests: [], dialogs: 0 };

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
	args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
		'--disable-component-update', '--disable-sync', '--no-first-run'],
});

async function open(scheme, hash = '') {
	const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: scheme });
	page.on('pageerror', (e) => seen.errors.push(e.message));
	page.on('console', (m) => m.type() === 'error' && seen.errors.push(m.text()));
	page.on('dialog', (d) => { seen.dialogs++; d.dismiss(); });
	page.on('request', (r) => r.url().startsWith('file:') || r.url().startsWith('data:') || seen.requests.push(r.url()));
	await page.goto(pathToFileURL(file).href + hash);
	return page;
}

const text = (page, id) => page.$eval(`#${id}`, (e) => e.textContent);

async function flame() {
	for (const scheme of ['light', 'dark']) {
		const t0 = Date.now();
		const page = await open(scheme);
		await page.waitForSelector('body[data-ready]');
		seen[`open_ms_${scheme}`] = Date.now() - t0;
		seen[`background_${scheme}`] = await page.$eval('body', (e) => getComputedStyle(e).backgroundColor);
		await page.screenshot({ path: `${shots}-${scheme}.png` });
		if (scheme === 'light')
			await page.close();
		else
			await use(page);
	}
}

async function use(page) {
	const frames = () => page.$$eval('g.frame', (g) => g.length);
	const names = () => page.$$eval('g.frame', (g) => g.map((e) => e.getAttribute('name')));
	seen.title = await text(page, 'title');
	seen.total = await text(page, 'total');
	seen.frames = await frames();
	seen.names = (await names()).slice(0, 400);
	seen.types = {};
	for (const b of await page.$$('#types button')) {
		await b.click();
		seen.types[await b.textContent()] = await text(page, 'total');
	}
	await page.click('#types button:last-child');
	await page.fill('#search', 'needle');
	await page.waitForFunction(() => document.getElementById('found').textContent);
	seen.found = await text(page, 'found');
	seen.hits = await page.$$eval('g.frame rect', (r) => r.filter((e) => e.getAttribute('fill') === '#e83fb8').length);
	await page.fill('#search', '(');
	await page.waitForFunction(() => /^[0-9]/.test(document.getElementById('found').textContent));
	seen.modules = await page.$$eval('#module option', (o) => o.map((e) => e.textContent));
	await page.selectOption('#module', { index: 1 });
	seen.module_total = await text(page, 'total');
	await page.selectOption('#module', { index: 0 });
	await page.fill('#search', '');
	const y = () => page.$eval('g.frame', (g) => g.getBoundingClientRect().y);
	seen.icicle_y = await y();
	await page.click('#way button:nth-child(2)');
	seen.flame_y = await y();
	await page.click('#way button:nth-child(1)');
	const third = page.locator('g.frame').nth(2);
	seen.zoom_to = await third.getAttribute('name');
	await third.dispatchEvent('click');
	seen.crumbs = await text(page, 'crumbs');
	seen.zoomed_width = await page.$$eval('g.frame', (g, name) =>
		g.find((e) => e.getAttribute('name') === name).getBoundingClientRect().width, seen.zoom_to);
	await page.screenshot({ path: `${shots}-zoomed.png` });
	await page.click('#reset');
	seen.frames_after_reset = await frames();
	seen.legend = await text(page, 'legend');
	seen.fills = await page.$$eval('g.frame rect', (r) => [...new Set(r.map((e) => e.getAttribute('fill')))]);
	seen.pwned = await page.evaluate(() => window.pwned === undefined ? null : String(window.pwned));
	seen.scripts = await page.$$eval('script', (s) => s.length);
	seen.images = await page.$$eval('img', (s) => s.length);
}

async function svg() {
	for (const scheme of ['light', 'dark']) {
		const page = await open(scheme, '#needle');
		seen[`background_${scheme}`] = await page.$eval('rect', (e) => getComputedStyle(e).fill);
		await page.screenshot({ path: `${shots}-${scheme}.png` });
		seen.frames = await page.$$eval('.f', (g) => g.length);
		seen.titles = await page.$$eval('.f title', (t) => t.map((e) => e.textContent).slice(0, 400));
		seen.hits = await page.$$eval('.f.hit', (g) => g.length);
		seen.found = await text(page, 'found');
		const tf = () => page.$eval('.f', (g) => g.getAttribute('transform'));
		seen.flame = await tf();
		await page.click('#turn');
		seen.icicle = await tf();
		seen.pwned = await page.evaluate(() => window.pwned === undefined ? null : String(window.pwned));
		seen.scripts = await page.$$eval('script', (s) => s.length);
		await page.close();
	}
}

async function timeline() {
	for (const scheme of ['light', 'dark']) {
		const page = await open(scheme);
		await page.waitForSelector('body[data-ready]');
		seen[`background_${scheme}`] = await page.$eval('body', (e) => getComputedStyle(e).backgroundColor);
		seen.canvases = await page.$$eval('canvas', (c) => c.length);
		seen.legend = await page.$$eval('.u-label', (l) => l.map((e) => e.textContent));
		const box = await page.locator('.u-over').first().boundingBox();
		await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
		seen.values = await page.$$eval('.u-legend .u-value', (l) => l.map((e) => e.textContent));
		/* how much of the plot is painted */
		seen.painted = await page.$eval('canvas', (c) => {
			const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
			let n = 0;
			for (let i = 3; i < d.length; i += 4)
				n += d[i] > 0;
			return n / (d.length / 4);
		});
		seen.pwned = await page.evaluate(() => window.pwned === undefined ? null : String(window.pwned));
		await page.screenshot({ path: `${shots}-${scheme}.png` });
		await page.close();
	}
}

async function graph() {
	const page = await open('dark');
	seen.nodes = await page.$$eval('.node title', (t) => t.length);
	seen.labels = await page.$$eval('.node text', (t) => t.map((e) => e.textContent));
	seen.edges = await page.$$eval('.edge', (t) => t.length);
	seen.pwned = await page.evaluate(() => window.pwned === undefined ? null : String(window.pwned));
	await page.screenshot({ path: `${shots}.png` });
}

try {
	await { flame, svg, timeline, graph }[kind]();
	console.log(JSON.stringify(seen));
} finally {
	await browser.close();
}
