#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs the tests of the heap walk once per C library below build/glibc (see tools/fetch-glibc.sh).
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0 ran=0
for libc in build/glibc/*/usr/lib/*/libc.so.6; do
	[ -e "$libc" ] || continue
	dir=$PWD/$(dirname "$libc")
	v=${libc#build/glibc/}
	echo "== glibc ${v%%/*}"
	MEMWATCH_GLIBC=$dir tests/run.sh e2e tests/e2e/test_heapwalk.py \
		-k "each_step and not static or resident_parts or changes" || failed=1
	ran=$((ran + 1))
done
[ $ran -gt 0 ] || { echo "check-glibc: no C library below build/glibc" >&2; exit 1; }
echo "$ran C libraries, $([ $failed = 0 ] && echo all passed || echo FAILED)"
exit $failed
