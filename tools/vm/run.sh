#!/bin/bash
# Boots each kernel under QEMU and runs tests/vm/guest.sh inside; as "systemd" a kernel with this
# machine's systemd as PID 1, whose unit is the daemon, and tests/vm/systemd.sh; as many at a time as there
# are processors. One line per guest and a verdict: PASS, FAIL, TIMEOUT, CRASH or SKIP; the exit status is 0
# only if every guest passed.
# Usage: tools/vm/run.sh [KERNEL|systemd…]     default: 5.10 6.1 6.12 systemd
# A guest is emulated (TCG): no virtualisation is needed, and none is used where it is offered.
set -euo pipefail
cd "$(dirname "$0")/../.."
vm=$PWD/build/vm
kernels=("$@"); [ $# -gt 0 ] || kernels=(5.10 6.1 6.12 systemd)
if [[ " ${kernels[*]} " = *" systemd "* ]] && [ ! -x /lib/systemd/systemd ]; then
	echo "check-kernels: no systemd on this machine: its guest is left out" >&2
	mapfile -t kernels < <(printf '%s\n' "${kernels[@]}" | grep -vx systemd)
fi
kernel_of() { [ "$1" = systemd ] && echo 6.1 || echo "$1"; }
limit=${MEMWATCH_VM_TIMEOUT:-1800}

mapfile -t wanted < <(for k in "${kernels[@]}"; do kernel_of "$k"; done | sort -u)
tools/vm/fetch.sh "${wanted[@]}" || { echo "check-kernels: cannot get the kernels to test" >&2; exit 1; }

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
	cp tests/vm/{lib,guest}.sh "$r/t/"
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

# The same with systemd, logrotate and the daemon's unit as they are installed here; the first that
# starts is a shell, for what a distribution has mounted by then.
make_systemd_root() {
	local r=$vm/root-systemd f u
	rm -rf "$r"; cp -a "$vm/root" "$r"
	mkdir -p "$r"/{etc/{systemd/system,logrotate.d},lib/systemd/system,root,run,usr/{bin,local/bin,sbin},var/{lib,log}}
	for f in /lib/systemd/{systemd,systemd-executor,systemd-shutdown} /bin/systemctl /usr/sbin/logrotate; do
		[ -e "$f" ] || continue
		rm -f "$r$f"
		for f in "$f" $(ldd "$f" | grep -o '/[^ ]*'); do mkdir -p "$r$(dirname "$f")"; cp -L "$f" "$r$f"; done
	done
	for u in sysinit basic shutdown umount final sockets timers paths local-fs swap; do
		cp "/lib/systemd/system/$u.target" "$r/lib/systemd/system/"
	done
	cp tools/systemd/memwatch-daemon.service "$r/lib/systemd/system/"
	cp tools/systemd/memwatch-daemon.logrotate "$r/etc/logrotate.d/memwatch-daemon"
	cp tests/vm/systemd.sh "$r/t/"
	ln -s /t/memwatch "$r/usr/local/bin/memwatch"
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$r/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$r/etc/group"
	echo 0123456789abcdef0123456789abcdef >"$r/etc/machine-id"
	printf '[Unit]\nRequires=tests.service\n' >"$r/lib/systemd/system/default.target"
	cat >"$r/lib/systemd/system/tests.service" <<'I'
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'exec >/dev/ttyS1 2>&1; echo "@@UP $(uname -r)"; sh /t/systemd.sh; echo "@@EXIT $?"; sync; poweroff -f'
TimeoutStartSec=infinity
I
	sed -i 's/\$(/$$(/; s/\$?/$$?/' "$r/lib/systemd/system/tests.service"
	cat >"$r/init" <<'I'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
exec /lib/systemd/systemd --log-target=console
I
	(cd "$r" && find . | "$vm/busybox" cpio -o -H newc 2>/dev/null) >"$vm/initrd-systemd.cpio"
}

boot() { # GUEST: the outputs go to build/vm/KERNEL.con (kernel) and .out (tests)
	local q=$vm/qemu initrd=initrd.cpio
	[ "$1" != systemd ] || initrd=initrd-systemd.cpio
	# What is this kernel's alone follows as an archive of its own.
	rm -rf "$vm/own-$1"; mkdir -p "$vm/own-$1/t"
	cp "$vm/overlay-$(kernel_of "$1").ko" "$vm/own-$1/t/overlay.ko"
	{ cat "$vm/$initrd"; (cd "$vm/own-$1" && find . | "$vm/busybox" cpio -o -H newc 2>/dev/null); } >"$vm/$1.cpio"
	rm -f "$vm/$1".{con,out}; : >"$vm/$1.out"; : >"$vm/$1.con"
	LD_LIBRARY_PATH=$q/usr/lib/x86_64-linux-gnu:$q/lib/x86_64-linux-gnu \
	QEMU_MODULE_DIR=$q/usr/lib/x86_64-linux-gnu/qemu \
	timeout "$limit" "$q/usr/bin/qemu-system-x86_64" -L "$q/usr/share/qemu" -L "$q/usr/share/seabios" \
		-M pc -accel tcg,thread=multi -cpu max -smp 2 -m 512M -nodefaults -no-user-config -no-reboot \
		-display none -serial "file:$vm/$1.con" -serial "file:$vm/$1.out" \
		-kernel "$vm/vmlinuz-$(kernel_of "$1")" -initrd "$vm/$1.cpio" \
		-append "console=ttyS0 loglevel=4 panic=-1 oops=panic rdinit=/init" \
		</dev/null >"$vm/$1.qemu" 2>&1
}

# Sets verdict and why.
judge() { # GUEST QEMU-STATUS
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
	elif missing=$(comm -23 <(sort "tests/vm/$1.features" 2>/dev/null) <(sed -n 's/^feature //p' "$out.txt" | sort)) &&
		[ -n "$missing" ]; then
		verdict=FAIL why="not as in tests/vm/$1.features: $(tr '\n' ' ' <<<"$missing")"
	elif [ $((oks + skips)) -ne "$want" ]; then verdict=FAIL why="$((oks + skips)) tests ran, $want expected"
	elif [ "$oks" = 0 ]; then verdict=SKIP why="nothing could be tested"
	else verdict=PASS; fi
}

# Its verdict; what it says is kept in build/vm/GUEST.told, how many tests passed in GUEST.passed.
guest() { # GUEST
	local k=$1 start=$SECONDS rc=0 verdict why oks fails skips
	boot "$k" || rc=$?
	judge "$k" "$rc"
	# An emulator may fail, and a guest on a busy machine that is out of memory may lose more than it
	# should: what fails twice has failed. The first time is told.
	if [ "$verdict" != PASS ]; then
		echo "guest $k: $verdict${why:+ ($why)}; once more" >&2
		grep '^not ok' "$vm/$k.out.txt" >&2 || tail -5 "$vm/$k.con" >&2 || true
		rc=0; boot "$k" || rc=$?
		judge "$k" "$rc"
	fi
	printf '%-8s %-5s %2d passed, %d failed, %d skipped in %ds  %s%s\n' "$verdict" "$k" "$oks" "$fails" \
		"$skips" $((SECONDS - start)) "$(cat "$vm/vmlinuz-$(kernel_of "$k").version")" "${why:+  ($why)}"
	if [ "$verdict" != PASS ]; then
		grep -E '^(not ok|skip)' "$vm/$k.out.txt" || tail -5 "$vm/$k.out.txt" || true
		tail -5 "$vm/$k.con" || true
	else
		echo "$oks" >"$vm/$k.passed"
		grep '^skip' "$vm/$k.out.txt" || true
	fi
}
export -f guest boot judge kernel_of
export vm limit

make_root
if [[ " ${kernels[*]} " = *" systemd "* ]]; then make_systemd_root; fi
rm -f "$vm"/*.passed "$vm"/*.told
printf '%s\n' "${kernels[@]}" | xargs -P "$(nproc)" -I{} bash -c 'guest {} >"$vm/{}.told" 2>&1'
status=0 total=0
for k in "${kernels[@]}"; do
	cat "$vm/$k.told"
	if [ -s "$vm/$k.passed" ]; then total=$((total + $(cat "$vm/$k.passed"))); else status=1; fi
done
echo "kernels: $total tests passed in ${#kernels[@]} guests$([ $status = 0 ] || echo ', with failures')"
exit $status
