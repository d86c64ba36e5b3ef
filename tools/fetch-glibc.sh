#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetches the C libraries of other Debian suites as package files and unpacks them below
# build/glibc/VERSION, for `make check-glibc`. Nothing is installed: apt runs on a private directory,
# with the mirror and the keyring that the machine uses for Debian.
# Usage: tools/fetch-glibc.sh [SUITE…]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- trixie sid
out=$PWD/build/glibc
apt=$out/.apt
mkdir -p "$apt"/{etc/preferences,etc/conf,state/lists/partial,cache/archives/partial,debs}

mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(SUITE) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
	awk '$2 == "Debian" && $0 !~ /security|updates/ { print $1; exit }')
if [ -z "$mirror" ]; then
	echo "fetch-glibc: no Debian mirror among this machine's package sources" >&2
	exit 3
fi
arch=$(dpkg --print-architecture)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
: >"$apt/state/status"
opts=(-o Dir::Etc="$apt/etc" -o Dir::Etc::sourcelist="$apt/etc/sources.list"
	-o Dir::Etc::sourceparts=- -o Dir::Etc::parts=conf -o Dir::Etc::preferencesparts=preferences
	-o Dir::State="$apt/state" -o Dir::State::status="$apt/state/status"
	-o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
cd "$apt/debs"
for suite; do
	echo "deb [arch=$arch signed-by=$keyring] $mirror $suite main" >"$apt/etc/sources.list"
	apt-get "${opts[@]}" -qq update
	rm -f libc6_*.deb
	apt-get "${opts[@]}" -qq download libc6
	v=$(dpkg-deb -f libc6_*.deb Version)
	v=${v%%-*}
	rm -rf "${out:?}/$v"
	dpkg-deb -x libc6_*.deb "$out/$v"
	echo "$out/$v"
done
