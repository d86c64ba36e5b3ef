#!/bin/sh
# Runs inside the guest as a unit of a real systemd, which has started as PID 1: the daemon's unit as it
# is installed. Prints "ok NAME", "not ok NAME: why".
export PATH=/bin:/usr/sbin LC_ALL=C
UNIT=memwatch-daemon.service
DROP=/etc/systemd/system/$UNIT.d
CONF=/etc/memwatch/daemon.conf
LOG=/run/daemon.err
. /t/lib.sh
bad() { echo "not ok $1: $2"; tail -5 $LOG 2>/dev/null; failed=1; }
show() { systemctl show -P "$1" $UNIT; }
is_new() { p=$(show MainPID); [ "$p" != 0 ] && [ "$p" != "$1" ] && [ "$(show ActiveState)" = active ]; }
said() { [ "$(grep -c "$1" $LOG)" -ge "$2" ]; }
watchdog_moved() { [ "$(show WatchdogTimestampMonotonic)" != "$1" ]; }

# Short, so that what it does can be seen; the rest is as it is installed.
mkdir -p $DROP /etc/memwatch
printf '[Service]\nWatchdogSec=4\nRestartSec=1\nTimeoutAbortSec=1\nStandardError=append:%s\n' $LOG >$DROP/test.conf
printf '[daemon]\nlisten = unix:/run/memwatch/memwatch.sock\n[profile a]\ncomm = ^nobody$\n' >$CONF
systemctl daemon-reload

systemctl start $UNIT && said 'daemon ready' 1 && ok unit_ready || bad unit_ready "$(show Result)"
pid=$(show MainPID)
# Exactly the capabilities that the unit names, and a file system that cannot be written to but for its own.
want=$(sed -n 's/^CapabilityBoundingSet=//p' /lib/systemd/system/$UNIT | tr 'A-Z ' 'a-z\n' | sort | tr '\n' ' ')
got=$(show CapabilityBoundingSet | tr ' ' '\n' | sort | tr '\n' ' ')
bits=$(sed -n 's/^CapBnd:\t*0*//p' /proc/$pid/status)
[ "$want" = "$got" ] && [ "$bits" != 1ffffffffff ] && [ "$(cat /proc/$pid/oom_score_adj)" = -999 ] && ok unit_capabilities ||
	bad unit_capabilities "$got, $bits"
grep -q '^[0-9]* [0-9]* [0-9:]* / / ro[, ]' /proc/$pid/mountinfo && ok unit_protected ||
	bad unit_protected "$(head -1 /proc/$pid/mountinfo)"
[ -S /run/memwatch/memwatch.sock ] && [ -s /var/lib/memwatch/history.db ] && [ "$(stat -c %a /var/lib/memwatch)" = 700 ] &&
	ok unit_state || bad unit_state "$(ls -la /var/lib/memwatch /run/memwatch)"

before=$(show WatchdogTimestampMonotonic)
await watchdog_moved "$before" && [ "$(show MainPID)" = "$pid" ] && ok unit_watchdog || bad unit_watchdog "$before"

# The log is moved aside by logrotate; a reload reads the rules anew and opens it again.
echo '{}' >>/var/lib/memwatch/oom.jsonl
logrotate -f -s /run/rotated /etc/logrotate.d/memwatch-daemon && [ ! -e /var/lib/memwatch/oom.jsonl ] &&
	[ -s /var/lib/memwatch/oom.jsonl.1 ] && ok unit_logrotate || bad unit_logrotate "$(ls -la /var/lib/memwatch)"
printf '[profile b]\ncomm = ^nobody-else$\n' >>$CONF
systemctl reload $UNIT
await said 'anew: 2 profile' 1 && [ -e /var/lib/memwatch/oom.jsonl ] && [ "$(show MainPID)" = "$pid" ] && ok unit_reload ||
	bad unit_reload "$(show Result)"

# One that hangs is ended by the watchdog, one that is killed comes again.
kill -STOP "$pid"
await is_new "$pid" && ok unit_hung || bad unit_hung "$(show ActiveState)"
pid=$(show MainPID)
kill -KILL "$pid"
await is_new "$pid" && ok unit_killed || bad unit_killed "$(show ActiveState)"

systemctl stop $UNIT
[ "$(show ActiveState) $(show Result) $(show ExecMainStatus)" = "inactive success 0" ] && said '^memwatch: done: ' 1 && ok unit_stop ||
	bad unit_stop "$(show ActiveState) $(show Result) $(show ExecMainStatus)"

# What is wrong with the rules is said, once: a restart would end in the same way.
echo 'nonsense = yes' >>$CONF
systemctl start $UNIT 2>/dev/null && bad unit_wrong_rules "it started"
sleep 3
[ "$(show ActiveState) $(show NRestarts)" = "failed 0" ] && said 'daemon.conf:[0-9]*: ' 1 && ok unit_wrong_rules ||
	bad unit_wrong_rules "$(show ActiveState), $(show NRestarts) restarts"
exit $failed
