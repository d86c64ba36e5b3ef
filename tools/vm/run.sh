#!/bin/bash
# Boots each kernel under QEMU and runs tests/vm/guest.sh inside. One line per kernel and a verdict:
# PASS, FAIL, TIMEOUT, CRASH or SKIP; the exit status is 0 only if every kernel passed.
# Usage: tools/vm/run.sh [KERNEL…]     default: 5.10 6.1 6.12
# A guest is emulated (TCG): no virtualisation is needed, and none is used where it is offered.
set -euo pipefail
cd "$(dirname "$0")/../.."
vm=$PWD/build/vm
kernels=("$@"); [ $# -gt 0 ] || kernels=(5.10 6.1 6.12)
limit=${MEMWATCH_VM_TIMEOUT:-180}

tools/vm/fetch.sh "${kernels[@]}" || { echo "check-kernels: cannot get the kernels to test" >&2; exit 1; }

# The file system of the guest: busybox, memwatch with its libraries, the tests.
make_root() {
	local r=$vm/root lib
	rm -rf "$r"; mkdir -p "$r"/{bin,proc,sys,dev,tmp,t,lib64}
	cp "$vm/busybox" "$r/bin/busybox"
	"$vm/busybox" --list | while read -r a; do [ "$a" = busybox ] || ln -s busybox "$r/bin/$a"; done
	cp build/memwatch "$r/t/memwatch"
	strip -g "$r/t/memwatch"
	ldd build/memwatch | grep -o '/[^ ]*' | while read -r lib; do
		mkdir -p "$r$(dirname "$lib")"
		cp -L "$lib" "$r$lib"
	done
	gcc -g -O1 -static -o "$r/t/oom_hog" tests/workloads/oom_hog.c -lpthread
	gcc -g -O1 -static -o "$r/t/as_comm" tests/workloads/as_comm.c
	gcc -g -O1 -o "$r/t/known" tests/workloads/known.c
	cp tests/vm/guest.sh "$r/t/"
	cat >"$r/init" <<'I'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ulimit -l unlimited
exec >/dev/ttyS1 2>&1
echo "@@UP $(uname -r)"
sh /t/guest.sh
echo "@@EXIT $?"
sync
poweroff -f
I
	chmod +x "$r/init"
	(cd "$r" && find . | "$vm/busybox" cpio -o -H newc 2>/dev/null) >"$vm/initrd.cpio"
}

boot() { # KERNEL: the outputs go to build/vm/KERNEL.con (kernel) and .out (tests)
	local q=$vm/qemu
	rm -f "$vm/$1".{con,out}; : >"$vm/$1.out"; : >"$vm/$1.con"
	LD_LIBRARY_PATH=$q/usr/lib/x86_64-linux-gnu:$q/lib/x86_64-linux-gnu \
	QEMU_MODULE_DIR=$q/usr/lib/x86_64-linux-gnu/qemu \
	timeout "$limit" "$q/usr/bin/qemu-system-x86_64" -L "$q/usr/share/qemu" -L "$q/usr/share/seabios" \
		-M pc -accel tcg,thread=multi -cpu max -smp 2 -m 512M -nodefaults -no-user-config -no-reboot \
		-display none -serial "file:$vm/$1.con" -serial "file:$vm/$1.out" \
		-kernel "$vm/vmlinuz-$1" -initrd "$vm/initrd.cpio" \
		-append "console=ttyS0 loglevel=4 panic=-1 oops=panic rdinit=/init" \
		</dev/null >"$vm/$1.qemu" 2>&1
}

# Sets verdict and why.
judge() { # KERNEL QEMU-STATUS
	local out=$vm/$1.out con=$vm/$1.con code want missing
	tr -d '\r' <"$out" >"$out.txt"
	oks=$(grep -c '^ok ' "$out.txt" || true)
	fails=$(grep -c '^not ok ' "$out.txt" || true)
	skips=$(grep -c '^skip ' "$out.txt" || true)
	code=$(sed -n 's/^@@EXIT //p' "$out.txt")
	want=$(cat "tests/vm/$1.count")
	why=
	if [ "$2" = 124 ]; then verdict=TIMEOUT why="after ${limit}s"
	elif ! grep -q '^@@UP' "$out.txt"; then verdict=CRASH why="before the tests started"
	elif [ -z "$code" ] || ! grep -q 'reboot: Power down' "$con"; then verdict=CRASH why="no clean end"
	elif grep -q -E 'BUG:|Oops|Kernel panic|soft lockup|rcu.*stall' "$con"; then verdict=CRASH why="see $con"
	elif [ "$code" != 0 ] || [ "$fails" -gt 0 ]; then verdict=FAIL why="exit $code"
	elif missing=$(comm -23 <(sort "tests/vm/$1.features") <(sed -n 's/^feature //p' "$out.txt" | sort)) &&
		[ -n "$missing" ]; then
		verdict=FAIL why="not as in tests/vm/$1.features: $(tr '\n' ' ' <<<"$missing")"
	elif [ $((oks + skips)) -ne "$want" ]; then verdict=FAIL why="$((oks + skips)) tests ran, $want expected"
	elif [ "$oks" = 0 ]; then verdict=SKIP why="nothing could be tested"
	else verdict=PASS; fi
}

make_root
status=0 total=0
for k in "${kernels[@]}"; do
	start=$SECONDS rc=0
	boot "$k" || rc=$?
	judge "$k" "$rc"
	# The emulator may fail before the guest is up; once is its fault, twice is not. It is told.
	if [ "$verdict" = CRASH ] && ! grep -q '^@@UP' "$vm/$k.out.txt"; then
		echo "kernel $k: crashed before the tests started; once more" >&2
		rc=0; boot "$k" || rc=$?
		judge "$k" "$rc"
	fi
	printf '%-8s %-5s %2d passed, %d failed, %d skipped in %ds  %s%s\n' "$verdict" "$k" "$oks" "$fails" \
		"$skips" $((SECONDS - start)) "$(cat "$vm/vmlinuz-$k.version")" "${why:+  ($why)}"
	if [ "$verdict" != PASS ]; then
		status=1
		grep -E '^(not ok|skip)' "$vm/$k.out.txt" || tail -5 "$vm/$k.out.txt" || true
		tail -5 "$vm/$k.con" || true
	else
		total=$((total + oks)); grep '^skip' "$vm/$k.out.txt" || true
	fi
done
echo "kernels: $total tests passed on ${#kernels[@]} kernels$([ $status = 0 ] || echo ', with failures')"
exit $status
