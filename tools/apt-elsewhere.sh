# SPDX-License-Identifier: GPL-2.0-or-later
# To be sourced: package files of other Debian suites, without touching the machine's own package
# sources. apt runs on a private directory, with the mirror and the keyring that the machine uses
# for Debian.

# apt_elsewhere DIR: prepares DIR; sets apt (the directory), mirror, arch, keyring, and opts for
# apt-get. Packages come to DIR/debs. Exit status 3 if this machine knows no mirror.
apt_elsewhere() {
	apt=$1
	mkdir -p "$apt"/{etc/preferences,etc/conf,state/lists/partial,cache/archives/partial,debs}
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(SUITE) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
		awk '$2 == "Debian" && $0 !~ /security|updates/ { print $1; exit }')
	if [ -z "$mirror" ]; then
		echo "$(basename "$0" .sh): no Debian mirror among this machine's package sources" >&2
		exit 3
	fi
	arch=$(dpkg --print-architecture)
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	: >"$apt/state/status"
	: >"$apt/etc/sources.list"
	opts=(-o Dir::Etc="$apt/etc" -o Dir::Etc::sourcelist="$apt/etc/sources.list"
		-o Dir::Etc::sourceparts=- -o Dir::Etc::parts=conf
		-o Dir::Etc::preferencesparts=preferences
		-o Dir::State="$apt/state" -o Dir::State::status="$apt/state/status"
		-o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
}

# Adds suites to what apt-get with those options knows.
apt_add_suites() {
	local s
	for s; do
		echo "deb [arch=$arch signed-by=$keyring] $mirror $s main" >>"$apt/etc/sources.list"
	done
}
