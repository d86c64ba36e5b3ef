#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs the tests of Go programs once per toolchain below build/go (see tools/fetch-go.sh).
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0 ran=0
for go in build/go/*/usr/lib/go-*/bin/go; do
	[ -x "$go" ] || continue
	v=${go%/bin/go}; v=${v##*/go-}
	echo "== Go $v"
	MEMWATCH_GO=$PWD/$go MEMWATCH_GO_TAG=-$v tests/run.sh e2e tests/e2e/test_go.py || failed=1
	ran=$((ran + 1))
done
[ $ran -gt 0 ] || { echo "check-go: no toolchain below build/go" >&2; exit 1; }
echo "$ran toolchains, $([ $failed = 0 ] && echo all passed || echo FAILED)"
exit $failed
