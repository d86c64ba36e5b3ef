// SPDX-License-Identifier: GPL-2.0-or-later
// The page over files, a live run or the daemon: /api/about says which. What is shown stands in the
// address behind '#', so that every state of the view is a link.
import './app.css';
import { h } from './dom.js';
import { plain } from './plain.js';
import { Profile } from './profile.js';
import { alerts, forget, ledger, oom, processes, timeline, windowOf } from './series.js';
import { formatTime } from './units.js';
import { flame, functions, histograms, stacks } from './views.js';

const $ = (id) => document.getElementById(id);
const PROFILE = { flame, stacks, functions, histograms };
const LABELS = {
	processes: 'processes', flame: 'flame graph', stacks: 'stacks', functions: 'functions', timeline: 'timeline',
	ledger: 'ledger', histograms: 'histograms', oom: 'OOM kills', alerts: 'alerts',
};
const OF_KIND = {
	profile: ['flame', 'stacks', 'functions', 'ledger', 'histograms'],
	recording: ['flame', 'stacks', 'functions', 'timeline', 'histograms'],
	timeline: ['timeline'],
	oom: ['oom'],
	live: ['flame', 'stacks', 'functions', 'timeline', 'ledger', 'histograms'],
};
/* what of the state says which profile it is */
const WHICH = ['source', 'pid', 'from', 'to', 'base', 'base_to', 'kept'];

/* of a process, which another is not shown by */
const NOTHING = { pid: '', q: '', sort: '', kept: '', to: '', from: '', base_to: '', path: '', fn: '', t0: '', t1: '' };

let about = null, cache = { key: null, profile: null }, turn = 0;

async function fetchOk(path, accept) {
	const r = await fetch(path, { headers: { Accept: accept }, credentials: 'same-origin' });
	if (r.ok)
		return r;
	const text = await r.text();
	let why = text.trim();
	try {
		why = JSON.parse(text).error;
	} catch { /* it is plain text */ }
	throw new Error(why || `the server answered ${r.status}`);
}

/** Every text in it, in place: a reviver is asked for each number too, of which there are tens of thousands. */
function clean(data) {
	if (typeof data[0] === 'number') /* a column */
		return data;
	for (const k of Object.keys(data)) {
		const v = data[k];
		if (typeof v === 'string')
			data[k] = plain(v);
		else if (v && typeof v === 'object')
			clean(v);
	}
	return data;
}

/** Names in it are hostile; those of profiles, which are many, are cleaned by profile.js. */
const json = async (path) => clean(await (await fetchOk(path, 'application/json')).json());

const app = {
	state: {},
	host: $('main'),
	mode: () => about.mode,
	source: () => (about.sources || [])[+app.state.source || 0] || {},
	kind() {
		if (about.mode === 'files')
			return app.source().kind;
		return about.mode === 'daemon' && !app.state.pid ? 'machine' : 'live';
	},
	/** Where what is shown can be had for `go tool pprof`. */
	download: () => app.url(about.mode === 'daemon' ? '/api/pprof' : '/debug/pprof/heap', { download: 1 }),
	canLookBack: () => app.kind() === 'recording' || about.mode === 'daemon',
	hasVerdicts: () => app.canLookBack() || about.mode === 'live',
	url(path, more) {
		const q = new URLSearchParams();
		for (const k of WHICH)
			if (app.state[k])
				q.set(k, app.state[k]);
		for (const [k, v] of Object.entries(more))
			q.set(k, v);
		return `${path}${[...q].length ? '?' : ''}${q}`;
	},
	get: (path, more) => json(app.url(path, more)),
	text: (path, more) => fetchOk(app.url(path, more), 'text/plain').then((r) => r.text()),
	link(changes) {
		const q = new URLSearchParams();
		for (const [k, v] of Object.entries({ ...app.state, ...changes }))
			if (v !== '' && v != null)
				q.set(k, v);
		return `#${q}`;
	},
	/** Shows another state; instead: in place of the present one in the browser's history. */
	set(changes, instead) {
		const to = app.link(changes);
		if (instead)
			history.replaceState(null, '', to);
		else
			history.pushState(null, '', to);
		show();
	},
	/** Only the address: the view has changed itself. */
	note(changes) {
		Object.assign(app.state, changes);
		history.replaceState(null, '', app.link({}));
	},
};

async function profile() {
	const key = app.url('/api/profile', {});
	if (cache.key !== key) {
		status('reading the profile …');
		const p = new Profile(await (await fetchOk(key, 'application/json')).json());
		cache = { key, profile: p };
	}
	return cache.profile;
}

function status(text) {
	$('status').textContent = text;
}

function views() {
	if (app.kind() === 'machine')
		return ['processes', 'oom', 'alerts'];
	return about.mode === 'daemon' ? ['processes', ...OF_KIND.live, 'oom', 'alerts'] : OF_KIND[app.kind()] || [];
}

function drawNav(list, view) {
	const links = list.map((v) =>
		h('a', { href: app.link({ view: v, ...(!['processes', 'oom', 'alerts'].includes(v) ? {} : v === 'processes' ? NOTHING : { q: '' }) }), 'aria-current': v === view && 'page' }, LABELS[v]));
	const there = [...$('views').children], at = there.indexOf(document.activeElement);
	/* the one that has the focus keeps it */
	if (there.map((a) => a.textContent).join() !== links.map((a) => a.textContent).join()) {
		$('views').replaceChildren(...links);
		const same = at >= 0 && links.find((a) => a.textContent === there[at].textContent);
		if (same)
			same.focus();
		return;
	}
	there.forEach((a, i) => {
		a.href = links[i].href;
		a.toggleAttribute('aria-current', false);
		if (list[i] === view)
			a.setAttribute('aria-current', 'page');
	});
}

const baseName = (path) => path.slice(path.lastIndexOf('/') + 1);

function pick(label, value, options, act) {
	const select = h('select', { 'aria-label': label, onchange: (e) => act(e.target.value) },
		options.map(([v, text]) => h('option', { value: v, selected: v === value }, text)));
	return select;
}

function drawSources() {
	const all = about.sources || [], at = String(+app.state.source || 0);
	const named = all.map((s, i) => [String(i), baseName(s.name)]);
	const items = [];
	if (all.length > 1)
		items.push(pick('file', at, named, (source) => app.set({ source, path: '', from: '', to: '', t0: '', t1: '', base: source === app.state.base ? '' : app.state.base })));
	const bases = named.filter(([i]) => i !== at && ['profile', 'recording'].includes(all[i].kind));
	if (bases.length && ['profile', 'recording'].includes(app.kind()))
		items.push(pick('minus', app.state.base || '', [['', 'minus nothing'], ...bases.map(([i, n]) => [i, `minus ${n}`])], (base) => app.set({ base, path: '' })));
	const { from, to, kept, base_to: before } = app.state, daemon = about.mode === 'daemon';
	if (daemon && (to || before))
		items.push(h('span', {}, before ? `change from ${formatTime(+before)} to ${to ? formatTime(+to) : 'now'}` : `as of ${formatTime(+to)}`));
	if (from || to || kept || before)
		items.push(h('a', { href: app.link({ from: '', to: '', kept: '', base_to: '' }) }, daemon ? 'now' : 'all times'));
	const processes = about.processes || [];
	if (processes.length > 1)
		items.push(pick('process', app.state.pid || '', [['', 'all processes'], ...processes.map((p) => [String(p.pid), `${p.comm} (${p.pid})${p.ended ? ', ended' : ''}`])],
			(pid) => app.set({ ...NOTHING, sort: app.state.sort, pid })));
	$('sources').replaceChildren(...items);
}

const SERIES = { timeline, oom, alerts };

/** Fetches what a view draws from; returns what draws it. */
async function prepare(view) {
	if (PROFILE[view]) {
		const p = await profile();
		return () => PROFILE[view](app, p);
	}
	if (view === 'ledger')
		return prepareLedger();
	if (view === 'processes')
		return prepareProcesses();
	const data = await app.get(`/api/${view}`, view === 'timeline' ? windowOf(app) : {});
	return () => SERIES[view](app, data);
}

/** The machine stands above the processes and is asked for beside them; they do not wait for it. */
async function prepareProcesses() {
	const list = app.get('/api/processes', {}), ofMachine = app.get('/api/machine', windowOf(app));
	ofMachine.catch(() => {}); /* told where it is drawn, if it is */
	const data = { list: await list, machine: ofMachine };
	return () => processes(app, data);
}

/** The newest is in the profile; what was before, in the timeline where there is one. */
async function prepareLedger() {
	const p = await profile();
	const list = OF_KIND[app.kind()].includes('timeline') ? await app.get('/api/timeline', windowOf(app)).catch(() => []) : [];
	const data = { now: p.data.ledger || [], list };
	return () => ledger(app, data);
}

/** What is shown, beside the name of the program. */
function subject() {
	const one = (about.processes || []).length === 1 ? about.processes[0] : null;
	if (one)
		return `${one.comm} (${one.pid})`;
	return app.state.pid ? `pid ${app.state.pid}` : baseName(app.source().name || '');
}

/** again: the same, with what is new; not if the reader has begun to use it while it was fetched. */
async function show(again = false) {
	const mine = ++turn, focus = document.activeElement && document.activeElement.id;
	if (!again)
		delete document.body.dataset.ready;
	app.state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
	const list = views(), view = list.includes(app.state.view) ? app.state.view : list[0];
	drawNav(list, view);
	drawSources();
	$('subject').textContent = subject();
	document.title = `memwatch: ${LABELS[view] || ''} ${$('subject').textContent}`;
	const since = Date.now(), late = setInterval(() => {
		if (mine !== turn)
			clearInterval(late);
		else if (!again)
			status(`reading… ${Math.round((Date.now() - since) / 1000)} s`);
	}, 1000);
	let act;
	try {
		act = await prepare(view);
	} catch (e) {
		act = () => app.host.replaceChildren(h('p', { class: 'warn empty', role: 'alert' }, e.message));
	}
	clearInterval(late);
	if (mine !== turn || (again && isBeingRead())) /* another state is wanted meanwhile */
		return;
	forget();
	act();
	status('');
	if (focus === 'search' && $('search') && document.activeElement !== $('search')) {
		$('search').focus();
		$('search').setSelectionRange($('search').value.length, $('search').value.length);
	}
	document.body.dataset.width = innerWidth;
	document.body.dataset.shown = location.hash;
	document.body.dataset.ready = view;
}

/** Something is open, zoomed into, or has the reader's hand on it. */
function isBeingRead() {
	const at = document.activeElement;
	return app.state.t0 || $('sources').contains(at) || app.host.querySelector('td details[open], #source, .uplot:hover, table:hover')
		|| (at !== app.host && app.host.contains(at) && at.matches('input, a, summary, g.frame, [tabindex]'));
}

/** Live runs and the daemon tell when there is something new. */
function listen() {
	const events = new EventSource('/api/events');
	let waiting = false;
	events.addEventListener('changed', () => {
		/* what is being read is not taken away */
		if (waiting || document.hidden || app.state.to || app.state.kept || app.state.base_to || isBeingRead())
			return;
		waiting = true;
		setTimeout(async () => {
			waiting = false;
			cache.key = null;
			if (about.mode !== 'daemon') /* which tells no more than that */
				about = await json('/api/about').catch(() => about);
			if (!isBeingRead())
				show(true);
		}, 500);
	});
	events.onerror = () => status('the connection to memwatch is lost');
	events.onopen = () => status('');
}

function keys(e) {
	const typing = ['INPUT', 'SELECT'].includes(document.activeElement.tagName);
	if (e.key === '/' && !typing && $('search')) {
		e.preventDefault();
		$('search').focus();
	} else if (e.key === 'Escape' && (app.state.q || app.state.path)) {
		app.set({ q: '', path: '' });
	}
}

async function start() {
	try {
		/* the daemon's page says so itself: a question less before there is anything to see */
		about = document.body.dataset.mode ? { mode: document.body.dataset.mode } : await json('/api/about');
	} catch (e) {
		app.host.replaceChildren(h('p', { class: 'warn', role: 'alert' }, e.message));
		return;
	}
	addEventListener('popstate', () => show());
	addEventListener('keydown', keys);
	let wide = innerWidth;
	addEventListener('resize', () => {
		if (innerWidth !== wide) {
			wide = innerWidth;
			show();
		}
	});
	await show();
	if (about.mode !== 'files')
		listen();
}

start();
