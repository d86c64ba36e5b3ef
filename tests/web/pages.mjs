// SPDX-License-Identifier: GPL-2.0-or-later
// Opens pages that memwatch wrote in Chromium, uses them as a person would, and prints what was
// seen as one JSON object. usage: node pages.mjs flame|more|svg|timeline|states|bands|paper|weblist|graph FILE SHOTS-PREFIX
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inflateSync } from 'node:zlib';

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

/** What the accessibility rules of WCAG 2 A and AA say: nothing, or the rules and where. */
async function axe(page) {
	await page.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
	return page.evaluate(async () => (await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'best-practice'] })).violations
		.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')}`));
}

/** At a phone's width: what is wider than the window, and what is drawn. */
async function narrow(page, rules = true) {
	await page.setViewportSize({ width: 390, height: 700 });
	await page.waitForFunction(() => [...document.querySelectorAll('canvas')].every((c) => c.getBoundingClientRect().width <= innerWidth));
	seen.narrow = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
	if (rules)
		seen.axe_narrow = await axe(page);
	await page.screenshot({ path: `${shots}-390.png` });
}

/** A PDF's pages, and how many colours that are no greys are filled with. */
function inPdf(pdf) {
	const raw = pdf.toString('latin1'), colours = new Set();
	for (const m of raw.matchAll(/\bstream\r?\n/g)) {
		const from = m.index + m[0].length;
		let page;
		try {
			page = inflateSync(pdf.subarray(from, raw.indexOf('endstream', from))).toString('latin1');
		} catch {
			continue; // a font
		}
		for (const [, ...rgb] of page.matchAll(/([\d.]+) ([\d.]+) ([\d.]+) rg\b/g))
			if (Math.max(...rgb) - Math.min(...rgb) > 0.1)
				colours.add(rgb.join());
	}
	return { pages: raw.match(/\/Type\s*\/Page\b/g).length, colours: colours.size };
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
		seen[`axe_${scheme}`] = await axe(page);
		if (scheme === 'light')
			await page.close();
		else
			await use(page);
	}
}

/** By keyboard alone: to the frames, along them, into one, and what is said then. */
async function keys(page) {
	const label = () => page.evaluate(() => document.activeElement.getAttribute('aria-label'));
	seen.tab_stops = 0;
	while (!(await page.evaluate(() => !!document.activeElement.closest('g.frame'))) && seen.tab_stops < 60) {
		await page.keyboard.press('Tab');
		seen.tab_stops++;
	}
	seen.walk = [await label()];
	for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown', 'ArrowRight', 'ArrowLeft', 'ArrowUp']) {
		await page.keyboard.press(key);
		seen.walk.push(await label());
	}
	await page.keyboard.press('c');
	await page.waitForFunction(() => document.body.dataset.copied);
	seen.copied = await page.evaluate(() => document.body.dataset.copied);
	await page.keyboard.press('Enter');
	seen.said = await text(page, 'status');
	seen.focus_after_zoom = await label();
	await page.keyboard.press('Escape');
	seen.said_after = await text(page, 'status');
}

async function more() {
	const page = await open('light');
	await page.waitForSelector('body[data-ready]');
	seen.axe = {};
	await keys(page);
	const names = () => page.$$eval('g.frame', (g) => g.map((e) => e.getAttribute('name')));
	const labels = () => page.$$eval('g.frame', (g) => g.map((e) => e.getAttribute('aria-label')));
	await page.click('#view button:nth-child(2)');
	seen.bottom_up = await labels();
	await page.click('#view button:nth-child(1)');
	await page.click('#filters summary');
	for (const [k, v] of [['focus', 'handle'], ['ignore', 'needle'], ['hide', 'store']]) {
		const before = await text(page, 'total') + (await names()).length;
		await page.fill(`#${k}`, v);
		await page.waitForFunction((k) => location.hash.includes(`${k}=`), k);
		seen[k] = { before, total: await text(page, 'total'), names: await names() };
		seen.axe[k] = await axe(page);
		await page.fill(`#${k}`, '');
		await page.waitForFunction((k) => !location.hash.includes(`${k}=`), k);
	}
	await page.check('#collapse');
	seen.collapsed = await names();
	await page.uncheck('#collapse');
	await page.fill('#search', 'libother');
	await page.waitForFunction(() => /^[1-9]/.test(document.getElementById('found').textContent));
	seen.found_module = await text(page, 'found');
	await page.locator('g.frame').nth(2).hover();
	seen.tip = await text(page, 'tip');
	seen.axe.tip = await axe(page);
	seen.detail = await text(page, 'detail');
	await page.locator('g.frame').nth(2).click();
	await page.click('#types button:first-child');
	seen.axe.zoomed = await axe(page);
	seen.link = await page.evaluate(() => location.hash);
	const again = await open('light', seen.link);
	await again.waitForSelector('body[data-ready]');
	seen.link_crumbs = [await text(page, 'crumbs'), await text(again, 'crumbs')];
	seen.link_labels = [await labels(), await again.$$eval('g.frame', (g) => g.map((e) => e.getAttribute('aria-label')))];
	await again.close();
	await page.screenshot({ path: `${shots}-filters.png` });
	await page.emulateMedia({ media: 'print' });
	await page.setViewportSize({ width: 1000, height: 700 });
	seen.print = await page.evaluate(() => [document.querySelector('#chart svg').getBoundingClientRect().width, innerWidth]);
	await page.screenshot({ path: `${shots}-print.png` });
	await page.emulateMedia({ media: null });
	await page.setViewportSize({ width: 1280, height: 800 });
	seen.pdf = [];
	for (const colorScheme of ['light', 'dark']) {
		await page.emulateMedia({ colorScheme });
		seen.pdf.push(inPdf(await page.pdf({ path: `${shots}-${colorScheme}.pdf`, format: 'A4', landscape: true })));
	}
	await page.emulateMedia({ colorScheme: 'light' });
	await narrow(page);
	await page.keyboard.press('Escape');
	seen.narrow_box = await page.$eval('g.frame rect', (r) => r.getBoundingClientRect().width);
	seen.body = await page.evaluate(() => document.body.innerText);
	await page.close();
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
	await page.waitForFunction((name) => [...document.querySelectorAll("g.frame")].some((e) =>
		e.getAttribute("name") === name && e.getBoundingClientRect().width > 1200), seen.zoom_to);
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
		seen.role = await page.evaluate(() => ['role', 'aria-label'].map((a) => document.documentElement.getAttribute(a)));
		seen.frames = await page.$$eval('.f', (g) => g.length);
		seen.titles = await page.$$eval('.f title', (t) => t.map((e) => e.textContent).slice(0, 400));
		seen.hits = await page.$$eval('.f.hit', (g) => g.length);
		seen.found = await text(page, 'found');
		const tf = () => page.$eval('.f', (g) => g.getAttribute('transform'));
		seen.flame = await tf();
		await page.click('#turn');
		seen.icicle = await tf();
		/* the same by keyboard, and the search */
		await page.evaluate(() => { window.prompt = () => 'libother'; });
		const press = async (id, key) => {
			for (let i = 0; i < 9 && (await page.evaluate(() => document.activeElement?.id)) !== id; i++)
				await page.keyboard.press('Tab');
			await page.keyboard.press(key);
		};
		await press('turn', 'Enter');
		seen.turned = await tf();
		await press('find', 'Space');
		seen.asked = await text(page, 'found');
		seen.buttons = await page.$$eval('[role=button]', (l) => l.map((e) => e.textContent));
		seen[`axe_${scheme}`] = await axe(page);
		seen.walk = await walkPicture(page, press);
		seen.pwned = await page.evaluate(() => window.pwned === undefined ? null : String(window.pwned));
		seen.scripts = await page.$$eval('script', (s) => s.length);
		await page.screenshot({ path: `${shots}-${scheme}-keys.png` });
		await page.close();
	}
}

/** From the last button on by keyboard: the frames as they are told, as a flame and as an icicle. */
async function walkPicture(page, press) {
	const label = () => page.evaluate(() => document.activeElement.getAttribute('aria-label'));
	const told = { stops: await page.$$eval('[tabindex="0"]', (l) => l.length) };
	for (const [way, from, to] of [['flame', 'ArrowUp', 'ArrowDown'], ['icicle', 'ArrowDown', 'ArrowUp']]) {
		await press('find', 'Tab');
		told[way] = [await label()];
		for (const key of [from, from, 'ArrowRight', 'ArrowLeft', to, to, to]) {
			await page.keyboard.press(key);
			told[way].push(await label());
		}
		await page.evaluate(() => document.activeElement.blur());
		await press('turn', 'Enter');
	}
	return told;
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
		seen.charts = await page.$$eval('.uplot[role=img]', (l) => l.map((e) => e.getAttribute('aria-label')));
		await page.focus('.uplot');
		await page.keyboard.press('End');
		await page.keyboard.press('ArrowLeft');
		seen.walked = await text(page, 'status');
		seen[`axe_${scheme}`] = await axe(page);
		seen.headings = await page.$$eval('h2', (l) => l.map((e) => e.textContent));
		if (await page.isVisible('#index')) {
			seen.rows = await page.$$eval('#index tbody tr', (l) => l.map((e) => e.innerText));
			await page.fill('#filter', '1017');
			seen.filtered = await text(page, 'count');
			await page.click('#index tbody tr:not([hidden]) input');
			seen.chosen = await page.$$eval('h2', (l) => l.map((e) => e.textContent));
			seen.height = await page.evaluate(() => document.documentElement.scrollHeight);
		}
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
		await narrow(page, !seen.axe_narrow); /* thousands of rows take a while */
		await page.close();
	}
}

/** What the accessibility rules say of a page in each of its states, at a desk's and a phone's width. */
async function states() {
	seen.states = {};
	for (const width of [1280, 390]) {
		for (const scheme of ['light', 'dark']) {
			const page = await open(scheme);
			await page.setViewportSize({ width, height: 800 });
			if (await page.$('#data'))
				await page.waitForSelector('body[data-ready]');
			for (const [name, act] of await statesOf(page)) {
				await act();
				seen.states[`${name}, ${scheme}, ${width}`] = await axe(page);
				const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
				if (wide > 0)
					seen.states[`${name}, ${scheme}, ${width}`].push(`${wide} pixels too wide`);
				await page.screenshot({ path: `${shots}-${name.replaceAll(' ', '-')}-${scheme}-${width}.png` });
			}
			await page.close();
		}
	}
}

async function statesOf(page) {
	if (await page.$('#view'))
		return flameStates(page);
	return await page.$('#plots') ? timelineStates(page, await page.isVisible('#index')) : [['opened', () => {}]];
}

function flameStates(page) {
	const fill = async (id, value) => {
		await page.fill(`#${id}`, value);
		await page.waitForFunction(([id, v]) => location.hash.includes(`${id}=`) === !!v, [id, value]);
	};
	return [
		['opened', () => {}],
		['filters', () => page.click('#filters summary')],
		['nothing left', () => fill('focus', 'no such frame')],
		['focus', () => fill('focus', 'handle')],
		['ignore', async () => { await fill('focus', ''); await fill('ignore', 'needle'); }],
		['hide', async () => { await fill('ignore', ''); await fill('hide', 'store'); }],
		['collapsed', async () => { await fill('hide', ''); await page.check('#collapse'); }],
		['bottom-up', () => page.click('#view button:nth-child(2)')],
		['flame', () => page.click('#way button:nth-child(2)')],
		['search', () => fill('search', 'needle')],
		['found nothing', () => fill('search', 'no such frame')],
		['a module', () => page.selectOption('#module', { index: 1 })],
		['tip', () => page.locator('g.frame').nth(1).hover()],
		['zoomed', () => page.locator('g.frame').nth(1).dispatchEvent('click')],
		['another type', () => page.click('#types button:first-child')],
	];
}

function timelineStates(page, indexed) {
	const all = [
		['opened', () => {}],
		['hover', () => page.locator('.u-over').first().hover()],
		['walked', async () => { await page.focus('.uplot'); await page.keyboard.press('End'); await page.keyboard.press('ArrowLeft'); }],
	];
	const index = [
		['filtered', () => page.fill('#filter', '1017')],
		['chosen', () => page.click('#index tbody tr:not([hidden]) input')],
		['none', () => page.fill('#filter', 'no such process')],
		['all again', () => page.fill('#filter', '')],
	];
	return [...all, ...(indexed ? index : [])];
}

/** The bands of the first chart, the lowest first, by the names in its legend. */
async function bands() {
	const page = await open('light');
	if (file.endsWith('.html'))
		await page.waitForSelector('body[data-ready]');
	seen.bands = await page.evaluate(file.endsWith('.html') ? painted : drawn);
}

function painted() {
	const plot = document.querySelector('.uplot'), c = plot.querySelector('canvas'), names = new Map(), found = [];
	for (const row of plot.querySelectorAll('.u-series'))
		names.set(getComputedStyle(row.querySelector('.u-marker')).backgroundColor, row.querySelector('.u-label').textContent);
	const column = c.getContext('2d').getImageData(c.width / 2, 0, 1, c.height).data;
	for (let y = c.height - 1; y >= 0; y--) {
		const name = names.get(`rgb(${column[4 * y]}, ${column[4 * y + 1]}, ${column[4 * y + 2]})`);
		if (name && found[found.length - 1] !== name)
			found.push(name);
	}
	return found;
}

function drawn() {
	const fill = (e) => getComputedStyle(e).fill, names = new Map(), found = [];
	for (const r of document.querySelectorAll('rect[rx="2"]'))
		names.set(fill(r), r.nextElementSibling.firstChild.textContent.trim());
	const boxes = [...document.querySelectorAll('path')].filter((p) => fill(p) !== 'none').map((p) => p.getBoundingClientRect());
	const x = boxes[0].left + boxes[0].width / 2;
	for (let y = Math.max(...boxes.map((b) => b.bottom)) - 1; y > Math.min(...boxes.map((b) => b.top)); y--) {
		const name = names.get(fill(document.elementFromPoint(x, y)));
		if (name && found[found.length - 1] !== name)
			found.push(name);
	}
	return found;
}

/** Printed: what the charts are like then (widths, background, zoom), and after it again. */
async function paper() {
	for (const scheme of ['light', 'dark']) {
		const page = await open(scheme);
		await page.waitForSelector('body[data-ready]');
		await onPaper(page, scheme);
		await page.close();
	}
}

async function onPaper(page, scheme) {
	await page.evaluate(() => addEventListener('beforeprint', () => {
		window.printed = {
			widths: [...document.querySelectorAll('.uplot canvas')].map((c) => parseFloat(c.style.width) || c.width),
			background: getComputedStyle(document.documentElement).getPropertyValue('--bg').trim(),
		};
	}));
	const wide = () => page.$eval('.uplot', (e) => e.clientWidth);
	const before = await wide();
	const pdf = await page.pdf({ path: `${shots}-${scheme}.pdf`, format: 'A4', printBackground: true });
	seen[`paper_${scheme}`] = { ...(await page.evaluate(() => window.printed)), bytes: pdf.length, before, after: await wide() };
}

async function weblist() {
	for (const scheme of ['light', 'dark']) {
		const page = await open(scheme);
		seen[`axe_${scheme}`] = await axe(page);
		await page.click('summary:has(.hot)');
		seen.code = await page.$eval('details[open] .code', (e) => e.textContent);
		seen[`axe_open_${scheme}`] = await axe(page);
		await page.screenshot({ path: `${shots}-${scheme}.png` });
		await narrow(page);
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
	/* moved and zoomed by keyboard and mouse: what part of it is shown then */
	const view = () => page.evaluate(() => document.documentElement.getAttribute('viewBox').split(' ').map(Number));
	seen.views = { all: await view() };
	for (const [name, key] of [['near', '+'], ['right', 'ArrowRight'], ['down', 'ArrowDown'], ['far', '-'], ['again', '0']]) {
		await page.keyboard.press(key);
		seen.views[name] = await view();
	}
	await page.mouse.move(300, 200);
	await page.mouse.wheel(0, -500);
	await page.waitForFunction((w) => +document.documentElement.getAttribute('viewBox').split(' ')[2] < w, seen.views.all[2]);
	seen.views.wheel = await view();
	await page.mouse.down();
	await page.mouse.move(400, 260);
	await page.mouse.up();
	seen.views.dragged = await view();
	await page.evaluate(() => addEventListener('beforeprint', () => {
		window.printed = document.documentElement.getAttribute('viewBox').split(' ').map(Number);
	}));
	await page.pdf({ path: `${shots}.pdf`, format: 'A4' });
	seen.views.printed = await page.evaluate(() => window.printed);
	seen.views.after = await view();
	await page.keyboard.press('Escape');
	seen.views.escape = await view();
}

try {
	await { flame, more, svg, timeline, states, bands, paper, weblist, graph }[kind]();
	console.log(JSON.stringify(seen));
} finally {
	await browser.close();
}
