#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetches the C libraries of other Debian suites as package files and unpacks them below
# build/glibc/VERSION, for `make check-glibc`. Nothing is installed.
# Usage: tools/fetch-glibc.sh [SUITE…]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- trixie sid
out=$PWD/build/glibc
. tools/apt-elsewhere.sh
apt_elsewhere "$out/.apt"
cd "$apt/debs"
for suite; do
	: >"$apt/etc/sources.list"
	apt_add_suites "$suite"
	apt-get "${opts[@]}" -qq update
	rm -f libc6_*.deb
	apt-get "${opts[@]}" -qq download libc6
	v=$(dpkg-deb -f libc6_*.deb Version)
	v=${v%%-*}
	rm -rf "${out:?}/$v"
	dpkg-deb -x libc6_*.deb "$out/$v"
	echo "$out/$v"
done
