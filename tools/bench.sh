#!/bin/bash
# Runs every benchmark in tools/bench. Each prints ratios measured side by side in one run.
set -uo pipefail
cd "$(dirname "$0")/.."
rc=0
for b in tools/bench/*.sh tools/bench/*.py; do
	[ -x "$b" ] || continue
	echo "== $(basename "$b")"
	"$b" || rc=1
done
exit $rc
