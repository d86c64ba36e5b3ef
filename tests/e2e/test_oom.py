# SPDX-License-Identifier: GPL-2.0-or-later
"""OOM kills: real ones, in small memory cgroups, against the kernel's own words about them."""
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from conftest import BIN, build, memwatch, wait_for
from kmsglib import kmsg, stuck  # noqa: F401 (fixtures)
from oomlib import (MIB, check, event_of, events, group, hog, kernel_kills, kill_in,
                    let_the_kernel_talk, log, victimless, victims,
                    needs_cgroup as pytestmark)  # noqa: F401 (fixtures)


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
    told = re.search(r"(\d+) events? reported, (\d+) written", err)  # others' too, if there were any
    assert int(told[1]) == int(told[2]) >= 1 and "lost: 0 kills with the ring full, 0 kills" in err


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
        assert p.wait(180) == -9
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
    wait_for(lambda: Path(f"/proc/{p.pid}/comm").read_text() == "sleep\n")  # a moment after its exec
    subprocess.run([sender, "earlyoom", str(p.pid)], check=True)
    assert p.wait(180) == -9
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


def test_restart_without_a_victim(stuck, log, attach, tmp_path):
    """What was told once with a count is not told again by who goes on where the log ends."""
    told = tmp_path / "told"
    tell = tmp_path / "tell"
    tell.write_text(f"#!/bin/sh\nenv | grep ^MEMWATCH_KILL_PID >> {told}\n")
    tell.chmod(0o755)
    mw = attach("oom", "--log", log, "--on-kill", str(tell), wrap=stuck.wrap)
    for _ in range(3):
        stuck.refuse()
    wait_for(lambda: victimless(log, stuck.path))
    wait_for(told.exists)
    mw.finish()
    first, count = before = victimless(log, stuck.path)
    assert (first["repeats"], count["repeats"]) == (0, 2)
    assert first["kmsg_seq"] < count["kmsg_first_seq"] < count["kmsg_seq"]
    assert first["time_unix_ms"] <= count["time_unix_ms"]
    assert "OOM without a victim: nobody could be killed" in mw.out
    assert "OOM without a victim: 2 more times" in mw.out
    assert set(told.read_text().split()) == {"MEMWATCH_KILL_PID=0"}

    def again(*args):
        return attach("oom", "--log", log, *args, ready=False, wrap=stuck.wrap).finish(None)

    assert again("-q", "-d", "10ms")[0] == 0
    assert victimless(log, stuck.path) == before
    status, out, err = again("--list", "--json")
    assert status == 0 and [e for e in map(json.loads, out.splitlines()) if e in before] == before
    assert len([x for x in out.splitlines() if stuck.path in x]) == 2
    assert re.search(r"\d+ kills? and [3-9]\d* OOMs without a victim\n", err)
    # and what comes after a restart is told
    mw = attach("oom", "--log", log, wrap=stuck.wrap)
    stuck.refuse()
    wait_for(lambda: len(victimless(log, stuck.path)) > 2)
    mw.finish()
    assert len(victimless(log, stuck.path)) == 3


def test_what_the_probe_alone_told_is_known(group, hog, log, attach):
    """Its record has no number of the kernel's log, which has the kill all the same."""
    mw = attach("oom", "--source", "probe", "--log", log)
    pids = [kill_in(group(16 * MIB), [hog]) for _ in range(2)]
    assert [event_of(log, pid)["kmsg_seq"] for pid in pids] == [None, None]
    mw.finish()
    memwatch("oom", "--log", log, "-d", "10ms", check=0)
    assert [e["victim"]["pid"] for e in events(log)[log.seen:]] == pids
    p = memwatch("oom", "--list", "--json", "--log", log, check=0)
    listed = victims(p.stdout)
    assert listed[-2:] == pids and len(set(listed)) == len(listed)


def full_pipe():
    """(reader, writer): nothing more goes in until somebody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"\n" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


def test_unread_output_holds_up_nothing(group, hog, log):
    """Kills are recorded while stdout takes nothing, and are all there when it is read again."""
    reader, writer = full_pipe()
    mw = subprocess.Popen([BIN, "oom", "--log", log], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    try:
        assert any("attached to the OOM killer" in line for line in mw.stderr)
        pids = [kill_in(group(16 * MIB), [hog]) for _ in range(3)]
        for pid in pids:
            event_of(log, pid)
        with os.fdopen(reader) as f:
            mw.send_signal(signal.SIGTERM)
            out = f.read()
        assert [p for p in pids if f"(pid {p}, " in out] == pids
        assert mw.wait(180) == 0 and "left out" not in mw.stderr.read()
    finally:
        mw.kill()
        mw.wait()
        mw.stderr.close()


def test_list_then_follow(group, hog, attach):
    """Nothing is left out between the list and what follows, and nothing is told twice."""
    g = group(16 * MIB)
    first = kill_in(g, [hog])
    mw = attach("oom", "--since", "30s", "--follow", "--json")
    last = kill_in(g, [hog])
    mw.wait_for(f'"victim":{{"pid":{last},', stream="out")
    out = mw.finish()[1]
    told = victims(out)
    assert told.count(first) == told.count(last) == 1 and told[-1] == last


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


def test_group_full_of_tmpfs(group, hog, log, attach, tmpfs):
    """The victim is small: what fills the group is no process's."""
    disk = tmpfs("shm", "64m", lazily=True)
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
