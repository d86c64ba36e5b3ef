# SPDX-License-Identifier: GPL-2.0-or-later
"""Alerts of programs that leak towards the limit of their group."""
import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import memwatch, wait_for
from oomlib import (MIB, VERSION, event_of, events, group, hog, leak, log, top_function,
                    needs_cgroup as pytestmark)  # noqa: F401 (fixtures)


def test_alerts_fire_once_before_the_kill(leak, tmp_path, attach):
    log, tell = tmp_path / "log", tmp_path / "tell.py"
    tell.write_text("#!/usr/bin/python3\nimport json, os, sys\n"
                    "d = json.load(sys.stdin)\n"
                    "e = {k: v for k, v in os.environ.items() if k.startswith('MEMWATCH_')}\n"
                    f"open({str(tmp_path)!r} + '/told.' + d['rule'], 'a')"
                    ".write(json.dumps([d, e, sys.argv[1:]]) + '\\n')\n")
    tell.chmod(0o755)
    # Half a minute of growth: many looks, also on a machine that has little time for them.
    p = leak(40 * MIB, "-s", "64", "-u", "40000")
    mw = attach("-p", p.pid, "--exact", "-q", "-v", "--oom-log", log, "--alert-dir", tmp_path,
                "--alert-rss", "50%", "--alert-cgroup", "60%", "--alert-growth", "500K/s",
                "--alert-oom-in", "20s", "--on-alert", f"{tell} '$(touch {tmp_path}/injected)' `x`")
    leak.go(p)
    assert p.wait(180) == -9
    assert mw.finish(sig=None)[0] == 0
    kill = event_of(log, p.pid)
    told = events(log, "memwatch.alert/1")
    alerts = [a for a in told if a["state"] == "firing"]
    assert sorted(a["rule"] for a in alerts) == ["cgroup", "growth", "oom-in", "rss"]
    # The process ended, and with it what there was to say of it.
    over = [a for a in told if a["state"] == "resolved"]
    assert sorted(a["rule"] for a in over) == ["cgroup", "growth", "oom-in", "rss"]
    assert all(a["ended"] and a["lasted_ms"] >= 0 and a["profile"] is None for a in over)
    for a in alerts:
        assert a["pid"] == p.pid and a["time_unix_ms"] < kill["time_unix_ms"]
        assert a["limit_path"] == p.group.path and a["limit_bytes"] == 40 * MIB
        assert "hoard" in top_function(a["profile"])
        rows = Path(a["timeline"]).read_text().splitlines()
        assert rows[0].startswith("time_unix_ms,pid,virt_bytes,rss_bytes") and len(rows) > 2
        told = (tmp_path / f"told.{a['rule']}").read_text().splitlines()
        d, env, argv = next(x for x in map(json.loads, told) if x[0]["state"] == "firing")
        assert d == a
        assert env["MEMWATCH_ALERT_STATE"] == "firing" and len(told) == 2
        assert env["MEMWATCH_ALERT_RULE"] == a["rule"]
        assert env["MEMWATCH_ALERT_PID"] == str(p.pid)
        assert env["MEMWATCH_ALERT_PROFILE"] == a["profile"]
        for name in ("value", "threshold"):  # to the byte, and written as a shell can count with
            told_as = env["MEMWATCH_ALERT_" + name.upper()]
            assert told_as == str(a[name]) if a["unit"] == "bytes" else \
                abs(float(told_as) - a[name]) <= 0.0005, (told_as, a)
        assert argv == [f"$(touch {tmp_path}/injected)", "`x`"]
    assert not (tmp_path / "injected").exists()
    by = {a["rule"]: a for a in alerts}
    assert {r: a["scope"] for r, a in by.items()} == {
        "rss": "process", "growth": "process", "cgroup": "cgroup", "oom-in": "cgroup"}
    assert 20 * MIB <= by["rss"]["value"] < 40 * MIB and by["rss"]["threshold"] == 20 * MIB
    assert 0.6 <= by["cgroup"]["value"] < 1
    # The profile at death is the whole of it.
    assert "hoard" in top_function(kill["profile"])
    assert kill["victim"]["pid"] == p.pid and kill["source"] == "probe+kmsg"


def test_forecast_of_a_steady_leak(leak, tmp_path, attach):
    """Told at least three seconds ahead, within 30 % of when it comes."""
    log = tmp_path / "log"
    p = leak(48 * MIB, "-s", "64", "-u", "20000")
    attach("-p", p.pid, "-q", "-v", "--oom-log", log, "--alert-dir", tmp_path,
           "--alert-oom-in", "10s")
    leak.go(p)
    assert p.wait(180) == -9
    kill = event_of(log, p.pid)
    a = wait_for(lambda: events(log, "memwatch.alert/1"))[0]
    left = (kill["time_unix_ms"] - a["time_unix_ms"]) / 1000
    assert a["first_limit"] == "cgroup"
    assert a["oom_in_from_s"] <= left <= a["oom_in_to_s"], (a["oom_in_s"], left)


def test_page_cache_is_no_alarm(leak, tmp_path, attach):
    """Steady memory and file reads that fill the group to its limit, again and again: silence. Then
    memory that cannot be reclaimed: one alarm, and one word when it is gone."""
    log, data = tmp_path / "log", tmp_path / "data"
    with open(data, "wb") as f:
        f.truncate(200 * MIB)
        for at in range(0, 200 * MIB, 4096):
            f.seek(at)
            f.write(b"x")
        f.flush()
        os.fsync(f.fileno())  # what is dirty is not dropped
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    p = leak(48 * MIB, "-u", "1000", "-m", "12288")
    mw = attach("-p", p.pid, "--plain", "-i", "0.5", "--oom-log", log, "--alert-dir", tmp_path,
                "--alert-cgroup", "60%", "--alert-oom-in", "5m")
    leak.go(p)
    assert p.stdout.readline() == "full\n"
    usage = "memory.current" if VERSION == 2 else "memory.usage_in_bytes"
    r = subprocess.Popen(["sh", "-c", f"for i in 1 2 3 4 5 6 7 8; do cat {data} >/dev/null; done"],
                         preexec_fn=p.group.join)
    wait_for(lambda: int((p.group.dir / usage).read_text()) > 40 * MIB or r.poll() is not None)
    assert int((p.group.dir / usage).read_text()) > 40 * MIB
    assert r.wait(120) == 0
    mw.more_reports(8)  # several looks at what is there now
    assert events(log, "memwatch.alert/1") == []
    hold = subprocess.Popen([sys.executable, "-c", "x = b'x' * (24 << 20); input()"],
                            stdin=subprocess.PIPE, preexec_fn=p.group.join)
    a = wait_for(lambda: [x for x in events(log, "memwatch.alert/1") if x["rule"] == "cgroup"])[0]
    assert a["state"] == "firing" and a["used_bytes"] >= 28 * MIB and a["reclaimable_bytes"] > 0
    hold.communicate(b"\n")
    over = wait_for(lambda: [x for x in events(log, "memwatch.alert/1")
                             if x["rule"] == "cgroup" and x["state"] == "resolved"])
    assert len(over) == 1 and over[0]["lasted_ms"] > 0 and not over[0]["ended"]
    mw.finish()
    told = [x["state"] for x in events(log, "memwatch.alert/1") if x["rule"] == "cgroup"]
    assert told == ["firing", "resolved"]


def full(g, hog, kib):
    """A program in the group that has allocated so much and stays."""
    p = subprocess.Popen([str(hog), "-u", "0", "-m", str(kib)], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, preexec_fn=g.join)
    p.stdin.write("go\n")
    p.stdin.flush()
    assert [p.stdout.readline() for _ in range(2)] == ["ready\n", "full\n"]
    return p


def no_limit(g):
    for name in (["memory.max"] if VERSION == 2 else ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]):
        if (g.dir / name).exists():
            (g.dir / name).write_text("max" if VERSION == 2 else "-1")


def alerts_of(log, rule="cgroup"):
    return [x for x in events(log, "memwatch.alert/1") if x["rule"] == rule]


def test_a_group_is_one_alarm(group, hog, tmp_path, attach):
    """Two processes in a group: one alarm, with one pair of files; and it is over when the limit goes."""
    log = tmp_path / "log"
    g = group(40 * MIB)
    ps = [full(g, hog, 12 << 10), full(g, hog, 14 << 10)]
    try:
        mw = attach("top", "--cgroup", g.path, "--plain", "-i", "1", "-n", "100000", "--oom-log", log,
                    "--alert-dir", tmp_path, "--alert-cgroup", "50%", "--alert-oom-in", "5m", ready=False)
        a = wait_for(lambda: alerts_of(log))[0]
        assert (a["state"], a["scope"], a["limit_path"]) == ("firing", "cgroup", g.path)
        assert a["pid"] == ps[1].pid and a["used_bytes"] >= 26 * MIB  # the larger one
        no_limit(g)
        over = wait_for(lambda: [x for x in alerts_of(log) if x["state"] == "resolved"])[0]
        assert not over["ended"] and over["value"] is None and over["limit_path"] == g.path
        mw.wait_for("resolved after .*: cgroup .* has no limit any more")
        mw.finish()
        assert len(alerts_of(log)) == 2 and alerts_of(log, "oom-in") == []
        assert len(list(tmp_path.glob("memwatch-alert-*.csv"))) == 1
    finally:
        for p in ps:
            p.kill()
            p.wait()


def test_each_limit_on_the_way_counts(group, hog, tmp_path, attach):
    """A leaf full of page cache hides neither what fills the group above it nor its end."""
    log, data = tmp_path / "log", tmp_path / "data"
    above = group(96 * MIB)
    leaf, beside = group(24 * MIB, above), group(None, above)
    p, other = full(leaf, hog, 4 << 10), full(beside, hog, 60 << 10)
    try:
        subprocess.run(["dd", "if=/dev/zero", f"of={data}", "bs=1M", "count=64", "conv=fsync"], check=True,
                       stderr=subprocess.DEVNULL, preexec_fn=leaf.join)
        usage = leaf.dir / ("memory.current" if VERSION == 2 else "memory.usage_in_bytes")
        assert int(usage.read_text()) > 20 * MIB
        mw = attach("top", "-p", p.pid, "--plain", "-i", "1", "-n", "100000", "--oom-log", log, "--alert-dir",
                    tmp_path, "--alert-cgroup", "60%", ready=False)
        a = wait_for(lambda: alerts_of(log))[0]
        assert a["limit_path"] == above.path and a["pid"] == p.pid and a["used_bytes"] >= 60 * MIB
        other.kill()
        other.wait()
        wait_for(lambda: len(alerts_of(log)) == 2)
        mw.finish()
        assert [(x["state"], x["limit_path"]) for x in alerts_of(log)] == [
            ("firing", above.path), ("resolved", above.path)]
    finally:
        for q in (p, other):
            q.kill()
            q.wait()


def test_a_group_that_is_left(group, hog, tmp_path, attach):
    """The last of its processes has ended: that is told, and the service that comes again is not an
    alarm of its own within the cooldown."""
    log = tmp_path / "log"
    g = group(40 * MIB)
    mw = attach("top", "--cgroup", g.path, "--plain", "-i", "1", "-n", "100000", "--oom-log", log, "--alert-dir",
                tmp_path, "--alert-cgroup", "50%", "--alert-cooldown", "1h", ready=False)
    for _ in range(2):
        p = full(g, hog, 26 << 10)
        wait_for(lambda: alerts_of(log))
        mw.wait_for(rf"(?s)\b{p.pid}\b.*\n.*\b{p.pid}\b", stream="out")  # looked at in between
        p.kill()
        p.wait()
        wait_for(lambda: len(alerts_of(log)) == 2)
    mw.finish()
    assert [(x["state"], x.get("ended")) for x in alerts_of(log)] == [("firing", None), ("resolved", True)]


def test_no_alert_below_the_threshold(leak, tmp_path, attach):
    log = tmp_path / "log"
    p = leak(48 * MIB, "-u", "1000", "-m", "8192")
    mw = attach("-p", p.pid, "--plain", "-i", "0.5", "--oom-log", log, "--alert-dir", tmp_path,
                "--alert-rss", "50%", "--alert-cgroup", "60%", "--alert-growth", "500M/min",
                "--alert-oom-in", "1s")
    leak.go(p)
    assert p.stdout.readline() == "full\n"
    # Enough samples after the growth for the trend rules to have had their say.
    mw.more_reports(8)
    mw.finish()
    assert events(log, "memwatch.alert/1") == []


def test_command_that_hangs_is_ended(leak, tmp_path, attach):
    p = leak(48 * MIB, "-u", "1000", "-m", "16384")
    mw = attach("-p", p.pid, "-q", "-v", "--alert-dir", tmp_path, "--alert-rss", "4M", "--on-alert",
                "sleep 1000", "--alert-timeout", "300ms")
    leak.go(p)
    mw.wait_for("takes too long: ending it")
    mw.wait_for("ended by signal 15")
    assert p.poll() is None


def test_command_that_does_not_exist(leak, tmp_path):
    p = leak(48 * MIB)
    r = memwatch("-p", p.pid, "--alert-rss", "4M", "--on-alert", "/nonexistent/tool", "-d", "1s",
                 check=1)
    assert "the command of --on-alert cannot be run: No such file" in r.stderr
    r = memwatch("-p", p.pid, "--alert-rss", "4M", "--alert-dir", "/nonexistent", "-d", "1s", check=1)
    assert "--alert-dir" in r.stderr
