#!/bin/bash
# Runs the tests and closes with one line: N passed, N failed, N skipped.
# Usage: tests/run.sh unit | e2e [PYTEST-ARGS…] | fuzz | all
# Unit tests are cmocka programs built with sanitizers; all others are driven by pytest as root, four
# files at a time, since most of a test is waiting (E2E_WORKERS; 0: all in one process, as -x and --pdb
# want it).
set -uo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}; shift || true
passed=0 failed=0 skipped=0 alone=0
bad=() # what failed, for the end
MAX_AGAIN=5
logs=build/test-logs; mkdir -p "$logs"

unit() {
	local bins bin log p f s
	mapfile -t bins < <(find build/san/unit -name 'test_*' -type f -executable | sort)
	rm -f "$logs"/test_*.rc
	printf '%s\n' "${bins[@]}" | xargs -P "$(nproc)" -I{} sh -c \
		'log=$0/$(basename {}).log; timeout 300 {} >"$log" 2>&1; echo $? >"$log.rc"' "$logs"
	for bin in "${bins[@]}"; do
		log="$logs/$(basename "$bin").log"
		local rc; rc=$(cat "$log.rc" 2>/dev/null || echo 1)
		p=$(grep -c '^\[       OK \]' "$log"); f=$(grep '^\[  FAILED  \] [a-z_0-9]*$' "$log" | sort -u | wc -l)
		s=$(grep -c '^\[  SKIPPED \] [a-z_0-9]*$' "$log")
		# A crash, a sanitizer report or a program that ran no test is a failure of its own.
		if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
		if [ $((p + f + s)) -eq 0 ]; then f=1; fi
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
		if [ "$f" -gt 0 ]; then
			echo "FAIL $bin (exit $rc)"
			tail -40 "$log"
			bad+=("$bin (exit $rc)" "$(grep -hE '^\[  (ERROR|LINE) |^\[  FAILED|ERROR: |runtime error' "$log" | head -8)")
		fi
	done
	# The shape of the tree; first that the check finds what it looks for.
	for p in --self-test .; do
		if python3 tests/unit/check_tree.py $p; then passed=$((passed + 1)); else
			bad+=("tests/unit/check_tree.py $p"); failed=$((failed + 1)); fi
	done
	echo "unit: $passed passed, $failed failed"
}

# Of a report of pytest's: how many tests passed, failed, were skipped.
counts() {
	/usr/bin/python3 - "$1" <<'P'
import sys, xml.etree.ElementTree as E
try:
    s = E.parse(sys.argv[1]).getroot().find('testsuite').attrib
    t, f, e, k = (int(s[x]) for x in ('tests', 'failures', 'errors', 'skipped'))
    print(t - f - e - k, f + e, k)
except Exception:
    print(0, 1, 0)
P
}

# Of a report of pytest's: the names of the tests that failed, without the group they ran in; with a
# second argument the first words of why, too.
failing() {
	/usr/bin/python3 - "$@" <<'P'
import re, sys, xml.etree.ElementTree as E
for t in E.parse(sys.argv[1]).getroot().iter('testcase'):
    why = next((e for e in (t.find('failure'), t.find('error')) if e is not None), None)
    if why is not None:
        name = t.get('classname').replace('.', '/') + '.py::' + re.sub(r'@\w+$', '', t.get('name'))
        said = ' '.join((why.get('message') or '').split())
        print(name, said[:200] if sys.argv[2:] else '', sep='  ' if sys.argv[2:] else '')
P
}

# A test shares the machine with those beside it: page cache, the kernel's buffers and log, the
# processors. Of a whole run, up to MAX_AGAIN tests that failed run a second time with nothing beside
# them; the end tells how many passed only so. What fails alone has failed.
e2e() {
	local xml="$logs/e2e.xml" tmp p f s names
	rm -f "$xml"
	# What tests ask make for is there before two of them ask at once, and the program is not linked
	# anew while others run it.
	make -s --no-print-directory all build/tests/soak build/tests/symbolize build/tests/history_fill \
		build/unit/test_fast_inject || { bad+=("tools of the tests"); failed=$((failed + 1)); }
	# A directory of its own: runs side by side do not touch each other's. Kept when a test fails.
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/memwatch-tests.XXXXXX")
	/usr/bin/python3 -m pytest -q -rs --durations=10 -p no:cacheprovider --junitxml="$xml" \
		-n "${E2E_WORKERS:-4}" --dist loadgroup \
		--basetemp="$tmp/t" "$@"
	local rc=$?
	read -r p f s < <(counts "$xml")
	if [ $rc -eq 1 ] && [ "$*" = tests/e2e ] && [ "$f" -le "$MAX_AGAIN" ]; then
		mapfile -t names < <(failing "$xml")
		echo "alone, once more: ${names[*]}"
		/usr/bin/python3 -m pytest -q -p no:cacheprovider --junitxml="$logs/again.xml" \
			--basetemp="$tmp/again" "${names[@]}"
		rc=$?
		read -r alone f _ < <(counts "$logs/again.xml")
		p=$((p + alone))
		xml="$logs/again.xml"
	fi
	[ $rc -eq 0 ] || mapfile -t -O ${#bad[@]} bad < <(failing "$xml" why 2>/dev/null)
	[ $rc -ne 0 ] || rm -rf "$tmp"
	if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# One test per fuzz target.
fuzz() {
	local log="$logs/fuzz.log" p f
	if ! make --no-print-directory -j2 fuzz-build >"$log" 2>&1; then
		tail -20 "$log"; bad+=(fuzz-build); failed=$((failed + 1)); return
	fi
	tools/fuzz.sh 2>&1 | tee "$log"
	p=$(grep -c '^ok ' "$log"); f=$(grep -c '^FAIL ' "$log")
	if [ $((p + f)) -ne "$(ls tests/fuzz/fuzz_*.c | wc -l)" ]; then f=$((f + 1)); fi
	[ "$f" -eq 0 ] || mapfile -t -O ${#bad[@]} bad < <(grep '^FAIL ' "$log")
	passed=$((passed + p)) failed=$((failed + f))
}

case $what in
unit) unit ;;
fuzz) fuzz ;;
e2e) if [ $# -gt 0 ]; then e2e "$@"; else e2e tests/e2e; fi ;;
all) unit; e2e tests/e2e; fuzz ;;
*) echo "usage: tests/run.sh unit|e2e|fuzz|all" >&2; exit 2 ;;
esac
[ "$alone" -eq 0 ] || echo "$alone of them passed only when run alone, see above"
[ ${#bad[@]} -eq 0 ] || printf 'FAIL %s\n' "${bad[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
