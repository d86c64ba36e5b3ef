#!/bin/bash
# Builds a small service that leaks, attaches to it for a few seconds, shows the live profile and
# how its memory grows, and writes a pprof profile, a flame graph and a timeline into build/demo/.
# Usage: tools/demo.sh [SECONDS]   (root; 'sudo make demo' builds memwatch first)
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
out=build/demo
mkdir -p "$out"

if [ "$(id -u)" != 0 ]; then
	echo "demo: attaching needs root: run 'sudo make demo'" >&2
	exit 3
fi
bold() { if [ -t 1 ]; then printf '\033[1m%s\033[0m\n' "$*"; else printf '%s\n' "$*"; fi; }

bold "1. Building a sample service that leaks (tools/demo/leaky.cpp)"
g++ -g -O2 -fno-omit-frame-pointer -pthread -o "$out/leaky" tools/demo/leaky.cpp
"$out/leaky" &
service=$!
trap 'kill "$service" 2>/dev/null || true; wait "$service" 2>/dev/null || true' EXIT
echo "   running as PID $service: 2000 requests a second, memory grows"
echo

outputs=(-o "$out/leaky.pb.gz" -o "$out/leaky.folded" -o "$out/leaky.json" --timeline "$out/timeline.csv")
bold "2. sudo memwatch -p $service -d ${seconds}s --sample-bytes 16K -i 3s ${outputs[*]}"
build/memwatch -p "$service" --plain -d "${seconds}s" --sample-bytes 16K -i 3s --top 6 \
	"${outputs[@]}" -o "$out/leaky.svg" -o "$out/leaky.html"
build/memwatch report -q -o "$out/timeline.svg" "$out/timeline.csv"
echo

bold "3. Memory over time ($out/timeline.csv)"
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) col[$i] = i; next }
	{ t[NR] = $col["time_unix_ms"]; rss[NR] = $col["rss_bytes"]
	  use[NR] = $col["inuse_bytes"]; if (rss[NR] > max) max = rss[NR] }
	END { step = int((NR - 2) / 10) + 1
	  for (i = 2; i <= NR; i += step) {
		bar = ""; for (j = 0; j < 40 * rss[i] / max; j++) bar = bar "#"
		printf "   %5.1fs  RSS %6.1f MB  in use %6.1f MB  %s\n", (t[i] - t[2]) / 1000,
			rss[i] / 1048576, use[i] / 1048576, bar } }' "$out/timeline.csv"
echo
if command -v go >/dev/null; then
	bold "4. go tool pprof -top $out/leaky.pb.gz"
	PPROF_TMPDIR=$out go tool pprof -top -nodecount=6 "$out/leaky.pb.gz" 2>/dev/null | sed 's/^/   /'
	echo
fi

bold "Look at next"
for f in \
	"leaky.html|flame graph: open it in a browser" \
	"leaky.svg|the same as a picture" \
	"leaky.pb.gz|go tool pprof -http=: $out/leaky.pb.gz" \
	"leaky.folded|any flame graph tool reads it" \
	"timeline.svg|RSS and in-use memory over time"; do
	[ ! -s "$out/${f%%|*}" ] || printf '   %-26s %s\n' "$out/${f%%|*}" "${f#*|}"
done
echo "   The leak: SessionTable::remember, called by handle_request, frees nothing."
echo "   Your own program: sudo build/memwatch -p PID"
