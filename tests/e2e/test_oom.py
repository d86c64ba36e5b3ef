# SPDX-License-Identifier: GPL-2.0-or-later
"""OOM kills: real ones, in small memory cgroups, against the kernel's own words about them."""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from conftest import BIN, ROOT as REPO, build, memwatch, wait_for

MIB = 1 << 20


def memory_root():
    """Mount point and version of the memory controller."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        point, kind, options = left.split()[4], right.split()[0], right.split()[2]
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(point), 1
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        point = Path(left.split()[4])
        if right.split()[0] == "cgroup2" and "memory" in (point / "cgroup.controllers").read_text():
            return point, 2
    return None, 0


ROOT, VERSION = memory_root()
pytestmark = pytest.mark.skipif(not ROOT or not os.access(ROOT, os.W_OK),
                                reason="no memory cgroup can be made here")


class Group:
    def __init__(self, name, limit=None, parent=None):
        self.dir = (parent.dir if parent else ROOT) / name
        self.dir.mkdir()
        if VERSION == 2:
            if parent:
                (parent.dir / "cgroup.subtree_control").write_text("+memory")
            if limit:
                (self.dir / "memory.max").write_text(str(limit))
                if (self.dir / "memory.swap.max").exists():
                    (self.dir / "memory.swap.max").write_text("0")
        elif limit:
            (self.dir / "memory.limit_in_bytes").write_text(str(limit))
            if (self.dir / "memory.memsw.limit_in_bytes").exists():
                (self.dir / "memory.memsw.limit_in_bytes").write_text(str(limit))

    @property
    def path(self):
        return "/" + str(self.dir.relative_to(ROOT))

    def join(self):
        (self.dir / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for pid in (self.dir / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        wait_for(lambda: not (self.dir / "cgroup.procs").read_text().split())
        # A dying task leaves the list before it leaves the group.
        wait_for(self.rmdir)

    def rmdir(self):
        try:
            self.dir.rmdir()
        except OSError:
            return False
        return True


@pytest.fixture
def group():
    made = []

    def make(limit=None, parent=None):
        g = Group(f"memwatch-test-{os.getpid()}-{len(made)}", limit, parent)
        made.append(g)
        return g

    yield make
    for g in reversed(made):
        g.remove()


@pytest.fixture(scope="module")
def hog():
    return build("oom_hog.c", flags=["-O1", "-fno-omit-frame-pointer"], libs=["-lpthread"])


def kernel_kills():
    """The kernel's own lines: pid → (anon, file, shmem, total_vm in bytes, comm)."""
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    found = {}
    while True:
        try:
            line = os.read(fd, 8192).decode(errors="replace")
        except BlockingIOError:
            break
        except BrokenPipeError:
            continue
        m = re.search(r"Killed process (\d+) \((.*)\) total-vm:(\d+)kB, anon-rss:(\d+)kB, "
                      r"file-rss:(\d+)kB, shmem-rss:(\d+)kB", line)
        if m:
            vm, anon, file, shmem = (int(x) * 1024 for x in m.groups()[2:])
            found[int(m[1])] = dict(total_vm_bytes=vm, anon_rss_bytes=anon, file_rss_bytes=file,
                                    shmem_rss_bytes=shmem, comm=m[2])
    os.close(fd)
    return found


def let_the_kernel_talk():
    """The kernel writes the context of at most ten kills in five seconds, and only the "Killed
    process" line of others. Waits until the next kill gets its context."""
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    last = 0
    while True:
        try:
            line = os.read(fd, 8192).decode(errors="replace")
        except BlockingIOError:
            break
        except BrokenPipeError:
            continue
        if "Killed process" in line:
            last = int(line.split(",")[2]) / 1e6
    os.close(fd)
    wait_for(lambda: time.clock_gettime(time.CLOCK_MONOTONIC) > last + 5.5)


def kill_in(g, argv, timeout=60, **kw):
    """Runs argv in the group until the OOM killer ends it; returns its pid."""
    p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         preexec_fn=g.join, **kw)
    p.stdin.write(b"go\n")
    p.stdin.close()
    assert p.wait(timeout) == -signal.SIGKILL
    return p.pid


def events(path, schema="memwatch.oom/1"):
    if not Path(path).exists():
        return []
    lines = Path(path).read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["schema"] == schema]


def event_of(path, pid, timeout=20):
    return wait_for(lambda: next((e for e in events(path) if e["victim"]["pid"] == pid), None),
                    timeout)


def check(e, g, pid, comm, limit):
    """Everything that the kernel's line says about the same kill."""
    line = kernel_kills()[pid]
    v = e["victim"]
    for key in ("total_vm_bytes", "anon_rss_bytes", "file_rss_bytes", "shmem_rss_bytes"):
        assert v[key] == line[key], key
    assert line["comm"] == v["comm"] == comm
    assert e["source"] == "probe+kmsg"
    assert e["killer"] == "kernel" and e["signal"] == 9
    assert e["constraint"] == "memcg"
    assert e["memcg"]["path"] == g.path
    assert e["memcg"]["limit_bytes"] == limit
    assert limit * 0.9 < e["memcg"]["usage_bytes"] <= limit
    assert v["pgtables_bytes"] > 0 and v["oom_score_adj"] == 0 and v["uid"] == 0
    assert abs(e["time_unix_ms"] / 1000 - time.time()) < 60
    assert any(t["pid"] == pid and t["comm"] == comm for t in e["tasks"])
    assert e["machine"]["total_bytes"] > e["machine"]["free_bytes"] > 0


class Log(str):
    """A path, and how many events were in it at the start."""
    seen = 0


@pytest.fixture
def log(tmp_path):
    """A log that starts now: what the kernel's log has from before is in it already."""
    p = Log(tmp_path / "oom.jsonl")
    memwatch("oom", "--log", p, "-q", "-d", "10ms", check=0)
    p.seen = len(events(p))
    return p


def test_asked_for_its_files(group, hog, log, attach):
    """SIGUSR1 does not end it: the next kill is reported."""
    mw = attach("oom", "--log", log)
    mw.proc.send_signal(signal.SIGUSR1)
    waiting = f"/proc/{mw.proc.pid}/status"
    wait_for(lambda: mw.proc.poll() is not None or "ShdPnd:\t" + 16 * "0" in Path(waiting).read_text())
    pid = kill_in(group(16 * MIB), [hog])
    event_of(log, pid)
    assert mw.finish()[0] == 0


def test_c_program(group, hog, log, attach):
    g = group(16 * MIB)
    mw = attach("oom", "--log", log)
    pid = kill_in(g, [hog])
    e = event_of(log, pid)
    check(e, g, pid, "oom_hog", 16 * MIB)
    assert e["victim"]["cmdline"] == str(hog)
    assert e["victim"]["cgroup"] == g.path
    assert e["trigger"]["pid"] == pid and e["trigger"]["cgroup"] == g.path
    assert e["timeline"][-1]["rss_bytes"] > 12 * MIB
    status, out, err = mw.finish()
    assert status == 0
    assert f"oom_hog (pid {pid}, uid 0)" in out
    assert f"cgroup {g.path} hit its limit: " in out and "of 16.00MB" in out
    told = re.search(r"(\d+) kills reported, (\d+) written", err)  # others' too, if there were any
    assert int(told[1]) == int(told[2]) >= 1 and "lost: 0 ring full" in err


def test_child_in_a_tree(group, hog, log, attach):
    """The parent carries on, the child's death is told all the same."""
    g = group(16 * MIB)
    mw = attach("oom", "--log", log)
    p = subprocess.Popen([hog, "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         preexec_fn=g.join)
    try:
        assert p.stdout.readline() == "ready\n"
        p.stdin.write("go\n")
        p.stdin.flush()
        child = int(p.stdout.readline().split()[1])
        assert p.stdout.readline() == "child ended 9\n"
        e = event_of(log, child)
        check(e, g, child, "oom_hog", 16 * MIB)
        assert p.poll() is None
        assert p.pid not in [e["victim"]["pid"] for e in events(log)]
    finally:
        p.kill()
        p.wait()
    mw.finish()


def test_python_program(group, log, attach):
    g = group(32 * MIB)
    attach("oom", "--log", log)
    code = "import sys\nsys.stdin.readline()\nkeep = []\nwhile True: keep.append(bytearray(1 << 16))"
    pid = kill_in(g, [sys.executable, "-c", code])
    e = event_of(log, pid)
    check(e, g, pid, Path(sys.executable).name[:15], 32 * MIB)
    assert e["victim"]["cmdline"].startswith(sys.executable + " -c import sys")


def test_several_at_once(group, hog, log, attach):
    groups = [group(8 * MIB) for _ in range(8)]
    attach("oom", "--log", log)
    procs = [subprocess.Popen([hog, "-u", "100"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True, preexec_fn=g.join) for g in groups]
    for p in procs:
        assert p.stdout.readline() == "ready\n"
    for p in procs:
        p.stdin.write("go\n")
        p.stdin.flush()
    for p in procs:
        assert p.wait(60) == -9
    found = {p.pid: event_of(log, p.pid) for p in procs}
    for p, g in zip(procs, groups):
        e = found[p.pid]
        assert e["memcg"]["path"] == g.path and e["memcg"]["limit_bytes"] == 8 * MIB
        assert e["victim"]["anon_rss_bytes"] == kernel_kills()[p.pid]["anon_rss_bytes"]
    pids = [e["victim"]["pid"] for e in events(log)[log.seen:]]
    assert sorted(pids) == sorted(found)


def test_more_kills_than_the_kernel_explains(group, hog, log, attach):
    """Beyond its rate limit the kernel logs no context: limit and group come from the probe."""
    g = group(8 * MIB)
    attach("oom", "--log", log)
    pids = [kill_in(g, [hog, "-u", "100"]) for _ in range(14)]
    for pid in pids:
        e = event_of(log, pid)
        assert e["memcg"]["path"] == g.path and e["memcg"]["limit_bytes"] == 8 * MIB
        assert e["victim"]["cgroup"] == g.path and e["trigger"]["pid"] == pid
        assert any(t["pid"] == pid for t in e["tasks"])
        line = kernel_kills()[pid]
        assert e["victim"]["anon_rss_bytes"] == line["anon_rss_bytes"]
    assert {e["tasks_from"] for e in events(log) if e["victim"]["pid"] in pids} >= {"proc"}


def test_nested_group(group, hog, log, attach):
    """The limit of an outer group is hit from an inner one."""
    outer = group(16 * MIB)
    inner = group(None, outer)
    attach("oom", "--log", log)
    pid = kill_in(inner, [hog])
    e = event_of(log, pid)
    check(e, outer, pid, "oom_hog", 16 * MIB)
    assert e["victim"]["cgroup"] == inner.path


def test_many_threads(group, hog, log, attach):
    g = group(32 * MIB)
    attach("oom", "--log", log)
    pid = kill_in(g, [hog, "-t", "200"])
    e = event_of(log, pid)
    check(e, g, pid, "oom_hog", 32 * MIB)
    assert len([e for e in events(log) if e["victim"]["pid"] == pid]) == 1


def test_memwatch_in_the_same_group(group, hog, log, attach):
    g = group(64 * MIB)
    mw = attach("oom", "--log", log, preexec_fn=g.join)
    pids = [kill_in(g, [hog]) for _ in range(3)]
    for pid in pids:
        assert event_of(log, pid)["memcg"]["path"] == g.path
    assert mw.proc.poll() is None
    status = Path(f"/proc/{mw.proc.pid}/status").read_text()
    assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 20 * 1024
    assert mw.finish()[0] == 0


def test_each_witness_alone(group, hog, tmp_path, attach):
    """Probe and kernel log agree, each without the other."""
    outer = group(16 * MIB)
    inner = group(None, outer)
    probe, kmsg = tmp_path / "probe", tmp_path / "kmsg"
    memwatch("oom", "--source", "kmsg", "--log", kmsg, "-q", "-d", "10ms", check=0)
    attach("oom", "--source", "probe", "--log", probe)
    attach("oom", "--source", "kmsg", "--log", kmsg)
    let_the_kernel_talk()
    pid = kill_in(inner, [hog])
    a, b = event_of(probe, pid), event_of(kmsg, pid)
    assert (a["source"], b["source"]) == ("probe", "kmsg")
    assert a["constraint"] == b["constraint"] == "memcg"
    assert a["memcg"]["path"] == b["memcg"]["path"] == outer.path
    assert a["memcg"]["limit_bytes"] == b["memcg"]["limit_bytes"] == 16 * MIB
    for key in ("pid", "comm", "uid", "cgroup", "total_vm_bytes", "anon_rss_bytes",
                "file_rss_bytes", "shmem_rss_bytes", "oom_score_adj"):
        assert a["victim"][key] == b["victim"][key], key
    assert a["tasks_from"] == "proc" and b["tasks_from"] == "kernel"


def test_sigkill_by_hand_is_no_oom(group, hog, log, attach):
    g = group(16 * MIB)
    attach("oom", "--log", log)
    p = subprocess.Popen([hog, "-m", "4096"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True, preexec_fn=g.join)
    assert p.stdout.readline() == "ready\n"
    p.kill()
    p.wait()
    fence = kill_in(g, [hog])
    event_of(log, fence)
    assert [e["victim"]["pid"] for e in events(log)[log.seen:]] == [fence]


def test_userspace_daemon(log, attach):
    """A kill by an OOM daemon is told by its sender."""
    sender = build("as_comm.c")
    attach("oom", "--log", log)
    p = subprocess.Popen(["sleep", "100"])
    subprocess.run([sender, "earlyoom", str(p.pid)], check=True)
    assert p.wait(10) == -9
    e = event_of(log, p.pid)
    assert e["killer"] == "daemon" and e["signal"] == 9
    assert e["trigger"]["comm"] == "earlyoom" and e["victim"]["comm"] == "sleep"
    assert e["memcg"] is None


def test_restart_loses_nothing(group, hog, log, attach):
    g = group(16 * MIB)
    mw = attach("oom", "--log", log)
    first = kill_in(g, [hog])
    event_of(log, first)
    mw.proc.kill()  # no chance to put anything in order
    mw.proc.wait()
    let_the_kernel_talk()
    missed = kill_in(g, [hog])
    mw = attach("oom", "--log", log)
    e = event_of(log, missed)
    assert e["source"] == "kmsg" and e["memcg"]["path"] == g.path
    last = kill_in(g, [hog])
    event_of(log, last)
    mw.finish()
    memwatch("oom", "--log", log, "-d", "10ms", check=0)
    assert [e["victim"]["pid"] for e in events(log)[log.seen:]] == [first, missed, last]


def test_what_the_probe_alone_told_is_known(group, hog, log, attach):
    """Its record has no number of the kernel's log, which has the kill all the same."""
    mw = attach("oom", "--source", "probe", "--log", log)
    pids = [kill_in(group(16 * MIB), [hog]) for _ in range(2)]
    assert [event_of(log, pid)["kmsg_seq"] for pid in pids] == [None, None]
    mw.finish()
    memwatch("oom", "--log", log, "-d", "10ms", check=0)
    assert [e["victim"]["pid"] for e in events(log)[log.seen:]] == pids
    p = memwatch("oom", "--list", "--json", "--log", log, check=0)
    listed = [json.loads(x)["victim"]["pid"] for x in p.stdout.splitlines()]
    assert listed[-2:] == pids and len(set(listed)) == len(listed)


def test_list_then_follow(group, hog, attach):
    """Nothing is left out between the list and what follows, and nothing is told twice."""
    g = group(16 * MIB)
    first = kill_in(g, [hog])
    mw = attach("oom", "--since", "30s", "--follow", "--json")
    last = kill_in(g, [hog])
    mw.wait_for(f'"victim":{{"pid":{last},', stream="out")
    out = mw.finish()[1]
    told = [json.loads(x)["victim"]["pid"] for x in out.splitlines()]
    assert told.count(first) == told.count(last) == 1 and told[-1] == last


def test_rotation_and_truncation(group, hog, log, attach):
    g = group(16 * MIB)
    attach("oom", "--log", log)
    event_of(log, kill_in(g, [hog]))
    os.rename(log, str(log) + ".1")
    pid = kill_in(g, [hog])
    event_of(log, pid)
    assert [e["victim"]["pid"] for e in events(log)] == [pid]
    assert pid not in [e["victim"]["pid"] for e in events(str(log) + ".1")]
    os.truncate(log, 0)
    pid = kill_in(g, [hog])
    event_of(log, pid)
    # A writer that died in the middle of a line.
    with open(log, "a") as f:
        f.write('{"schema":"memwatch.oom/1","vic')
    pid = kill_in(g, [hog])
    wait_for(lambda: f'"pid":{pid}' in Path(log).read_text())
    lines = Path(log).read_text().splitlines()
    assert json.loads(lines[-1])["victim"]["pid"] == pid
    p = memwatch("oom", "--log", log, "--since", "1h", "--json", check=0)
    assert f'"victim":{{"pid":{pid},' in p.stdout
    assert "1 lines that are no events" in p.stderr


@pytest.fixture
def small_disk(tmp_path):
    d = tmp_path / "disk"
    d.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", d], check=True)
    yield d
    subprocess.run(["umount", "-l", d], check=True)


def test_full_disk(group, hog, small_disk, attach):
    g = group(16 * MIB)
    log = small_disk / "log"
    memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
    mw = attach("oom", "--log", log)
    first = kill_in(g, [hog])
    event_of(log, first)
    before = log.read_bytes()
    with open(small_disk / "filler", "wb") as f:
        try:
            while True:
                os.write(f.fileno(), bytes(4096))
        except OSError:
            pass
    # What is left of the log's last page may still take one record.
    waiting = []
    while not waiting or not re.search("failed to write", mw.err):
        assert len(waiting) < 6
        waiting.append(kill_in(g, [hog]))
        mw.wait_for(str(waiting[-1]), stream="out")
    mw.wait_for("failed to write .*No space left.*events wait")
    assert log.read_bytes().startswith(before)
    assert not log.read_bytes().split(b"\n")[-1], "half a line was left"
    (small_disk / "filler").unlink()
    for pid in waiting:
        event_of(log, pid)
    mw.wait_for("works again")
    assert mw.finish()[0] == 0


def test_read_only_directory(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    p = memwatch("oom", "--log", small_disk / "log", "-d", "1s", check=1)
    assert f"failed to open the log '{small_disk}/log': Read-only file system" in p.stderr
    p = memwatch("oom", "--log", "/nonexistent/log", "-d", "1s", check=1)
    assert "No such file or directory" in p.stderr


def test_without_privileges(tmp_path):
    exe = Path("/tmp") / f"memwatch-unprivileged-{os.getpid()}"
    shutil.copy(BIN, exe)
    exe.chmod(0o755)
    try:
        p = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                            "--bounding-set=-all", str(exe), "oom", "-d", "1s"],
                           capture_output=True, text=True, cwd="/")
        assert p.returncode == 3
        assert "CAP_BPF and CAP_PERFMON" in p.stderr
        assert not p.stdout
    finally:
        exe.unlink()


def test_usage():
    for bad in (["--since", "yesterweek"], ["--until", "25:00"], ["--source", "tea-leaves"],
                ["-d", "-1"], ["file", "--log", "x"], ["file", "--on-kill", "true"]):
        assert memwatch("oom", *bad, check=2).stderr
    p = memwatch("-p", "1", "--on-alert", "true", check=2)
    assert "--on-alert" in p.stderr
    for bad in ("--alert-rss=much", "--alert-cgroup=120%", "--alert-growth=5M/fortnight",
                "--alert-oom-in=soon", "--alert-psi=20%"):
        assert bad.split("=")[0] in memwatch("-p", "1", bad, check=2).stderr


# --- alerts ---

@pytest.fixture
def leak(group, hog):
    """leak(limit, args…): a leaking program in a group of its own, held at the start."""
    running = []

    def start(limit, *args, **kw):
        g = group(limit)
        p = subprocess.Popen([str(hog), *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, preexec_fn=g.join, **kw)
        running.append(p)
        assert p.stdout.readline() == "ready\n"
        p.group = g
        return p

    def go(p):
        p.stdin.write("go\n")
        p.stdin.flush()

    start.go = go
    yield start
    for p in running:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


def top_function(profile):
    out = subprocess.run([str(BIN), "report", "--top", "5", str(profile)], capture_output=True,
                         text=True)
    assert out.returncode == 0, out.stderr
    return out.stdout


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
                "--alert-rss", "50%", "--alert-cgroup", "60%", "--alert-growth", "5M/min",
                "--alert-oom-in", "20s", "--on-alert", f"{tell} '$(touch {tmp_path}/injected)' `x`")
    leak.go(p)
    assert p.wait(60) == -9
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
        assert argv == [f"$(touch {tmp_path}/injected)", "`x`"]
    assert not (tmp_path / "injected").exists()
    by = {a["rule"]: a for a in alerts}
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
    assert p.wait(60) == -9
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
    os.posix_fadvise(os.open(data, os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
    p = leak(48 * MIB, "-u", "1000", "-m", "12288")
    mw = attach("-p", p.pid, "-q", "-v", "--oom-log", log, "--alert-dir", tmp_path, "--alert-cgroup",
                "60%", "--alert-oom-in", "5m")
    leak.go(p)
    assert p.stdout.readline() == "full\n"
    usage = "memory.current" if VERSION == 2 else "memory.usage_in_bytes"
    r = subprocess.Popen(["sh", "-c", f"for i in 1 2 3 4 5 6 7 8; do cat {data} >/dev/null; done"],
                         preexec_fn=p.group.join)
    wait_for(lambda: int((p.group.dir / usage).read_text()) > 40 * MIB or r.poll() is not None)
    assert int((p.group.dir / usage).read_text()) > 40 * MIB
    assert r.wait(120) == 0
    time.sleep(2)  # several looks at what is there now
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


def test_no_alert_below_the_threshold(leak, tmp_path, attach):
    log = tmp_path / "log"
    p = leak(48 * MIB, "-u", "1000", "-m", "8192")
    mw = attach("-p", p.pid, "-q", "-v", "--oom-log", log, "--alert-dir", tmp_path, "--alert-rss",
                "50%", "--alert-cgroup", "60%", "--alert-growth", "500M/min", "--alert-oom-in", "1s")
    leak.go(p)
    assert p.stdout.readline() == "full\n"
    # Enough samples after the growth for the trend rules to have had their say.
    time.sleep(4)
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


# --- as a service ---

@pytest.fixture
def datagram(tmp_path):
    """A datagram socket under a path, removed afterwards."""
    import socket
    made = []

    def make(path):
        if os.path.exists(path):
            pytest.skip(f"{path} belongs to somebody")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(str(path))
        s.settimeout(30)
        made.append((s, path))
        return s

    yield make
    for s, path in made:
        s.close()
        os.unlink(path)


def test_service_and_journal(group, hog, log, attach, datagram, tmp_path):
    """Tells the manager when it is ready, the journal with fields of its own, and syslog."""
    notify = datagram(str(tmp_path / "notify"))
    journal = datagram("/run/systemd/journal/socket")
    syslog = datagram("/dev/log")
    g = group(16 * MIB)
    attach("oom", "--log", log, "--journal", "--syslog",
           env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert "READY=1" in notify.recv(4096).decode().split("\n")
    pid = kill_in(g, [hog])
    line = syslog.recv(65536).decode()
    assert f"oom_hog (pid {pid}, uid 0)" in line and f" victim_pid={pid} " in line
    message = journal.recv(1 << 20).decode()
    fields = dict(f.split("=", 1) for f in message.split("\n") if "=" in f)
    assert fields["MEMWATCH_VICTIM_PID"] == str(pid) and fields["MEMWATCH_VICTIM_COMM"] == "oom_hog"
    assert fields["MEMWATCH_MEMCG"] == g.path and fields["PRIORITY"] == "3"
    assert fields["MEMWATCH_CONSTRAINT"] == "memcg"
    assert fields["MEMWATCH_LIMIT_BYTES"] == str(16 * MIB)
    assert fields["MESSAGE"].startswith("OOM kill: oom_hog")
    assert event_of(log, pid)["victim"]["anon_rss_bytes"] == int(fields["MEMWATCH_ANON_RSS_BYTES"])


def unit_file():
    """The unit's lines, by key."""
    text = (REPO / "tools/systemd/memwatch-oom.service").read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.M)), text


def test_unit_file_is_understood(tmp_path):
    """By systemd's own tools: no unknown key, no bad value, no program that is not there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "memwatch-oom.service"

    def verify(text):
        unit.write_text(text.replace("/usr/local/bin/memwatch", str(BIN)))
        p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                           text=True, timeout=60, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
        return p.returncode, "".join(x + "\n" for x in p.stderr.splitlines() if unit.name in x)

    text = unit_file()[1]
    assert verify(text) == (0, "")
    # It would have said so.
    assert verify(text.replace("NoNewPrivileges=yes", "NoNewPrivileges=perhaps"))[1]
    assert verify(text.replace("LogsDirectory=", "LoggingDirectory="))[1]


def test_logrotate(group, hog, log, attach, tmp_path):
    """The real logrotate with the file that is installed: nothing lost, nothing twice."""
    logrotate = shutil.which("logrotate") or "/usr/sbin/logrotate"
    mw = attach("oom", "--log", log)
    conf = tmp_path / "conf"
    text = (REPO / "tools/systemd/memwatch-oom.logrotate").read_text()
    text = text.replace("/var/log/memwatch/oom.jsonl", str(log))
    text = text.replace("systemctl kill --signal=HUP memwatch-oom.service", f"kill -HUP {mw.proc.pid}")
    conf.write_text(text)
    tmp_path.chmod(0o755)
    g, pids = group(16 * MIB), []
    for _ in range(3):
        pids.append(kill_in(g, [hog]))
        event_of(log, pids[-1])
        subprocess.run([logrotate, "-f", "-s", tmp_path / "state", conf], check=True)
        wait_for(lambda: Path(log).exists())  # opened anew by the signal
        assert events(log) == []
    pids.append(kill_in(g, [hog]))
    event_of(log, pids[-1])
    mw.finish()
    memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
    assert [e["victim"]["pid"] for e in events(log)] == pids[-1:]
    p = memwatch("oom", "--list", "--json", "--log", log, check=0)
    told = [json.loads(x)["victim"]["pid"] for x in p.stdout.splitlines()]
    assert [x for x in told if x in pids] == pids
    assert Path(str(log) + ".1").exists() and Path(str(log) + ".2.gz").exists()


def test_footprint_within_the_unit(group, hog, log, attach):
    """Its own group with the unit's limit: a storm of kills does not bring it near."""
    limit = int(re.match(r"(\d+)M", unit_file()[0]["MemoryMax"])[1]) * MIB
    own = group(limit)
    mw = attach("oom", "--log", log, preexec_fn=own.join)
    gs = [group(16 * MIB) for _ in range(4)]
    for _ in range(5):
        running = [subprocess.Popen([hog], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                    preexec_fn=g.join) for g in gs]
        for p in running:
            p.stdin.write(b"go\n")
            p.stdin.close()
        pids = [p.pid for p in running]
        for p in running:
            assert p.wait(60) == -signal.SIGKILL
    for pid in pids:
        event_of(log, pid)
    peak = own.dir / ("memory.peak" if VERSION == 2 else "memory.max_usage_in_bytes")
    assert 0 < int(peak.read_text()) < limit * 3 // 4
    assert mw.finish()[0] == 0
    assert len(events(log)) - log.seen == 20


def test_with_the_capabilities_of_the_unit(group, hog, log, attach):
    """What the unit leaves it is enough to see a kill, with both witnesses, and to log it."""
    names = unit_file()[0]["CapabilityBoundingSet"].split()
    caps = ",".join(["-all", *("+" + n.removeprefix("CAP_").lower() for n in names)])
    a = attach("oom", "--log", log, "-v",
               wrap=["setpriv", "--no-new-privs", f"--bounding-set={caps}"])
    assert "attached to the OOM killer: probe and kernel log" in a.err
    status = Path(f"/proc/{a.proc.pid}/status").read_text()
    assert bin(int(re.search(r"CapEff:\s+(\w+)", status)[1], 16)).count("1") <= len(names)
    g = group(16 * MIB)
    pid = kill_in(g, [hog])
    check(event_of(log, pid), g, pid, "oom_hog", 16 * MIB)


def test_since_and_list(group, hog, log):
    """What was recorded, and what only the kernel's log has."""
    g = group(16 * MIB)
    begin = time.time()
    pid = kill_in(g, [hog])
    p = memwatch("oom", "--since", f"{time.time() - begin + 1:.1f}s", "--json", check=0)
    found = [json.loads(x) for x in p.stdout.splitlines()]
    assert found[-1]["victim"]["pid"] == pid and found[-1]["source"] == "kmsg"
    assert all(e["time_unix_ms"] / 1000 > begin - 2 for e in found)
    p = memwatch("oom", "--list", "--log", log, check=0)
    assert f"oom_hog (pid {pid}, uid 0)" in p.stdout
    assert "the kernel's log alone" in p.stdout
    assert memwatch("oom", "--since", "1us", check=0).stdout == ""
    p = memwatch("oom", "--list", "--log", "/nonexistent", check=1)
    assert "failed to read '/nonexistent'" in p.stderr


def test_until_and_the_clocks_zone(group, hog, log):
    """What is printed can be given back, in whichever zone."""
    pid = kill_in(group(16 * MIB), [hog])
    zone = {**os.environ, "TZ": "XYZ-03:30"}
    text = memwatch("oom", "--since", "1h", check=0, env=zone).stdout
    when = re.findall(rf"^(\S+ \S+ \+0330)  OOM kill: oom_hog \(pid {pid},", text, re.M)[0]
    at = datetime.strptime(when, "%Y-%m-%d %H:%M:%S.%f %z")
    around = [(at + timedelta(seconds=s)).strftime("%Y-%m-%d %H:%M:%S.%f %z") for s in (-1, 1)]
    told = memwatch("oom", "--since", around[0], "--until", around[1], check=0, env=zone).stdout
    assert f"(pid {pid}," in told
    late = memwatch("oom", "--since", around[1], check=0, env=zone).stdout
    assert f"(pid {pid}," not in late
    before = memwatch("oom", "--until", "2020-01-01", check=0)
    assert before.stdout == ""
    assert f"(pid {pid}," in memwatch("oom", "--since", "today", check=0).stdout


def test_what_was_rotated_away_is_known(group, hog, log):
    """A new file after a rotation is not filled with what the old ones have."""
    pid = kill_in(group(16 * MIB), [hog])
    memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
    before = len(events(log))
    assert pid in [e["victim"]["pid"] for e in events(log)]
    for name in (".1", "-20261125"):
        os.rename(log, log + name)
        memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
        assert events(log) == []
        os.rename(log + name, log)
    subprocess.run(["gzip", log], check=True)
    os.rename(log + ".gz", log + ".2.gz")
    memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
    assert events(log) == []
    p = memwatch("oom", "--list", "--json", "--log", log, check=0)
    assert sum(f'"victim":{{"pid":{pid},' in x for x in p.stdout.splitlines()) == 1
    assert before > 0


def test_command_per_kill(group, hog, log, attach, tmp_path):
    out = tmp_path / "told"
    tell = tmp_path / "tell"
    tell.write_text(f"#!/bin/sh\n(env | grep ^MEMWATCH_KILL; cat) >> {out}\n")
    tell.chmod(0o755)
    g = group(16 * MIB)
    mw = attach("oom", "--log", log, "--on-kill", str(tell))
    pid = kill_in(g, [hog])
    wait_for(lambda: out.exists() and out.read_text().endswith("}\n"))
    mw.finish()
    text = out.read_text()
    assert f"MEMWATCH_KILL_PID={pid}\n" in text and f"MEMWATCH_KILL_CGROUP={g.path}\n" in text
    assert json.loads(text.splitlines()[-1])["victim"]["pid"] == pid
    assert "cannot be run" in memwatch("oom", "--on-kill", "/nonexistent", check=1).stderr


def test_group_full_of_tmpfs(group, hog, log, attach, tmp_path):
    """The victim is small: what fills the group is no process's."""
    disk = tmp_path / "shm"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
    try:
        g = group(40 * MIB)
        subprocess.run(["dd", "if=/dev/zero", f"of={disk}/file", "bs=1M", "count=30"],
                       preexec_fn=g.join, check=True, capture_output=True)
        mw = attach("oom", "--log", log)
        pid = kill_in(g, [hog])
        e = event_of(log, pid)
        out = mw.finish()[1]
        assert e["stat"]["shmem_bytes"] >= 30 * MIB
        assert any(t["path"] == str(disk) and t["used_bytes"] == 30 * MIB for t in e["tmpfs"])
        assert f"{disk} 30.00MB" in out and "shared and tmpfs 30" in out
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# --- saved logs ---

LOGS = REPO / "tests" / "oomlogs"


def test_saved_logs(tmp_path):
    """Every log of the corpus by name, on standard input and compressed: the same kills."""
    utc = {**os.environ, "TZ": "UTC"}
    files = sorted(LOGS.iterdir())
    assert len(files) >= 9
    p = memwatch("oom", "--json", *files, check=0, env=utc)
    all_at_once = p.stdout.splitlines()
    one_by_one = []
    for f in files:
        listed = memwatch("oom", "--json", f, check=0, env=utc)
        assert listed.stdout and "the kernel's" in listed.stderr
        one_by_one += listed.stdout.splitlines()
        packed = tmp_path / (f.name + ".gz")
        packed.write_bytes(gzip.compress(f.read_bytes()))
        assert memwatch("oom", "--json", packed, check=0, env=utc).stdout == listed.stdout or \
            "no year" in listed.stderr
        with open(f) as stdin:
            again = memwatch("oom", "--json", "-", check=0, env=utc, stdin=stdin)
        assert again.stdout == listed.stdout
        text = memwatch("oom", f, check=0, env=utc).stdout
        assert text.count("  why       ") == len(listed.stdout.splitlines())
    assert all_at_once == one_by_one
    kills = [json.loads(x) for x in all_at_once]
    assert {k["constraint"] for k in kills} == {"memcg", "none", "cpuset", "mempolicy", None}
    # memwatch's own log is a saved log too
    own = tmp_path / "own.jsonl"
    own.write_text(p.stdout)
    assert memwatch("oom", "--json", own, check=0).stdout == p.stdout


def test_live_and_saved_agree(group, hog, log, attach, tmp_path):
    """The same kill from the kernel's live log and from dmesg's text."""
    let_the_kernel_talk()
    mw = attach("oom", "--log", log)
    pid = kill_in(group(16 * MIB), [hog])
    live = event_of(log, pid)
    mw.finish()
    for option in ([], ["-T"], ["-x"], ["--time-format=iso"], ["--raw"]):
        text = subprocess.run(["dmesg", *option], capture_output=True, check=True).stdout
        saved = tmp_path / "dmesg"
        saved.write_bytes(text)
        p = memwatch("oom", "--json", saved, check=0)
        found = [json.loads(x) for x in p.stdout.splitlines()]
        mine = [e for e in found if e["victim"] and e["victim"]["pid"] == pid][-1]
        for key in ("comm", "total_vm_bytes", "anon_rss_bytes", "file_rss_bytes", "uid"):
            assert mine["victim"][key] == live["victim"][key], (option, key)
        assert mine["memcg"] == live["memcg"], option
        assert mine["tasks"] == live["tasks"], option


def test_input_without_end(tmp_path):
    """Memory and time are bounded whatever is named as a log."""
    nuls = tmp_path / "nuls"
    nuls.write_bytes((LOGS / "3.10-uid.dmesg").read_bytes())
    os.truncate(nuls, 300 * MIB)  # as after a crash
    long = tmp_path / "long"
    long.write_bytes(b"x" * (100 * MIB) + b"\n" + (LOGS / "3.10-uid.dmesg").read_bytes())
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, log in [("/dev/zero", 1), ("/dev/full", 1), (fifo, 1), (tmp_path, 1), (nuls, 0), (long, 0)]:
        for args in ([path], ["--list", "--log", path]):
            p = subprocess.run(["prlimit", f"--as={512 * MIB}", BIN, "oom", *map(str, args)],
                               capture_output=True, text=True, timeout=60)
            assert p.returncode == log, p.stderr
            assert "not a regular file" in p.stderr or "directory" in p.stderr or not log
            if not log and len(args) == 1:
                assert "mysqld (pid 900, uid 27)" in p.stdout
                assert "damaged lines were left out" in p.stderr
