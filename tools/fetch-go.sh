#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetches the Go toolchains of other Debian suites as package files and unpacks them below
# build/go/VERSION, for `make check-go`. The machine's own package sources stay as they are.
# Usage: tools/fetch-go.sh [SUITE:VERSION…]
set -euo pipefail
cd "$(dirname "$0")/.."
want=("$@")
[ $# -gt 0 ] || want=(bookworm-backports:1.22 bookworm-backports:1.23 trixie:1.24 sid:1.25 sid:1.26 sid:1.27)
out=$PWD/build/go
. tools/apt-elsewhere.sh
apt_elsewhere "$out/.apt"
mapfile -t suites < <(printf '%s\n' "${want[@]%%:*}" | sort -u)
apt_add_suites "${suites[@]}"
apt-get "${opts[@]}" -qq update

cd "$apt/debs"
for w in "${want[@]}"; do
	v=${w#*:}
	[ -x "$out/$v/usr/lib/go-$v/bin/go" ] && continue
	if ! apt-get "${opts[@]}" -qq download "golang-$v-go" "golang-$v-src" 2>/dev/null; then
		echo "fetch-go: no package golang-$v-go in ${w%%:*}: left out" >&2
		continue
	fi
	rm -rf "$out/$v.tmp"
	for d in golang-"$v"-go_*.deb golang-"$v"-src_*.deb; do
		dpkg-deb -x "$d" "$out/$v.tmp"
		rm -f "$d"
	done
	mv "$out/$v.tmp" "$out/$v"
	echo "$out/$v/usr/lib/go-$v"
done
