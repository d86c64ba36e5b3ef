#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetches the Go toolchains of other Debian suites as package files and unpacks them below
# build/go/VERSION, for `make check-go`. The machine's own package sources stay as they are: apt
# runs on a private directory, with the mirror and the keyring that the machine uses for Debian.
# Usage: tools/fetch-go.sh [SUITE:VERSION…]
set -euo pipefail
cd "$(dirname "$0")/.."
want=("$@")
[ $# -gt 0 ] || want=(bookworm-backports:1.22 bookworm-backports:1.23 trixie:1.24 sid:1.25 sid:1.26 sid:1.27)
out=$PWD/build/go
apt=$out/.apt
mkdir -p "$apt"/{etc/preferences,etc/conf,state/lists/partial,cache/archives/partial,debs}

mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(SUITE) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
	awk '$2 == "Debian" && $0 !~ /security|updates/ { print $1; exit }')
if [ -z "$mirror" ]; then
	echo "fetch-go: no Debian mirror among this machine's package sources" >&2
	exit 3
fi
arch=$(dpkg --print-architecture)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
: >"$apt/etc/sources.list"
for s in $(printf '%s\n' "${want[@]%%:*}" | sort -u); do
	echo "deb [arch=$arch signed-by=$keyring] $mirror $s main" >>"$apt/etc/sources.list"
done
: >"$apt/state/status"
opts=(-o Dir::Etc="$apt/etc" -o Dir::Etc::sourcelist="$apt/etc/sources.list"
	-o Dir::Etc::sourceparts=- -o Dir::Etc::parts=conf -o Dir::Etc::preferencesparts=preferences -o Dir::State="$apt/state" -o Dir::State::status="$apt/state/status"
	-o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
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
