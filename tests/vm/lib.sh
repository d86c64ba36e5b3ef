#!/bin/sh
# What the tests inside guests say, and how they wait. Sourced; failed is 1 once one has failed.
failed=0
ok() { echo "ok $1"; }
bad() { echo "not ok $1: $2"; failed=1; }
skip() { echo "skip $1: $2"; }

# Waits until a command succeeds; after 180 s, however slow the machine that emulates this one, it
# never will.
await() {
	tries=1800
	while [ "$tries" -gt 0 ]; do
		"$@" && return 0
		usleep 100000; tries=$((tries - 1))
	done
	return 1
}
