// Search by text or regular expression in functions, modules and files, and icicle or flame. The text
// behind '#' of the address is searched for. The arrow keys walk along the frames. No name is ever parsed as markup.
(function () {
	var root = document.documentElement, height = +root.dataset.h, width = +root.dataset.w, flip = false;
	var frames = [].slice.call(document.querySelectorAll('.f'));
	function $(id) { return document.getElementById(id); }

	/* the title without its second line, the value */
	function words(g) {
		return g.querySelector('title').textContent.split('\n').filter(function (_, i) { return i !== 1; });
	}

	function matcher(q) {
		try {
			var re = new RegExp(q, 'i');
			return function (s) { return re.test(s); };
		} catch (e) {
			q = q.toLowerCase();
			return function (s) { return s.toLowerCase().indexOf(q) >= 0; };
		}
	}

	function find(q) {
		var match = q ? matcher(q) : null, spans = [], covered = 0, end = -1;
		frames.forEach(function (g) {
			var r = g.querySelector('rect'), hit = match && words(g).some(match);
			g.classList.toggle('hit', !!hit);
			g.classList.toggle('miss', !!match && !hit);
			if (hit)
				spans.push([+r.getAttribute('x'), +r.getAttribute('x') + +r.getAttribute('width')]);
		});
		spans.sort(function (a, b) { return a[0] - b[0]; });
		spans.forEach(function (s) {
			var from = Math.max(s[0], end);
			if (s[1] > from) {
				covered += s[1] - from;
				end = s[1];
			}
		});
		$('found').textContent = match ? 'matched ' + (100 * covered / width).toFixed(1) + '%' : '';
	}

	function button(id, act) {
		$(id).addEventListener('click', act);
		$(id).addEventListener('keydown', function (e) {
			if (e.key !== 'Enter' && e.key !== ' ')
				return;
			e.preventDefault();
			act();
		});
	}

	/* By keyboard: to a frame, and along the frames as they are drawn; each is told as its title. */
	function walk() {
		var rows = {}, ys; /* the root's first */

		function neighbour(b, key) {
			var row = rows[b.y], i = row.indexOf(b), up = (key === 'ArrowUp') !== flip;
			if (key === 'ArrowLeft' || key === 'ArrowRight')
				return row[i + (key === 'ArrowLeft' ? -1 : 1)];
			return (rows[ys[ys.indexOf(b.y) + (up ? 1 : -1)]] || []).filter(function (o) {
				var wide = up ? b : o, narrow = up ? o : b;
				return narrow.x > wide.x - 0.02 && narrow.x + narrow.w < wide.x + wide.w + 0.02;
			})[0];
		}

		frames.forEach(function (g, i) {
			var r = g.querySelector('rect'), b = { g: g, x: +r.getAttribute('x'), w: +r.getAttribute('width'), y: +g.dataset.y };
			(rows[b.y] = rows[b.y] || []).push(b);
			g.setAttribute('role', 'img');
			g.setAttribute('aria-label', g.querySelector('title').textContent.split('\n').join(', '));
			g.setAttribute('tabindex', i ? -1 : 0);
			g.addEventListener('keydown', function (e) {
				var to = /^Arrow/.test(e.key) ? neighbour(b, e.key) : null;
				if (/^Arrow/.test(e.key))
					e.preventDefault();
				if (!to)
					return;
				g.setAttribute('tabindex', -1);
				to.g.setAttribute('tabindex', 0);
				to.g.focus();
			});
		});
		ys = Object.keys(rows).map(Number).sort(function (a, b) { return b - a; });
		ys.forEach(function (y) {
			rows[y].sort(function (a, b) { return a.x - b.x; });
		});
	}

	walk();
	button('turn', function () {
		flip = !flip;
		frames.forEach(function (g) {
			var y = +g.dataset.y;
			g.setAttribute('transform', 'translate(0,' + (flip ? height - y : y) + ')');
		});
		$('turn').textContent = flip ? 'flame' : 'icicle';
	});
	button('find', function () {
		find(prompt('Search (text or regular expression):') || '');
	});
	$('tools').removeAttribute('display');
	if (location.hash.length > 1) {
		try {
			find(decodeURIComponent(location.hash.slice(1)));
		} catch (e) { /* no text */ }
	}
})();
