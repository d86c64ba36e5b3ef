#!/bin/bash
# Runs the fuzz targets that `make fuzz-build` made, two more than processors (3 to 4) at a time,
# FUZZ_SECONDS each (default 60).
# usage: tools/fuzz.sh [NAME…]. One line per target: "ok NAME …" or "FAIL NAME …"; what a failing
# input was is kept in build/fuzz/work/NAME/. Exit status 1 if one failed.
set -uo pipefail
cd "$(dirname "$0")/.."
export FUZZ_SECONDS=${FUZZ_SECONDS:-60}

one() {
	local name=$1 bin=build/fuzz/fuzz_$1 work=build/fuzz/work/$1 log execs
	log=$work.log
	mkdir -p "$work" "tests/fuzz/corpus/$name"
	# What long runs have found, one input for each branch.
	[ ! -f "tests/fuzz/corpus/$name.tar.gz" ] || tar -xzf "tests/fuzz/corpus/$name.tar.gz" -C "$work"
	rm -f "$work"/crash-* "$work"/timeout-* "$work"/oom-* "$work"/leak-*
	# New inputs go to the first directory, seeds are only read. A target may take longer than its
	# time to wind up, never much.
	timeout -k 5 $((FUZZ_SECONDS + 60)) "$bin" -max_total_time="$FUZZ_SECONDS" -timeout=10 \
		-rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 -verbosity=1 \
		-artifact_prefix="$work/" "$work" "tests/fuzz/corpus/$name" >"$log" 2>&1
	local rc=$?
	execs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	if [ $rc -eq 0 ] && [ "${execs:-0}" -gt 0 ]; then
		echo "ok $name $execs inputs in ${FUZZ_SECONDS}s"
	else
		echo "FAIL $name (exit $rc)"
		tail -40 "$log" >&2
		return 1
	fi
}
export -f one

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
	for f in tests/fuzz/fuzz_*.c; do
		f=$(basename "$f" .c)
		names+=("${f#fuzz_}")
	done
fi
jobs=$(($(nproc) + 2)) # some start or end while the others work
jobs=$((jobs > 4 ? 4 : jobs))
printf '%s\n' "${names[@]}" | xargs -P "$jobs" -I{} bash -c 'one {}'
