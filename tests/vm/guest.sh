#!/bin/sh
# Runs inside the guest, under busybox: real kills in memory cgroups of version 2, and what else
# must hold on this kernel. Prints "ok NAME", "not ok NAME: why" or "skip NAME: feature".
# Files in /t: memwatch, oom_hog (static), expected features of this kernel.
export PATH=/bin LC_ALL=C
cd /t || exit 1
CG=/sys/fs/cgroup
failed=0
ok() { echo "ok $1"; }
bad() { echo "not ok $1: $2"; failed=1; }
skip() { echo "skip $1: $2"; }

# Waits until a command succeeds, at most $1 tenths of a second.
await() {
	n=$1; shift
	while [ "$n" -gt 0 ]; do
		"$@" && return 0
		usleep 100000; n=$((n - 1))
	done
	return 1
}
events() { [ "$(grep -c memwatch.oom/1 "$1")" -ge "$2" ]; }

# in_cgroup DIR CMD…: the command as a member of the group.
in_cgroup() {
	dir=$1; shift
	sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$dir" "$@"
}
# hog DIR [options]: runs one until it is killed.
hog() {
	dir=$1; shift
	echo go | in_cgroup "$dir" /t/oom_hog "$@" >/dev/null 2>&1
}
start_memwatch() {
	./memwatch oom --log "$1" >"$1.out" 2>"$1.err" &
	mw=$!
	await 300 grep -q attached "$1.err"
}
stop_memwatch() { kill -INT "$mw"; wait "$mw"; }
# field FILE LINE NAME: the first number or string of that name in that line's JSON.
field() {
	sed -n "$2p" "$1" | grep -o "\"$3\":\(\"[^\"]*\"\|[0-9-]*\)" | head -1 | sed 's/^"[^"]*"://; s/"//g'
}

test_oom() {
	mkdir -p $CG/a/b $CG/a/c
	echo +memory >$CG/cgroup.subtree_control
	echo +memory >$CG/a/cgroup.subtree_control
	echo 24M >$CG/a/memory.max
	[ -e $CG/a/memory.swap.max ] && echo 0 >$CG/a/memory.swap.max
	rm -f /t/log
	start_memwatch /t/log || { bad oom_attach "$(tail -3 /t/log.err)"; return; }
	ok oom_attach

	hog $CG/a/b
	await 50 events /t/log 1 || { bad oom_kill "no event; $(cat /t/log.err)"; return; }
	dmesg | grep 'Killed process' | tail -1 >/t/line
	kb=$(sed 's/.*anon-rss:\([0-9]*\)kB.*/\1/' /t/line)
	pid=$(sed 's/.*Killed process \([0-9]*\).*/\1/' /t/line)
	[ "$(field log 1 source)" = "probe+kmsg" ] && ok oom_both_witnesses ||
		bad oom_both_witnesses "$(field log 1 source)"
	[ "$(field log 1 constraint)" = memcg ] && ok oom_constraint || bad oom_constraint "$(cat log)"
	sed -n 1p log | grep -q '"memcg":{"path":"/a","limit_bytes":25165824' && ok oom_memcg ||
		bad oom_memcg "$(cat log)"
	sed -n 1p log | grep -q '"cgroup":"/a/b"' && ok oom_nested_path || bad oom_nested_path "$(cat log)"
	[ "$(field log 1 anon_rss_bytes)" = $((kb * 1024)) ] && ok oom_numbers ||
		bad oom_numbers "$(field log 1 anon_rss_bytes) against ${kb}kB"
	sed -n 1p log | grep -q "\"victim\":{\"pid\":$pid," && ok oom_victim || bad oom_victim "$pid"

	hog $CG/a/b -t 200 &
	hog $CG/a/b &
	hog $CG/a/c &
	wait %2 %3 %4 2>/dev/null
	await 100 events /t/log 4 && ok oom_several || bad oom_several "$(grep -c memwatch.oom log) of 4"

	sleep 100 &
	s=$!
	kill -9 $s; wait $s 2>/dev/null
	hog $CG/a/b
	await 50 events /t/log 5
	stop_memwatch
	grep -q "\"pid\":$s," log && bad oom_not_by_hand "SIGKILL by hand reported" || ok oom_not_by_hand
	kills=$(dmesg | grep -c 'Killed process')
	[ "$(grep -c memwatch.oom/1 log)" = "$kills" ] && ok oom_complete ||
		bad oom_complete "$(grep -c memwatch.oom/1 log) events, $kills kills"

	hog $CG/a/b
	start_memwatch /t/log || { bad oom_restart "$(tail -3 /t/log.err)"; return; }
	await 50 events /t/log $((kills + 1)) && ok oom_restart || bad oom_restart "gap not filled"
	stop_memwatch
	[ "$(field log $((kills + 1)) source)" = kmsg ] && ok oom_restart_source ||
		bad oom_restart_source "$(field log $((kills + 1)) source)"
}

# Signals from an OOM daemon are told apart by the sender's name.
test_daemon() {
	rm -f /t/log2
	start_memwatch /t/log2 || return
	sleep 100 &
	s=$!
	./as_comm earlyoom $s
	wait $s 2>/dev/null
	await 50 events /t/log2 1
	stop_memwatch
	grep -q '"killer":"daemon"' /t/log2 && ok oom_daemon || bad oom_daemon "$(cat /t/log2.err)"
}

test_oom
test_daemon
[ -x /t/extra.sh ] && . /t/extra.sh
exit $failed
