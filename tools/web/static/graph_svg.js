// A call graph in a window: the wheel, + and - zoom, dragging and the arrow keys move, a double click, 0 and
// Escape show all of it. On paper all of it is printed. Works by the viewBox alone: nothing of the graph changes.
(function () {
	var svg = document.documentElement, first = svg.getAttribute('viewBox');
	if (!first)
		return;
	var all = first.split(/[ ,]+/).map(Number), view = all.slice(), grip = null;

	function show(v) {
		view = v;
		svg.setAttribute('viewBox', v.join(' '));
	}

	/* where in the graph a point of the window is */
	function place(x, y) {
		var m = svg.getScreenCTM();
		return [(x - m.e) / m.a, (y - m.f) / m.d];
	}

	/* factor below 1: nearer. At most all of it, at least a hundredth */
	function zoom(factor, at) {
		var w = Math.min(Math.max(view[2] * factor, all[2] / 100), all[2]), f = w / view[2];
		if (w === all[2])
			return show(all.slice());
		show([at[0] - (at[0] - view[0]) * f, at[1] - (at[1] - view[1]) * f, w, view[3] * f]);
	}

	function move(dx, dy) {
		show([view[0] + dx, view[1] + dy, view[2], view[3]]);
	}

	function middle() {
		return [view[0] + view[2] / 2, view[1] + view[3] / 2];
	}

	var keys = {
		'+': function () { zoom(0.8, middle()); },
		'=': function () { zoom(0.8, middle()); },
		'-': function () { zoom(1.25, middle()); },
		'0': function () { show(all.slice()); },
		Escape: function () { show(all.slice()); },
		ArrowLeft: function () { move(-view[2] / 10, 0); },
		ArrowRight: function () { move(view[2] / 10, 0); },
		ArrowUp: function () { move(0, -view[3] / 10); },
		ArrowDown: function () { move(0, view[3] / 10); },
	};
	addEventListener('keydown', function (e) {
		if (e.ctrlKey || e.metaKey || e.altKey || !keys[e.key])
			return;
		e.preventDefault();
		keys[e.key]();
	});
	svg.addEventListener('wheel', function (e) {
		e.preventDefault();
		zoom(Math.pow(1.001, e.deltaY), place(e.clientX, e.clientY));
	}, { passive: false });
	svg.addEventListener('pointerdown', function (e) {
		if (e.button)
			return;
		e.preventDefault();
		svg.setPointerCapture(e.pointerId);
		grip = place(e.clientX, e.clientY);
	});
	svg.addEventListener('pointermove', function (e) {
		var at = grip && place(e.clientX, e.clientY);
		if (at)
			move(grip[0] - at[0], grip[1] - at[1]);
	});
	svg.addEventListener('pointerup', function () { grip = null; });
	svg.addEventListener('pointercancel', function () { grip = null; });
	svg.addEventListener('dblclick', function () { show(all.slice()); });

	var before = null;
	addEventListener('beforeprint', function () {
		before = view;
		show(all.slice());
	});
	addEventListener('afterprint', function () { show(before || all.slice()); });

	svg.setAttribute('role', 'graphics-document document');
	svg.setAttribute('width', '100%');
	svg.setAttribute('height', '100%');
	svg.style.touchAction = 'none';
	svg.style.cursor = 'grab';
})();
