#!/bin/bash
# Installs everything that building and testing memwatch needs. Idempotent: a second run with all
# packages present asks no mirror and takes a moment. Debian 12/13 and Ubuntu 22.04/24.04.
# Usage: tools/deps.sh [build|all|bench]   (default all: build plus what the tests drive)
set -euo pipefail
cd "$(dirname "$0")/.."

build_pkgs=(
	build-essential pkg-config git clang llvm libbpf-dev libelf-dev libdw-dev libdebuginfod-dev
	zlib1g-dev liblzma-dev libzstd-dev libcapstone-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
	libjansson-dev libmicrohttpd-dev libsqlite3-dev libncurses-dev libcap-dev libseccomp-dev libgcrypt20-dev
	libsystemd-dev libiberty-dev libpcre2-dev libedit-dev
)
test_pkgs=(
	libcmocka-dev python3 python3-pytest python3-pytest-xdist golang-go redis-server redis-tools musl-tools
	libjemalloc-dev libgoogle-perftools-dev libmimalloc-dev g++ gdb binutils elfutils
	prometheus apache2-utils python3-yaml libc6-dbg perl tmux graphviz fonts-dejavu-core postgresql procps xz-utils zsh fish
	systemd logrotate default-jdk-headless imagemagick ruby php-cli lua5.4 r-base-core
)
# What the packages are called is asked of apt below; a fresh machine has no lists yet.
if [ "$(id -u)" = 0 ] && ! apt-cache show clang >/dev/null 2>&1; then
	apt-get update -qq || true
fi
# bpftool has a package of its own on Debian; Ubuntu ships it with the kernel's tools.
if apt-cache show bpftool >/dev/null 2>&1 || command -v bpftool >/dev/null; then
	build_pkgs+=(bpftool)
else
	build_pkgs+=(linux-tools-generic)
fi

# The pages are bundled with node and npm; a node that is already there is used as it is.
command -v node >/dev/null || build_pkgs+=(nodejs)
command -v npm >/dev/null || build_pkgs+=(npm)
# Ubuntu's chromium package only asks for a snap; there the page tests say that they are skipped.
apt-cache show chromium 2>/dev/null | grep -q '^Version:.*snap' || test_pkgs+=(chromium)
# libFuzzer and the sanitizers' runtime for clang: a package of its own, named after the version.
clang_ver=$(clang --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -1)
clang_ver=${clang_ver:-$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -1)}
if [ -n "$clang_ver" ] && apt-cache show "libclang-rt-$clang_ver-dev" >/dev/null 2>&1; then
	test_pkgs+=("libclang-rt-$clang_ver-dev")
fi

# Whole programs and the peers that the benchmarks run beside memwatch.
bench_pkgs=(nginx-light apache2-utils valgrind heaptrack bpfcc-tools)

want=("${build_pkgs[@]}")
case ${1:-all} in
all) want+=("${test_pkgs[@]}") ;;
bench) want+=("${test_pkgs[@]}" "${bench_pkgs[@]}") ;;
esac

missing=()
for p in "${want[@]}"; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "deps: missing packages: ${missing[*]}" >&2
		echo "deps: run 'sudo make deps' to install them" >&2
		exit 3
	fi
	echo "deps: installing ${missing[*]}" >&2
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	# Tests start the servers that they need by themselves; none is to run because it was installed.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod +x $policy
	fi
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
		>"$log" 2>&1 || { tail -30 "$log" >&2; exit 1; }
	rm -f "$log"
fi

# earlyoom ends processes: its program alone is fetched for a test that shuts it in; installed, it
# would start with the machine.
if [ "${1:-all}" = all ] && ! command -v earlyoom >/dev/null &&
	[ ! -x build/earlyoom/usr/bin/earlyoom ]; then
	mkdir -p build/earlyoom
	(cd build/earlyoom && apt-get download -qq earlyoom >/dev/null 2>&1 &&
		dpkg -x earlyoom_*.deb . && rm -f earlyoom_*.deb) ||
		echo "deps: earlyoom cannot be fetched: its test will be skipped" >&2
fi

# The kernel interfaces that memwatch and its tests use are mounted where they are absent.
if [ "$(id -u)" = 0 ]; then
	mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing || true
	mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || true
fi
