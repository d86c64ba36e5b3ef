# SPDX-License-Identifier: GPL-2.0-or-later
"""memwatch daemon: alerts and kills, and what is kept of them and of passes and profiles."""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import ROOT, memwatch, wait_for
from daemonlib import Server, attached, daemon, named, rows  # noqa: F401 (fixtures)
from kmsglib import kmsg, stuck  # noqa: F401 (fixtures)
from oomlib import MIB, VERSION, datagram, group, hog, leak, top_function, victimless  # noqa: F401 (fixtures)


# --- what happens ---

def killed(daemon, leak, keys=""):
    """A daemon that has profiled a process, told of its size and seen its end; and the process."""
    p = leak(40 * MIB, "-s", "64", "-u", "10000")
    d = daemon(f"sample-bytes = 64K\n[profile p]\ncomm = ^oom_hog$\n{keys}"
               "[alert a]\ncomm = ^oom_hog$\nalert-rss = 10M\n")
    attached(d, p.pid)
    leak.go(p)
    assert p.wait(180) == -9
    return d, p


def test_alert_and_kill_of_a_profiled_process(daemon, leak):
    d, p = killed(daemon, leak)
    d.wait_for(rf"PID {p.pid} \(oom_hog\) was killed: out of memory.*its profile is in")
    assert d.finish(signal.SIGTERM)[0] == 0
    told = [json.loads(x) for x in (d.state / "oom.jsonl").read_text().splitlines()]
    alarm = next(x for x in told if x["schema"] == "memwatch.alert/1")
    kill = next(x for x in told if x["schema"] == "memwatch.oom/1")
    assert alarm["pid"] == kill["victim"]["pid"] == p.pid and alarm["rule"] == "rss"
    for profile in (alarm["profile"], kill["profile"]):
        assert profile.startswith(f"{d.state}/alerts/")
        assert "hoard" in top_function(profile)


def told_by(d):
    return [x for x in map(json.loads, (d.state / "oom.jsonl").read_text().splitlines())
            if x["schema"] == "memwatch.alert/1"]


def reload(d, rules):
    n = d.err.count("anew: ")
    d.conf.write_text("[daemon]\ninterval = 200ms\ngo = no\n[faults]\nenabled = no\n" + rules)
    d.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: d.err.count("anew: ") > n)


def test_alerts_go_on_after_a_reload(daemon, named):
    """What fires is not told again, and its end is: by its value, or because the rule is gone."""
    t = named("fires")
    who = f"comm = ^fires$\n"
    d = daemon(f"go = no\n[faults]\nenabled = no\n[alert a]\n{who}alert-rss = 64K\n[alert b]\n{who}alert-rss = 32K\n")
    wait_for(lambda: len(told_by(d)) == 2)
    reload(d, f"[alert c]\n{who}alert-rss = 1T\n[alert b]\n{who}alert-rss = 32K\nalert-growth = 1G/s\n"
              f"[alert a]\n{who}alert-rss = 64K\nalert-cooldown = 0\n")
    reload(d, f"[alert a]\n{who}alert-rss = 1T\nalert-cooldown = 0\n[alert b]\n{who}alert-rss = 32K\n")
    over = wait_for(lambda: told_by(d)[2:])
    assert len(over) == 1 and over[0]["state"] == "resolved" and not over[0]["ended"]
    assert over[0]["threshold"] == 1 << 40 and over[0]["pid"] == t.pid
    reload(d, f"[alert a]\n{who}alert-rss = 64K\nalert-cooldown = 0\n")  # b is gone
    d.wait_for("alert rss resolved after .*: the rule is not in force any more")
    wait_for(lambda: len(told_by(d)) == 5)
    assert d.finish(signal.SIGTERM)[0] == 0
    told = [(x["state"], x["threshold"]) for x in told_by(d)]
    assert sorted(told[:2]) == [("firing", 32 << 10), ("firing", 64 << 10)]
    assert told[2] == ("resolved", 1 << 40) and sorted(told[3:], key=str) == [("firing", 64 << 10), ("resolved", None)]
    assert {p.name.split("-")[2] for p in (d.state / "alerts").glob("*.csv")} == {"a", "b"}


def test_an_alert_watches_the_largest(daemon, target, tmp_path):
    """More are chosen than are looked at: those that matter are, whatever their numbers."""
    env = {**os.environ, "CROWD": f"of{os.getpid()}"}
    for _ in range(66):
        target(["sleep", "1000"], env=env)
    large = target([sys.executable, "-c", "x = b'x' * (60 << 20); print('ready', flush=True); input()"], env=env)
    large.expect("ready")
    d = daemon(f"go = no\n[faults]\nenabled = no\n[alert crowd]\nlabel = CROWD=of{os.getpid()}\nalert-rss = 50M\n",
               "--listen", "127.0.0.1:0")
    assert wait_for(lambda: told_by(d))[0]["pid"] == large.pid
    d.wait_for(r"\[alert crowd\]: 67 processes are chosen; the 64 that are largest")
    text = Server(d).text("/metrics")
    assert 'memwatch_alert_processes_left_out{alert="crowd"} 3\n' in text
    assert 'memwatch_alerts_total{alert="crowd",rule="rss"} 1\n' in text
    assert 'memwatch_alerts_firing{alert="crowd",rule="rss"} 1\n' in text
    large.proc.kill()
    wait_for(lambda: len(told_by(d)) == 2)
    wait_for(lambda: 'memwatch_alerts_firing{alert="crowd",rule="rss"} 0\n' in Server(d).text("/metrics"))
    assert 'memwatch_alerts_total{alert="crowd",rule="rss"} 1\n' in Server(d).text("/metrics")
    assert d.finish(signal.SIGTERM)[0] == 0


def test_the_log_is_rotated(daemon, named, tmp_path):
    """The real logrotate with the file that is installed: nothing lost."""
    logrotate = shutil.which("logrotate") or "/usr/sbin/logrotate"
    rules = "[alert a]\ncomm = ^fires$\nalert-rss = 64K\nalert-cooldown = 0\n"
    d = daemon(rules)
    log = d.state / "oom.jsonl"
    text = (ROOT / "tools/systemd/memwatch-daemon.logrotate").read_text()
    assert "/var/lib/memwatch/oom.jsonl" in text
    conf = tmp_path / "conf"
    conf.write_text(text.replace("/var/lib/memwatch/oom.jsonl", str(log)))
    tmp_path.chmod(0o755)
    pids = []
    for _ in range(3):
        t = named("fires")
        pids.append(t.pid)
        wait_for(lambda: log.exists() and any(x["pid"] == t.pid for x in told_by(d)))
        t.proc.kill()
        wait_for(lambda: any(x["pid"] == t.pid and x["state"] == "resolved" for x in told_by(d)))
        subprocess.run([logrotate, "-f", "-s", tmp_path / "rotated", conf], check=True)
    assert d.finish(signal.SIGTERM)[0] == 0
    files = [Path(f"{log}.1").read_text(), *(gzip.decompress(Path(f"{log}.{i}.gz").read_bytes()).decode() for i in (2, 3))]
    for text, pid in zip(files, reversed(pids)):
        told = [json.loads(x) for x in text.splitlines()]
        assert [(x["state"], x["pid"]) for x in told if x["schema"] == "memwatch.alert/1"] == [
            ("firing", pid), ("resolved", pid)]


def killed_stranger(daemon, leak):
    """A daemon that has sampled page faults of a process that it does not profile, and seen its kill; and
    the process. On a busy machine it is met some time after its first sample."""
    p = leak(40 * MIB, "-s", "64", "-u", "2000", "-m", "8192", "-w")
    d = daemon("[faults]\nperiod = 16\n", "--listen", "127.0.0.1:0")
    s = Server(d)
    leak.go(p)
    assert p.stdout.readline() == "full\n"
    wait_for(lambda: s.get(f"/api/profile?pid={p.pid}")[0] == 200)
    leak.go(p)
    assert p.wait(180) == -9
    return d, p


def test_kill_of_a_stranger_comes_with_its_page_faults(daemon, leak):
    d, p = killed_stranger(daemon, leak)
    d.wait_for(rf"PID {p.pid} \(oom_hog\) was killed: out of memory.*its profile is in")
    d.finish(signal.SIGTERM)
    kill = next(x for x in map(json.loads, (d.state / "oom.jsonl").read_text().splitlines())
                if x["victim"] and x["victim"]["pid"] == p.pid)
    assert "hoard" in top_function(kill["profile"])


def test_nobody_to_be_killed(daemon, stuck):
    """No process was: it is told, counted and kept as what it is."""
    s = Server(daemon("", "--listen", "127.0.0.1:0", wrap=stuck.wrap))
    told = rf"OOM without a victim, cgroup {stuck.path} at its limit of 16\.00MB"
    for _ in range(3):
        stuck.refuse()
    s.d.wait_for(told)
    wait_for(lambda: re.search(r"^memwatch_oom_without_victim_total [1-9]", s.text("/metrics"), re.M))
    marks = lambda: [m["text"] for m in json.loads(s.text("/api/machine"))["marks"]]
    wait_for(lambda: "OOM without a victim" in marks())
    assert not any("PID 0" in m for m in marks())
    assert s.d.finish(signal.SIGTERM)[0] == 0
    first, count = victimless(s.d.state / "oom.jsonl", stuck.path)
    assert first["profile"] is count["profile"] is None and (first["repeats"], count["repeats"]) == (0, 2)
    assert f"OOM without a victim, 2 more times, cgroup {stuck.path} at" in s.d.err
    assert "PID 0" not in s.d.err and " 3 OOMs without a victim" in s.d.err
    assert rows(s.d, "SELECT count(*) FROM event WHERE kind = 'oom' AND pid = 0 AND coalesce(snapshot, 0) = 0") == [(2,)]
    listed = memwatch("history", "--state-dir", s.d.state, "--events", check=0).stdout
    assert re.search(told, listed) and " 0 (" not in listed


@pytest.mark.skipif(VERSION != 2, reason="memory.high is of cgroup version 2")
def test_held_up_at_memory_high(daemon, group, hog):
    g = group()
    (g.dir / "memory.high").write_text(str(8 * MIB))
    s = Server(daemon("", "--listen", "127.0.0.1:0"))
    p = subprocess.Popen([hog, "-m", "20480"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=g.join)
    p.stdin.write(b"go\n")
    p.stdin.flush()
    s.d.wait_for(rf"held up: cgroup {g.path} at its memory\.high of 8\.00MB: \d+ times")
    wait_for(lambda: f"held up at memory.high: {g.path}" in
             [m["text"] for m in json.loads(s.text("/api/machine"))["marks"]])
    assert re.search(r"^memwatch_memory_high_throttles_total [1-9]", s.text("/metrics"), re.M)
    p.kill()
    p.wait()


def test_who_is_told_of_a_kill(daemon, leak, datagram, tmp_path):
    """[oom]: a command with the facts, the journal and syslog; a reload cannot change them."""
    journal, syslog = datagram("/run/systemd/journal/socket"), datagram("/dev/log")
    told = tmp_path / "told"
    tell = tmp_path / "tell"
    tell.write_text(f"#!/bin/sh\nenv > {told}.new; cat >> {told}.new; mv {told}.new {told}\n")
    tell.chmod(0o755)
    p = leak(40 * MIB, "-s", "64", "-u", "2000")
    rules = f"[oom]\non-kill = {tell}\njournal = yes\nsyslog = yes\n"
    d = daemon(rules)
    for change in (rules.replace("journal = yes\n", ""), rules.replace(str(tell), "/bin/true")):
        d.err = ""
        d.conf.write_text(change)
        d.proc.send_signal(signal.SIGHUP)
        d.wait_for("to change them takes a restart")
    leak.go(p)
    assert p.wait(180) == -9
    text = wait_for(lambda: told.exists() and told.read_text())
    assert f"MEMWATCH_KILL_PID={p.pid}\n" in text and "MEMWATCH_KILL_COMM=oom_hog\n" in text
    kill = json.loads(text.splitlines()[-1])
    assert kill["schema"] == "memwatch.oom/1" and kill["victim"]["pid"] == p.pid
    assert f" victim_pid={p.pid} " in syslog.recv(65536).decode()
    assert f"MEMWATCH_VICTIM_PID={p.pid}\n" in journal.recv(1 << 20).decode()


# --- what is kept ---

def test_history_has_passes_profiles_and_events(daemon, leak):
    d, p = killed(daemon, leak, "snapshot = 1s\n")
    d.wait_for(rf"PID {p.pid} \(oom_hog\) was killed")
    assert d.finish(signal.SIGTERM)[0] == 0
    told = {}
    for kind, pid, profile in rows(d, "SELECT kind, pid, snapshot FROM event"):
        told.setdefault((kind, pid), []).append(profile)
    assert told["oom", p.pid][0] and told["alert", p.pid][0]  # with their profiles
    whys = {x for x, in rows(d, "SELECT why FROM snapshot")}
    assert {"regular", "alert", "OOM kill"} <= whys
    assert rows(d, "SELECT count(*) FROM pass")[0][0] > 2


def test_peaks_are_kept(daemon, leak):
    """Each clearly above the one before, and the last as high as it was, but for a step; stacks as deep as is said."""
    p = leak(200 * MIB, "-s", "64", "-u", "20000", "-m", str(24 << 10))
    d = daemon("go = no\nmax-depth = 1\nsample-bytes = 64K\n[faults]\nenabled = no\n"
               "[profile p]\ncomm = ^oom_hog$\nsnapshot = 0\npeak = yes\npeak-rss = yes\n")
    attached(d, p.pid)
    leak.go(p)
    assert p.stdout.readline() == "full\n"
    last = lambda: [x[0] for x in rows(d, "SELECT inuse_bytes FROM snapshot WHERE why = 'peak' ORDER BY time_ms")]
    peaks = wait_for(lambda: (lambda x: x if len(x) > 1 and x[-1] > 19 << 20 else None)(last()))
    assert peaks[0] >= 1 << 20 and all(b >= 1.09 * a for a, b in zip(peaks, peaks[1:]))
    assert rows(d, "SELECT count(*) FROM snapshot WHERE why = 'peak of RSS'")[0][0] > 1
    assert rows(d, "SELECT count(*) FROM recording") == [(1,)]  # that goes on
    assert not rows(d, "SELECT 1 FROM snapshot WHERE why = 'regular'")
    assert d.finish(signal.SIGTERM)[0] == 0
    out = memwatch("history", "--state-dir", d.state, "-p", p.pid, "--at", "0s", "-o", d.state / "p.json", check=0)
    stacks = json.loads((d.state / "p.json").read_text())["stacks"]
    assert stacks and all([f["function"] for f in s["frames"]][1:] == ["[stack cut: too deep]"] for s in stacks), out.stderr


def test_page_faults_of_who_is_not_profiled_are_kept(daemon, leak):
    """With its kill; they are as good a profile as others for what asks."""
    d, p = killed_stranger(daemon, leak)
    d.wait_for(rf"PID {p.pid} \(oom_hog\) was killed: out of memory.*its profile is in")
    assert d.finish(signal.SIGTERM)[0] == 0
    event, snapshot = rows(d, f"SELECT id, snapshot FROM event WHERE pid = {p.pid}")[0]
    out = d.state / "kept.pb.gz"
    memwatch("history", "--state-dir", d.state, "--event", event, "-o", out, check=0)
    told = gzip.decompress(out.read_bytes())
    assert b"resident_space" in told and "hoard" in top_function(out)
    listed = memwatch("history", "--state-dir", d.state, "--profiles", check=0).stdout
    assert re.search(rf"^ +{snapshot}  2\d{{3}}-\S+ \S+ \S+ +{p.pid} +- +-  oom_hog  \(OOM kill\)$", listed, re.M), listed
    one = json.loads(memwatch("history", "--state-dir", d.state, "-p", p.pid, "--json", check=0).stdout)
    assert one["profiles"][0]["inuse_bytes"] is None and one["verdicts"] == []


def test_history_can_be_left_out_and_is_never_in_the_way(daemon, named, tmp_path):
    d = daemon("[history]\nenabled = no\n")
    assert d.finish(signal.SIGTERM)[0] == 0 and not (d.state / "history.db").exists()
    (d.state / "history.db").write_bytes(b"not a database at all" * 1000)
    d = daemon("")
    assert "is moved aside and a new one begun" in d.err
    assert d.finish(signal.SIGTERM)[0] == 0
    assert (d.state / "history.db.damaged").exists()


def test_history_of_a_killed_daemon_is_whole(daemon, named):
    d = daemon("[profile p]\ncomm = ^kept$\nsnapshot = 1s\n")
    t = named("kept")
    attached(d, t.pid)
    wait_for(lambda: rows(d, "SELECT count(*) FROM snapshot")[0][0] > 1)
    passes = lambda: [x for x, in rows(d, "SELECT time_ms FROM pass WHERE step = 0 ORDER BY time_ms")]
    wait_for(lambda: len(passes()) > 5)
    killed = time.time() * 1000
    d.proc.kill()
    d.proc.wait()
    assert rows(d, "PRAGMA integrity_check") == [("ok",)]
    # At most the last second is lost; on a machine that is as busy as the passes before were late.
    kept = passes()
    late = max(b - a for a, b in zip(kept, kept[1:])) - 1000
    assert killed - kept[-1] <= 1000 + max(200, 2 * late), (killed, kept[-6:])
    n = rows(d, "SELECT count(*) FROM pass")[0][0]
    d = daemon("")
    wait_for(lambda: rows(d, "SELECT count(*) FROM pass")[0][0] > n)


def test_full_disk(daemon, tmpfs):
    """It goes on, says so once, and again when there is room."""
    disk = tmpfs("state", "2m", lazily=True, mode="700")
    d = daemon("")
    wait_for(lambda: rows(d, "SELECT count(*) FROM pass")[0][0] > 1)
    with open(disk / "filler", "wb", buffering=0) as f, pytest.raises(OSError):
        while True:
            f.write(b"x" * 4096)
    d.wait_for("failed to write the history: No space left on device; continuing without")
    (disk / "filler").unlink()
    d.wait_for("writing the history works again")
    assert d.err.count("failed to write the history") == 1
    assert d.finish(signal.SIGTERM)[0] == 0
    assert rows(d, "PRAGMA integrity_check") == [("ok",)]
