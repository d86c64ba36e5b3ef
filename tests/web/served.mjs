// SPDX-License-Identifier: GPL-2.0-or-later
// Uses the page that memwatch serves as a person would, checks each view with axe-core, and prints
// what was seen as one JSON object. usage: node served.mjs URL SHOTS-PREFIX STEPS.json
// Steps: [{go: 'hash'}, {open: 'hash'} (without waiting), {hold: 'path'} (what is asked of the server there is not
// sent), {release: true} (now it is), {click: 'selector'}, {fill: ['selector', 'text']}, {press: ['selector', 'key']},
// {drag: 'selector'}, {tab: 'selector'} (by the Tab key), {key: 'key'}, {type: 'text'}, {reload: true}, {wait: 'expression'}, {see: ['name', 'expression']}, {view: 'name'} (a picture
// in light and dark, also at a phone's width, axe, and Tab once around)].
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(here, '../../tools/web/package.json'));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [, , url, shots, stepsFile] = process.argv;
const origin = new URL(url).origin;
const seen = { errors: [], requests: [], dialogs: 0, axe: [], overflow: [], paper: [], unseen: [], keyboard: [], pwned: null };

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
	args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
		'--disable-component-update', '--disable-sync', '--no-first-run'],
});
/* the page's policy forbids scripts from elsewhere, which axe is */
const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
const page = await context.newPage();
const PATIENCE = 180_000; /* how long something takes is the machine's matter */
page.setDefaultTimeout(PATIENCE);
page.on('pageerror', (e) => seen.errors.push(e.message));
page.on('console', (m) => m.type() === 'error' && seen.errors.push(m.text()));
page.on('response', (r) => r.status() >= 400 && seen.errors.push(`${r.status()} ${r.url()}`));
page.on('dialog', (d) => { seen.dialogs++; d.dismiss(); });
page.on('request', (r) => r.url().startsWith(origin) || r.url().startsWith('data:') || seen.requests.push(r.url()));

const ready = () => page.waitForFunction(() => document.body.dataset.ready && +document.body.dataset.width === innerWidth);

async function check(name) {
	/* evaluate runs beside the page's policy */
	await page.evaluate(axe);
	const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
	for (const v of result.violations)
		seen.axe.push(`${name}: ${v.id}: ${v.nodes.map((n) => `${n.target.join(' ')} (${(n.any[0] || n.all[0] || {}).message || ''})`).slice(0, 3).join(', ')}`);
}

/* the drawing library moves its frames to their places in the frames that follow */
const settled = () => page.evaluate(async () => {
	for (let i = 0; i < 6; i++)
		await new Promise(requestAnimationFrame);
});

/* Printed from a wide dark screen: nothing that is drawn is wider than the paper, and it is light. */
async function paper(name) {
	await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
	await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
	await settled();
	const wide = await page.evaluate(() => {
		const main = document.querySelector('main');
		main.style.width = '720px';
		const most = Math.max(0, ...[...main.querySelectorAll('svg, canvas')].map((e) => e.getBoundingClientRect().width));
		main.style.width = '';
		return [most, getComputedStyle(document.body).backgroundColor];
	});
	await page.evaluate(() => dispatchEvent(new Event('afterprint')));
	await settled();
	if (wide[0] > 720 || wide[1] !== 'rgb(255, 255, 255)')
		seen.paper.push(`${name}: ${wide}`);
}

/* Tab leads around, to all that the mouse can use, each seen to have the focus. What is redrawn meanwhile is
 * known by what it says; losing the focus by that looks like the end, so that it goes around more than once. */
async function walk(name) {
	await page.evaluate(() => {
		window.walked = new Set();
		window.known = (e) => [e.tagName, e.getAttribute('aria-label') || e.textContent.trim().slice(0, 60) || e.id].join(' ');
	});
	const wrong = new Set();
	for (let laps = 0, steps = 0; laps < 3 && steps < 600; steps++) {
		await page.keyboard.press('Tab');
		const found = await page.evaluate(() => {
			const at = document.activeElement;
			if (!at || at === document.body)
				return 'end';
			const box = at.getBoundingClientRect();
			const marked = getComputedStyle(at).outlineStyle !== 'none' ||
				(at.matches('g.frame') && getComputedStyle(at.querySelector('rect')).strokeWidth === '2px');
			window.walked.add(window.known(at));
			return !box.width || !box.height ? `${window.known(at)}: nothing to see` : marked ? '' : `${window.known(at)}: no outline`;
		});
		if (found === 'end')
			laps++;
		else if (found)
			wrong.add(found);
	}
	const [missed, n] = await page.evaluate(() => [[...document.querySelectorAll('a[href], button, select, input, textarea, summary, [tabindex]')]
		.filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility()).map(window.known)
		.filter((e) => !window.walked.has(e)), window.walked.size]);
	seen.keyboard.push(...[...wrong, ...missed.map((m) => `${m}: not reached`)].map((m) => `${name}: ${m}`));
	seen.walked = (seen.walked || 0) + n;
}

async function view(name) {
	for (const scheme of ['light', 'dark']) {
		await page.emulateMedia({ colorScheme: scheme });
		await settled();
		await page.screenshot({ path: `${shots}-${name}-${scheme}.png` });
		await check(`${name} ${scheme}`);
	}
	await walk(name);
	await paper(name);
	await page.setViewportSize({ width: 390, height: 800 });
	for (const scheme of ['dark', 'light']) {
		await page.emulateMedia({ colorScheme: scheme, media: 'screen' });
		await ready();
		await settled();
		await page.screenshot({ path: `${shots}-${name}-phone${scheme === 'dark' ? '-dark' : ''}.png` });
		await check(`${name} phone ${scheme}`);
		const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
		if (over > 0)
			seen.overflow.push(`${name} ${scheme}: ${over} px too wide`);
	}
	await page.setViewportSize({ width: 1400, height: 900 });
	await ready();
}

async function drag(selector) {
	await page.locator(selector).first().hover(); /* what the mouse is over is not drawn anew */
	const box = await page.locator(selector).first().boundingBox();
	await page.mouse.move(box.x + box.width * 0.3, box.y + box.height / 2);
	await page.mouse.down();
	await page.mouse.move(box.x + box.width * 0.7, box.y + box.height / 2, { steps: 5 });
	await page.mouse.up();
}

/* Tab, until what is meant has the focus; it shows that it has. */
async function tab(selector) {
	for (let i = 0; i < 500; i++) {
		await page.keyboard.press('Tab');
		const shown = await page.evaluate((s) => {
			const e = document.activeElement, rect = e.querySelector('rect'); /* what is drawn has a stroke */
			return e.matches(s) ? getComputedStyle(e).outlineStyle !== 'none' || (rect && getComputedStyle(rect).strokeWidth === '2px') : 'elsewhere';
		}, selector);
		if (shown === 'elsewhere')
			continue;
		if (!shown)
			seen.unseen.push(`${selector} has the focus and does not show it`);
		return;
	}
	throw new Error('the Tab key does not lead there');
}

/* the page's policy forbids what waitForFunction does with a text */
async function until(expression) {
	for (const end = Date.now() + PATIENCE; Date.now() < end;) {
		if (await page.evaluate(expression))
			return;
		await page.waitForTimeout(50);
	}
	throw new Error(`it did not become true; shown: ${await page.evaluate(() => `${location.hash} ${document.querySelector('main').innerText.slice(0, 500)}`)}`);
}

let release;

const acts = {
	go: async (hash) => {
		await page.evaluate((to) => { delete document.body.dataset.ready; location.hash = to; }, hash);
		/* not what was being drawn when it was asked for */
		await page.waitForFunction((to) => document.body.dataset.ready && document.body.dataset.shown.startsWith(to), `#${hash}`);
		await ready();
	},
	open: (hash) => page.evaluate((to) => { location.hash = to; }, hash),
	hold: (path) => {
		const gate = new Promise((open) => { release = open; });
		return page.route((u) => u.pathname === path, async (route) => {
			await gate;
			await route.continue();
		});
	},
	release: () => release(),
	reload: async () => {
		await page.reload();
		await ready();
		await settled();
	},
	click: (selector) => page.locator(selector).first().click(),
	fill: ([selector, text]) => page.fill(selector, text),
	press: ([selector, key]) => page.locator(selector).first().press(key),
	drag,
	tab,
	key: (key) => page.keyboard.press(key),
	type: (text) => page.keyboard.type(text),
	wait: until,
	see: async ([name, expression]) => { seen[name] = await page.evaluate(expression); },
	view,
};

await page.goto(url);
await page.waitForURL((u) => !u.search.includes('token'));
await ready();
for (const step of JSON.parse(readFileSync(stepsFile, 'utf8')))
	for (const [what, arg] of Object.entries(step)) {
		try {
			await acts[what](arg);
		} catch (e) {
			throw new Error(`${what} ${JSON.stringify(arg)}: ${e.message}`);
		}
	}
seen.pwned = await page.evaluate(() => (window.pwned === undefined ? null : String(window.pwned)));
seen.cookies = (await context.cookies()).map((c) => ({ httpOnly: c.httpOnly, sameSite: c.sameSite }));
await browser.close();
console.log(JSON.stringify(seen));
