#!/bin/bash
# Runs every benchmark in tools/bench. Each prints ratios measured side by side in one run.
# With BASE, the path of another memwatch: that one and this one in turns, instead.
set -uo pipefail
base=${BASE:+$(realpath "$BASE")}
cd "$(dirname "$0")/.."
[ -z "$base" ] || exec tools/bench/beside.py "$base"
rc=0
for b in tools/bench/*.sh tools/bench/*.py; do
	[ -x "$b" ] && [ "$b" != tools/bench/beside.py ] || continue
	echo "== $(basename "$b")"
	"$b" || rc=1
done
exit $rc
