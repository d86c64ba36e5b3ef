#!/bin/bash
# Fetches what booting other kernels needs, by file and without installing anything: QEMU, busybox
# and Debian's cloud kernels, from the Debian mirror that this machine is configured for, through a
# private apt directory. Everything is kept in build/vm/ and fetched once.
# Usage: tools/vm/fetch.sh KERNEL…     e.g. 5.10 6.1 6.12; prints nothing on success
# Results: build/vm/qemu/ (unpacked), build/vm/busybox, build/vm/vmlinuz-KERNEL, …-KERNEL.version,
# build/vm/overlay-KERNEL.ko (the module that it has for overlays; empty: none)
# MEMWATCH_VM_MIRROR and MEMWATCH_VM_SECURITY_MIRROR override the mirrors (a machine without Debian).
set -euo pipefail
cd "$(dirname "$0")/../.."
vm=$PWD/build/vm
apt=$vm/apt

# kernel series → suite that has it
# (5.10.223: the last one whose oom:mark_victim tells a PID only)
declare -A suite=([5.10]=bullseye-security [5.10.223]=bullseye [6.1]=bookworm-security [6.12]=bookworm-backports)

die() { echo "vm/fetch: $*" >&2; exit 1; }

have_all() {
	[ -e "$vm/qemu/.done" ] && [ -s "$vm/busybox" ] || return 1
	local k
	for k in "$@"; do have_kernel "$k" || return 1; done
}
have_kernel() { [ -s "$vm/vmlinuz-$1" ] && [ -e "$vm/overlay-$1.ko" ]; }
[ $# -gt 0 ] || die "no kernel named"
for k in "$@"; do [ -n "${suite[$k]:-}" ] || die "unknown kernel $k (known: ${!suite[*]})"; done
have_all "$@" && exit 0

# The mirrors of this machine's own apt, by what they serve.
mirrors() {
	apt-get indextargets --format '$(REPO_URI) $(SUITE) $(CODENAME) $(ORIGIN)' 2>/dev/null | sort -u
}
main=${MEMWATCH_VM_MIRROR:-$(mirrors | awk '$NF=="Debian" && $3 !~ /security/ {print $1; exit}')}
security=${MEMWATCH_VM_SECURITY_MIRROR:-$(mirrors | awk '$NF=="Debian" && $3 ~ /security/ {print $1; exit}')}
if [ -z "$main" ]; then
	# No package lists yet: the names are in the sources.
	apt-get update -qq || die "the configured mirror cannot be reached (apt-get update failed)"
	main=$(mirrors | awk '$NF=="Debian" && $3 !~ /security/ {print $1; exit}')
	security=$(mirrors | awk '$NF=="Debian" && $3 ~ /security/ {print $1; exit}')
fi
[ -n "$main" ] || die "this machine has no Debian mirror configured; set MEMWATCH_VM_MIRROR"
main=${main%/}
security=${security:-${main%/debian}/debian-security}
security=${security%/}

mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc/preferences.d} "$vm/debs"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || die "$keyring is missing (package debian-archive-keyring)"
src() { echo "deb [signed-by=$keyring] $1 $2 main"; }
{
	src "$main" bookworm
	src "$main" bookworm-backports
	# Old suites leave the mirrors one day: only those that are asked for.
	case " $* " in *" 5.10.223 "*) src "$main" bullseye ;; esac
	src "$security" bookworm-security
	case " $* " in *" 5.10 "*) src "$security" bullseye-security ;; esac
} >"$apt/etc/sources.list"
{
	apt-config dump | grep -E '^Acquire::' | grep -v -i -E 'changelogs|indextargets' || true
	cat <<C
Dir "$apt";
Dir::Etc "$apt/etc";
Dir::Etc::sourcelist "$apt/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
Dir::Cache::pkgcache "$apt/cache/pkgcache.bin";
Dir::Cache::srcpkgcache "$apt/cache/srcpkgcache.bin";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
C
} >"$apt/apt.conf"
: >"$apt/state/status"
export APT_CONFIG=$apt/apt.conf

stamp=$apt/state/updated-$(md5sum <"$apt/etc/sources.list" | cut -c1-12)
if [ ! -e "$stamp" ] || [ -n "$(find "$stamp" -mmin +720)" ]; then
	log=$vm/apt-update.log
	timeout 180 apt-get update >"$log" 2>&1 && ! grep -q '^\(Err\|E:\|W: Failed\)' "$log" ||
		{ tail -5 "$log" >&2; die "the mirror cannot be reached, or lacks a suite (log: $log)"; }
	touch "$stamp"
fi

# Downloads packages (name or name=version or name/suite) into build/vm/debs.
download() {
	(cd "$vm/debs" && timeout 300 apt-get download -q "$@" >"$vm/download.log" 2>&1) ||
		{ tail -5 "$vm/download.log" >&2; return 1; }
}

deb_of() { # the file of a package, by its control name
	local f
	for f in "$vm/debs/$1"_*.deb; do [ -s "$f" ] && echo "$f"; done | tail -1
}

if [ ! -e "$vm/qemu/.done" ]; then
	# QEMU 10 from backports: 7.2 crashes 6.12 guests at random in one boot of seven.
	mapfile -t pkgs < <(apt-get install -s -qq --no-install-recommends -t bookworm-backports \
		-o APT::Install-Recommends=0 qemu-system-x86/bookworm-backports seabios 2>"$vm/resolve.log" |
		awk '/^Inst / {gsub(/[()]/,"",$3); print $2 "=" $3}' |
		grep -E '^(qemu-system-(x86|common|data)|seabios|ipxe-qemu|lib)')
	[ ${#pkgs[@]} -gt 3 ] || { tail -5 "$vm/resolve.log" >&2; die "cannot resolve QEMU's packages"; }
	download "${pkgs[@]}" || die "cannot download QEMU"
	rm -rf "$vm/qemu"; mkdir -p "$vm/qemu"
	for p in "${pkgs[@]}"; do
		f=$(deb_of "${p%%=*}")
		[ -n "$f" ] || die "package ${p%%=*} was not downloaded"
		dpkg-deb -x "$f" "$vm/qemu"
	done
	touch "$vm/qemu/.done"
fi

if [ ! -s "$vm/busybox" ]; then
	download busybox-static || die "cannot download busybox"
	dpkg-deb --fsys-tarfile "$(deb_of busybox-static)" | tar -xO --wildcards '*bin/busybox' >"$vm/busybox.new"
	[ -s "$vm/busybox.new" ] || die "busybox-static holds no busybox"
	chmod +x "$vm/busybox.new"
	mv "$vm/busybox.new" "$vm/busybox"
fi

fetch_overlay() { # KERNEL DEB
	local module
	module=$(dpkg-deb --fsys-tarfile "$2" | tar -t | grep '/fs/overlayfs/overlay\.ko' || true)
	: >"$vm/overlay-$1.ko"
	[ -z "$module" ] || dpkg-deb --fsys-tarfile "$2" | tar -xO "$module" |
		case $module in *.xz) xz -dc ;; *) cat ;; esac >"$vm/overlay-$1.ko"
}

fetch_kernel() {
	local k=$1 s=${suite[$1]} image version pkg series
	series=$(cut -d. -f1,2 <<<"$k")
	# Newest first; an index may name a file that the mirror no longer has: try the next.
	while read -r image version; do
		for pkg in "${image/linux-image-/linux-binary-}" "$image"; do
			download "$pkg=$version" 2>/dev/null || continue
			dpkg-deb --fsys-tarfile "$(deb_of "$pkg")" |
				tar -xO --wildcards './boot/vmlinuz-*' './usr/lib/modules/*/vmlinuz' \
				2>/dev/null >"$vm/vmlinuz-$k.new" || true
			# An empty image would make QEMU hang.
			if [ "$(stat -c %s "$vm/vmlinuz-$k.new")" -gt 1000000 ]; then
				echo "$pkg $version ($s)" >"$vm/vmlinuz-$k.version"
				fetch_overlay "$k" "$(deb_of "$pkg")"
				mv "$vm/vmlinuz-$k.new" "$vm/vmlinuz-$k"
				rm -f "$vm/debs/$pkg"_*.deb
				return 0
			fi
		done
	done < <(apt-cache search --names-only "^linux-image-${series//./\\.}\\..*-cloud-amd64\$" |
		awk '{print $1}' | while read -r p; do
			apt-cache madison "$p" | awk -F' *[|] *' '{gsub(/ /,"",$1); print $1, $2}'
		done | awk -v k="$k" '$2 == k || index($2, k ".") == 1 || index($2, k "-") == 1' |
		sort -k2,2 -V -r | head -5)
	die "no kernel $k in $s"
}
for k in "$@"; do
	have_kernel "$k" || fetch_kernel "$k"
done
