#!/bin/bash
# Pictures and the live view: how long an .html flame graph of 20,000 stacks takes to open in
# Chromium (limit: one second), what zooming costs, and what the live view costs the machine on a
# target with many stacks. Prints lines `name  value  (what vs what, n runs, median)`.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
CHROMIUM=${CHROMIUM:-/usr/bin/chromium}

/usr/bin/python3 - "$dir/big.json" <<'P'
import json, sys
sys.path.insert(0, "tests/e2e")
from test_pictures import big_profile
json.dump(big_profile(20000), open(sys.argv[1], "w"))
P
build/memwatch report "$dir/big.json" -o "$dir/big.html" -o "$dir/big.svg"

if [ -x "$CHROMIUM" ]; then
cat > tools/web/.bench.mjs <<'E2'
import { chromium } from 'playwright-core';
const [, , exe, url] = process.argv;
const b = await chromium.launch({ executablePath: exe, args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'] });
const open = [], zoom = [];
for (let i = 0; i < 8; i++) {
	const p = await b.newPage({ viewport: { width: 1280, height: 800 } });
	const t = performance.now();
	await p.goto(url);
	await p.waitForSelector('body[data-ready]');
	await p.evaluate(() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r))));
	open.push(performance.now() - t);
	zoom.push(await p.evaluate(async () => {
		const g = document.querySelectorAll('g.frame')[4], t0 = performance.now();
		g.dispatchEvent(new MouseEvent('click', { bubbles: true }));
		await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));
		return performance.now() - t0;
	}));
	await p.close();
}
await b.close();
const median = (v) => v.sort((a, b) => a - b)[v.length >> 1].toFixed(0);
console.log(`flame_html_open  ${median(open)} ms  (20,000 stacks to first painted frame in Chromium vs limit 1000 ms, 8 runs, median)`);
console.log(`flame_html_zoom  ${median(zoom)} ms  (click to painted frame, 8 runs, median)`);
E2
trap 'rm -rf "$dir" tools/web/.bench.mjs' EXIT
node tools/web/.bench.mjs "$CHROMIUM" "file://$dir/big.html"
else
	echo "flame_html_open  skipped  (no Chromium on this machine)"
fi

# The live view on a real target with many distinct stacks, in a terminal, against plain sampling
# of the same target without a view: CPU time of memwatch itself over the same span.
gcc -O1 -fno-omit-frame-pointer -o "$dir/stacks" tests/workloads/stacks.c
cpu() { # PID → user+system ticks
	awk '{print $14+$15}' "/proc/$1/stat"
}
"$dir/stacks" 100000 & target=$!
tmux=(tmux -L "bench$$" -f /dev/null)
trap 'kill $target 2>/dev/null; "${tmux[@]}" kill-server 2>/dev/null; rm -rf "$dir" tools/web/.bench.mjs' EXIT
"${tmux[@]}" new-session -d -x 120 -y 40 "env LANG=C.UTF-8 build/memwatch -p $target --exact -i 2s"
for _ in $(seq 100); do
	mw=$(pgrep -o -f "^build/memwatch -p $target" || true)
	[ -n "$mw" ] && "${tmux[@]}" capture-pane -p | grep -q 'in use' && break
	sleep 0.1
done
kill -USR1 $target # makes its 100,000 stacks
for _ in $(seq 300); do
	grep -q done "/proc/$target/comm" && break
	sleep 0.1
done
sleep 6 # symbols of every stack are looked up once
a=$(cpu "$mw"); sleep 20; b=$(cpu "$mw")
awk -v d=$((b - a)) -v hz="$(getconf CLK_TCK)" \
	'BEGIN{printf "live_view_cpu  %.1f %%  (of one core, 100,000 stacks at 2 s refresh vs limit 5 %%, 10 refreshes)\n", d/hz/20*100}'
"${tmux[@]}" send-keys q
