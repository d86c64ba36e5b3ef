#!/bin/sh
# Runs inside the guest, under busybox: real kills in memory cgroups of version 2, and what else
# must hold on this kernel. Prints "ok NAME", "not ok NAME: why" or "skip NAME: feature".
# Files in /t: memwatch, oom_hog (static), expected features of this kernel.
export PATH=/bin LC_ALL=C
cd /t || exit 1
. ./lib.sh
CG=/sys/fs/cgroup
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
attached_or_gone() { grep -q attached "$2" 2>/dev/null || ! kill -0 "$1" 2>/dev/null; }
start_memwatch() {
	rm -f "$1.err"; : >"$1.err"
	./memwatch oom --log "$1" >"$1.out" 2>"$1.err" &
	mw=$!
	await attached_or_gone "$mw" "$1.err"
	grep -q attached "$1.err"
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
	await events /t/log 1 || { bad oom_kill "no event; $(cat /t/log.err)"; return; }
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

	# Reclaim before the kill: of the group at its limit, by the victim.
	sed -n 1p log | grep -q '"stalls":{"watched_s":[0-9]*,"group":{"path":"/a","reclaim":{"last_10s":{"count":[1-9]' &&
		ok oom_reclaim || bad oom_reclaim "$(grep -o '"stalls":.*' log)"
	sed -n 1p log | grep -q '"victim":{"reclaim":{"last_10s":{"count":[1-9]' && ok oom_reclaim_of_victim ||
		bad oom_reclaim_of_victim "$(grep -o '"stalls":.*' log)"

	hog $CG/a/b -t 200 & h1=$!
	hog $CG/a/b & h2=$!
	hog $CG/a/c & h3=$!
	wait $h1; wait $h2; wait $h3
	await events /t/log 4 && ok oom_several || bad oom_several "$(grep -c memwatch.oom log) of 4"

	sleep 100 &
	s=$!
	kill -9 $s; wait $s 2>/dev/null
	hog $CG/a/b
	await events /t/log 5
	stop_memwatch
	grep -q "\"pid\":$s," log && bad oom_not_by_hand "SIGKILL by hand reported" || ok oom_not_by_hand
	kills=$(dmesg | grep -c 'Killed process')
	[ "$(grep -c memwatch.oom/1 log)" = "$kills" ] && ok oom_complete ||
		bad oom_complete "$(grep -c memwatch.oom/1 log) events, $kills kills"

	hog $CG/a/b
	start_memwatch /t/log || { bad oom_restart "$(tail -3 /t/log.err)"; return; }
	await events /t/log $((kills + 1)) && ok oom_restart || bad oom_restart "gap not filled"
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
	await events /t/log2 1
	stop_memwatch
	grep -q '"killer":"daemon"' /t/log2 && ok oom_daemon || bad oom_daemon "$(cat /t/log2.err)"
}

# The machine itself runs out: no cgroup's limit, and memwatch lives on to tell.
test_machine() {
	rm -f /t/log3
	start_memwatch /t/log3 || { bad oom_machine "$(tail -3 /t/log3.err)"; return; }
	n=$(grep -c memwatch.oom/1 log3)
	# While the hog is being freed, who waits for memory may have the kernel kill once more: the
	# shell that carries the score, and these, which are there for it.
	spare=
	for i in 1 2 3 4; do
		sh -c 'echo 700 >/proc/$$/oom_score_adj; exec sleep 1000' &
		spare="$spare $!"
	done
	sh -c 'echo $$ >writer; echo 800 >/proc/$$/oom_score_adj; echo go | ./oom_hog -s 4096 -u 0; :' \
		>/dev/null 2>&1
	await events /t/log3 $((n + 1))
	kill -0 "$mw" && ok oom_survives || bad oom_survives "memwatch is gone"
	stop_memwatch
	kill $spare 2>/dev/null
	n=$((n + 1))
	writer=$(cat writer)
	[ "$(field log3 $n constraint)" = none ] && sed -n ${n}p log3 | grep -q '"memcg":null' &&
		[ "$(field log3 $n comm)" = oom_hog ] && ok oom_machine || bad oom_machine "$(sed -n ${n}p log3)"
	sed -n ${n}p log3 | grep -q "\"oom_score_adj\":800,\"oom_score_adj_set\":{\"time_unix_ms\":[0-9]*,\"pid\":$writer,\"comm\":\"sh\",\"of_pid\":$writer}" &&
		ok oom_score_writer || bad oom_score_writer "$(sed -n ${n}p log3)"
	sed -n ${n}p log3 | grep -q '"machine":{"reclaim":{"last_10s":{"count":[1-9]' && ok oom_machine_reclaim ||
		bad oom_machine_reclaim "$(sed -n ${n}p log3)"
	kb=$(dmesg | grep 'Killed process.*oom_hog' | tail -1 | sed 's/.*anon-rss:\([0-9]*\)kB.*/\1/')
	[ "$(field log3 $n anon_rss_bytes)" = $((kb * 1024)) ] && ok oom_machine_numbers ||
		bad oom_machine_numbers "$(field log3 $n anon_rss_bytes) against ${kb}kB"
}

# memory.oom.group: one record a process, though the kernel names the first victim twice.
test_group_kill() {
	rm -f /t/log4
	mkdir $CG/grp
	echo 24M >$CG/grp/memory.max
	[ -e $CG/grp/memory.swap.max ] && echo 0 >$CG/grp/memory.swap.max
	echo 1 >$CG/grp/memory.oom.group
	start_memwatch /t/log4 || { bad oom_group "$(tail -3 /t/log4.err)"; return; }
	n=$(grep -c memwatch.oom/1 log4)
	i=0
	while [ $i -lt 12 ]; do in_cgroup $CG/grp sleep 1000 & i=$((i + 1)); done
	await sh -c "[ \$(wc -l <$CG/grp/cgroup.procs) = 12 ]"
	hog $CG/grp
	await events /t/log4 $((n + 13))
	sleep 1
	stop_memwatch
	tail -n +$((n + 1)) log4 | grep -o '"victim":{"pid":[0-9]*' >group.pids
	[ "$(wc -l <group.pids)" = 13 ] && [ "$(sort -u group.pids | wc -l)" = 13 ] && ok oom_group ||
		bad oom_group "$(wc -l <group.pids) records, $(sort -u group.pids | wc -l) processes"
	tail -n +$((n + 1)) log4 | grep -v '"memcg":{"path":"/grp","limit_bytes":25165824' | grep -q . &&
		bad oom_group_named "$(tail -1 log4)" || ok oom_group_named
	rmdir $CG/grp
}

# Nobody may be killed: an event of its own, once, however often the kernel says so.
test_no_victim() {
	rm -f /t/log5
	mkdir $CG/stuck
	echo 8M >$CG/stuck/memory.max
	[ -e $CG/stuck/memory.swap.max ] && echo 0 >$CG/stuck/memory.swap.max
	start_memwatch /t/log5 || { bad oom_no_victim "$(tail -3 /t/log5.err)"; return; }
	n=$(grep -c memwatch.oom/1 log5)
	in_cgroup $CG/stuck sh -c 'echo -1000 >/proc/$$/oom_score_adj; exec dd if=/dev/zero of=/dev/null bs=16M' 2>/dev/null &
	s=$!
	await events /t/log5 $((n + 1))
	sleep 1
	kill -9 $s; wait $s 2>/dev/null
	stop_memwatch
	[ "$(grep -c '"victim":null,"repeats":0' log5)" = 1 ] &&
		tail -n +$((n + 1)) log5 | head -1 | grep -q '"memcg":{"path":"/stuck","limit_bytes":8388608' &&
		ok oom_no_victim || bad oom_no_victim "$(tail -n +$((n + 1)) log5 | head -2)"
	rmdir $CG/stuck
}

# Held up at memory.high: nobody is killed, and it is told.
test_throttle() {
	rm -f /t/log6
	mkdir $CG/slow
	echo 8M >$CG/slow/memory.high
	[ -e $CG/slow/memory.swap.max ] && echo 0 >$CG/slow/memory.swap.max
	start_memwatch /t/log6 || { bad oom_throttle "$(tail -3 /t/log6.err)"; return; }
	hog $CG/slow -m 20480 &
	await grep -q memwatch.throttle/1 /t/log6
	stop_memwatch
	grep -q '"cgroup":"/slow","high_bytes":8388608,"usage_bytes":[0-9]*,"throttled":[1-9]' log6 &&
		ok oom_throttle || bad oom_throttle "$(tail -1 log6)"
	kill -9 $(cat $CG/slow/cgroup.procs)
	wait
}

# A group close to its limit: one alarm, and one word when it is no longer, while the process that is
# watched stays.
test_alert() {
	mkdir $CG/alert
	echo 16M >$CG/alert/memory.max
	[ -e $CG/alert/memory.swap.max ] && echo 0 >$CG/alert/memory.swap.max
	echo go | in_cgroup $CG/alert ./oom_hog -m 5120 >hog7 2>&1 &
	await grep -q full hog7
	steady=$(cat $CG/alert/cgroup.procs)
	./memwatch top -p $steady --plain -n 1000000 -i 500ms --alert-cgroup 60% \
		--alert-dir /t --oom-log log7 >top7 2>top7.err &
	mw=$!
	await grep -q oom_hog top7
	echo go | in_cgroup $CG/alert ./oom_hog -m 5632 >hog8 2>&1 &
	await grep -q '"state":"firing","scope":"cgroup"' log7
	for p in $(cat $CG/alert/cgroup.procs); do
		[ "$p" = "$steady" ] || kill -9 "$p"
	done
	await grep -q '"state":"resolved"' log7
	stop_memwatch
	[ "$(grep -c memwatch.alert/1 log7)" = 2 ] && [ "$(grep -c '"limit_path":"/alert"' log7)" = 2 ] &&
		grep -q '"state":"resolved","scope":"cgroup","lasted_ms":[0-9]*,"ended":false' log7 && ok alert_cgroup ||
		bad alert_cgroup "$(cat log7 top7.err)"
	kill -9 "$steady"
	wait
}

# What the kernel offers, one line each: the host compares them with what is expected.
test_features() {
	./memwatch features --json >features.json 2>features.err || { bad features "$(cat features.err)"; return; }
	awk -F'"' '/"name":/ {n = $4} /"available":/ {print "feature " n ($0 ~ /true/ ? " yes" : " no")}' \
		features.json | tee features.txt
	ok features
}

feature() { grep -q "^feature $1 yes" features.txt; }

ready_or_gone() { grep -q ready known.out || ! kill -0 "$1" 2>/dev/null; }

# counted NAME CMD…: the known program, which a command becomes, and every allocation is counted.
counted() {
	name=$1; shift
	rm -f in known.out; mkfifo in
	"$@" <in >known.out 2>known.err &
	p=$!
	exec 5>in
	await ready_or_gone "$p"
	./memwatch -p $p --exact -q -v -o prof.json >/dev/null 2>attach.err &
	m=$!
	await attached_or_gone "$m" attach.err
	if ! grep -q 'attached to PID' attach.err; then
		bad "$name" "$(tail -3 attach.err known.err)"
		exec 5>&-
		kill -9 "$m" "$p"; wait "$m" "$p"
		return
	fi
	ok "$name"
	echo go >&5
	await grep -q done known.out
	echo end >&5
	exec 5>&-
	wait $m
	tr -d ' \n' <prof.json >prof.txt
	grep -q '"totals":{"alloc_objects":1000,"alloc_bytes":1000000,"free_objects":200,"free_bytes":200000,"inuse_objects":800,"inuse_bytes":800000}' prof.txt &&
		ok "${name}_exact" || bad "${name}_exact" "$(grep -o '"totals":{[^}]*}' prof.txt) $(grep -v debug: attach.err | tail -4)"
	grep -q '"function":"hold"' prof.txt && grep -q '"function":"main"' prof.txt && ok "${name}_stacks" ||
		bad "${name}_stacks" "$(head -c 600 prof.txt)"
}

test_attach() {
	if ! feature attach-cookie; then
		./memwatch -p $$ -d 1s >/dev/null 2>attach.err
		[ $? = 3 ] && grep -q 'need attach cookies' attach.err && ok attach_refused ||
			bad attach_refused "$(cat attach.err)"
		skip attach_exact "allocator probes need attach cookies (5.15)"
		return
	fi
	counted attach ./known
}

test_faults() {
	sleep 1000 & p=$!
	./memwatch -p $p --faults -d 1s -q -o faults.json >/dev/null 2>faults.err
	code=$?
	kill $p
	if ! feature attach-cookie; then
		[ $code = 3 ] && grep -q 'need Linux 5.15' faults.err && ok faults_refused ||
			bad faults_refused "$code $(cat faults.err)"
		return
	fi
	[ $code = 0 ] && grep -q '"loss": *{}' faults.json && ok faults || bad faults "$(tail -3 faults.err)"
}

# A container's program and C library: on root's overlay, and on one of a user namespace's own.
test_overlay() {
	feature attach-cookie || return
	insmod overlay.ko
	mkdir -p /tmp/lower /tmp/upper /tmp/work /tmp/merged
	cp known /lib/x86_64-linux-gnu/libc.so.6 /tmp/lower
	cat >overlaid.sh <<'S'
mount -t overlay overlay -o lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work /tmp/merged &&
	exec env LD_LIBRARY_PATH=/tmp/merged /tmp/merged/known
S
	counted overlay unshare -m sh overlaid.sh
	counted overlay_of_users unshare -Urm sh overlaid.sh
}

test_features
test_attach
test_faults
test_overlay
test_oom
test_daemon
test_machine
test_group_kill
test_no_victim
test_throttle
test_alert
exit $failed
